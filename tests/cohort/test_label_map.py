"""Label maps: one lesion per value, islands of a lesion together, far parts apart, by millimetres."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.cohort.label_map import read_label_map, separate_parts
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

AFFINE = np.diag([0.8, 1.0, 3.0, 1.0])


def boxes(*starts: tuple[int, int, int]) -> Volume:
    """Boxes of 2 × 2 × 1 voxels."""
    array = np.zeros((40, 30, 12), np.uint8)
    for i, j, k in starts:
        array[i : i + 2, j : j + 2, k] = 1
    return Volume(array, AFFINE)


@pytest.mark.parametrize(
    ("starts", "parts"),
    [
        ([], 0),
        ([(3, 3, 3)], 1),
        ([(3, 3, 3), (9, 3, 3)], 1),  # 5 voxels of 0.8 mm between centres: 4 mm
        ([(3, 3, 3), (12, 3, 3)], 2),  # 6.4 mm
        ([(3, 3, 3), (3, 3, 4)], 1),
        ([(3, 3, 3), (3, 3, 5)], 2),  # two slices: 6 mm
        ([(3, 3, 3), (9, 3, 3), (15, 3, 3)], 1),  # a chain
        ([(0, 0, 0), (38, 28, 11)], 2),
    ],
)
def test_parts_are_told_apart_by_millimetres(starts: list[tuple[int, int, int]], parts: int) -> None:
    found = separate_parts(boxes(*starts))
    assert len(found) == parts
    assert sum(int(part.sum()) for part in found) == 4 * len(starts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 38), st.integers(0, 28), st.integers(0, 11)), min_size=1, max_size=8))
def test_parts_make_up_the_mask_and_lie_apart(starts: list[tuple[int, int, int]]) -> None:
    mask = boxes(*starts)
    found = separate_parts(mask)
    np.testing.assert_array_equal(np.sum(found, axis=0), mask.array)
    sizes = [int(part.sum()) for part in found]
    assert sizes == sorted(sizes, reverse=True)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            a, b = (mask.to_world(np.argwhere(part)) for part in (one, other))
            assert np.linalg.norm(a[:, None] - b[None], axis=2).min() >= 5.0


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_each_value_is_a_lesion(tmp_path: Path, ending: str) -> None:
    array = np.zeros((5, 6, 7), np.uint8)
    array[1, 2, 3], array[4, 5, 6] = 2, 7
    path = tmp_path / f"label{ending}"
    write_volume(tmp_path / "label.nii.gz", Volume(array, AFFINE))
    if ending == ".nii":
        path.write_bytes(gzip.decompress((tmp_path / "label.nii.gz").read_bytes()))
    found = read_label_map(path, Volume(np.zeros((5, 6, 7)), AFFINE), "label")
    assert list(found) == [2, 7]
    assert np.argwhere(found[7]).tolist() == [[4, 5, 6]]


def test_what_is_no_label_map_is_told(tmp_path: Path) -> None:
    image = Volume(np.zeros((5, 6, 7)), AFFINE)
    path = tmp_path / "label.nii.gz"
    for array in (np.full((5, 6, 7), 0.5), np.full((5, 6, 7), -1), np.arange(210).reshape(5, 6, 7)):
        write_volume(path, Volume(array, AFFINE))
        with pytest.raises(DataProblem, match="is no label map"):
            read_label_map(path, image, "label")
    other = tmp_path / "label.nrrd"
    other.write_text("no image")
    with pytest.raises(DataProblem, match="cannot be read as NRRD"):
        read_label_map(other, image, "label")


@pytest.mark.parametrize("name", ["label.nii", "label.nrrd"])
def test_another_grid_is_refused_by_the_header_alone(tmp_path: Path, name: str) -> None:
    # No voxels follow: whoever reads on cannot answer so, and would need 4 GB for a file of this size.
    path = tmp_path / name
    if name.endswith(".nii"):
        header = nibabel.Nifti1Header()
        header.set_data_shape((2000, 2000, 1000))
        header["vox_offset"] = 352
        path.write_bytes(header.binaryblock + bytes(4))
    else:
        fields = "type: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2000 2000 1000\n"
        fields += "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nencoding: raw\n"
        path.write_text(f"NRRD0004\n{fields}space origin: (0,0,0)\n\n")
    with pytest.raises(DataProblem, match=r"another grid than the MR \(2000 × 2000 × 1000 voxels"):
        read_label_map(path, Volume(np.zeros((5, 6, 7)), AFFINE), "label")
