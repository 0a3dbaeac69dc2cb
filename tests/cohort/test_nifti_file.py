"""Damaged, lying and huge NIfTI files: refused by a sentence before they cost memory; whole ones read exactly."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.cohort.nifti_file import read_nifti
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference, same_grid
from treatment_response.problems import DataProblem

TURN = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([0.8, 0.9, 1.5])
AFFINE[:3, 3] = (-10.0, 5.0, 20.0)
SHAPE = (9, 8, 7)
VALUES = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)


def file_of(array: np.ndarray = VALUES, affine: np.ndarray = AFFINE, kind: type = nibabel.Nifti1Image) -> bytearray:
    image = kind(array, affine)
    image.set_qform(affine, code=1)
    return bytearray(image.to_bytes())


def header_of(content: bytes) -> nibabel.Nifti1Header:
    return nibabel.Nifti1Header(bytes(content[:348]), check=False)


def with_header(change: Callable[[nibabel.Nifti1Header], object], content: bytearray | None = None) -> bytes:
    content = content or file_of()
    header = header_of(content)
    change(header)
    return header.binaryblock + bytes(content[348:])


def fields(**values: object) -> Callable[[nibabel.Nifti1Header], object]:
    def change(header: nibabel.Nifti1Header) -> None:
        for name, value in values.items():
            header[name] = value

    return change


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i2", np.int32, np.float32, np.float64, ">f8", np.uint32])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("compressed", [True, False])
def test_whole_files_are_read_as_nibabel_reads_them(tmp_path: Path, dtype: str, kind: type, compressed: bool) -> None:
    image = kind(VALUES.astype(np.dtype(dtype).newbyteorder("=")), AFFINE)
    image.header.set_data_dtype(np.dtype(dtype))
    path = tmp_path / ("a.nii.gz" if compressed else "a.nii")
    nibabel.save(image, path)
    volume = read_nifti(path, "case").volume
    np.testing.assert_array_equal(volume.array, np.asanyarray(nibabel.load(path).dataobj))
    np.testing.assert_array_equal(volume.affine, nibabel.load(path).affine)
    assert volume.array.dtype.isnative


def test_scaled_values_are_those_of_nibabel(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(with_header(fields(scl_slope=0.37, scl_inter=-5.5)))
    np.testing.assert_array_equal(read_nifti(path, "case").volume.array, np.asanyarray(nibabel.load(path).dataobj))


def test_trailing_dimensions_of_one_are_none(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VALUES[..., None, None], AFFINE), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii", "case").volume.array, VALUES)


def colours() -> bytes:
    pixels = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    return bytes(nibabel.Nifti1Image(pixels, AFFINE).to_bytes())


def not_a_number() -> bytes:
    values = VALUES.astype(np.float32)
    values[3, 3, 3] = np.nan
    return bytes(file_of(values))


FAULTS = {
    "text": (b"no image", "cannot be read as NIfTI"),
    "empty": (b"", "cannot be read as NIfTI"),
    "zeros": (bytes(5000), "cannot be read as NIfTI"),
    "pair": (with_header(fields(magic=b"ni1")), "its voxels are in another file"),
    "half": (bytes(file_of())[:700], "cut off: its header announces"),
    "longer": (bytes(file_of()) + bytes(600), r"more voxels than its header announces \(9 × 8 × 7\)"),
    "half-gzip": (gzip.compress(bytes(file_of()))[:-60], "damaged or cut off"),
    "changed-gzip": (gzip.compress(bytes(file_of()))[:-8] + bytes(8), "damaged or cut off"),
    "fewer-slices": (with_header(fields(dim=[3, 9, 8, 6, 1, 1, 1, 1])), "more voxels than its header announces"),
    "no-slices": (with_header(fields(dim=[3, 9, 8, 0, 1, 1, 1, 1])), "numbers of voxels make no sense"),
    "negative-shape": (with_header(fields(dim=[3, 9, -8, 7, 1, 1, 1, 1])), "numbers of voxels make no sense"),
    "absurd-dimensions": (with_header(fields(dim=[77, 9, 8, 7, 1, 1, 1, 1])), "cannot be read as NIfTI"),
    "other-bits": (with_header(fields(bitpix=8)), "damaged header: bitpix"),
    "2d": (with_header(fields(dim=[2, 9, 56, 1, 1, 1, 1, 1])), "has 2 dimensions instead of 3"),
    "4d": (bytes(file_of(np.stack([VALUES] * 2, axis=-1))), r"has 4 dimensions instead of 3 \(9 × 8 × 7 × 2\)"),
    "huge": (with_header(fields(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])), "30000 × 30000 × 30000 voxels, more than"),
    "many": (with_header(fields(dim=[3, 600, 600, 600, 1, 1, 1, 1])), "cut off: its header announces 432.0 MB"),
    "colours": (colours(), "holds RGB values and no grey values"),
    "complex": (bytes(file_of(VALUES.astype(np.complex64))), "holds complex64 values"),
    "offset": (with_header(fields(vox_offset=np.nan)), "damaged header: vox_offset"),
    "far-offset": (with_header(fields(vox_offset=1e9)), "damaged header: vox_offset"),
    "offset-in-header": (with_header(fields(vox_offset=351)), "damaged header: vox_offset"),
    "slope": (with_header(fields(scl_slope=np.inf)), "scales the values by a number that is not finite"),
    "intercept": (with_header(fields(scl_slope=1, scl_inter=np.nan)), "scales the values by a number"),
    "metres": (with_header(fields(xyzt_units=1)), "counts in metres instead of millimetres"),
    "microns": (with_header(fields(xyzt_units=3 | 8)), "counts in micrometres instead of millimetres"),
    "no-spacing": (with_header(fields(pixdim=[1, 0.8, 0.9, 0, 1, 1, 1, 1])), r"a voxel of 0\.8 × 0\.9 × 0 mm"),
    "nan-spacing": (with_header(fields(pixdim=[1, 0.8, np.nan, 1.5, 1, 1, 1, 1])), "a voxel of .* nan"),
    "small-spacing": (bytes(file_of(VALUES, np.diag([0.001, 0.001, 0.001, 1]))), "a voxel of 0.001 × 0.001 × 0.001"),
    "two-sizes": (with_header(fields(srow_z=[0, 0, 3, 20])), r"two sizes of a voxel: .* 3 mm \(sform\) and .* 1\.5 mm"),
    "nan-affine": (with_header(fields(srow_x=[np.nan, 0, 0, 0])), "affine is singular or not finite|a voxel of nan"),
    "flat": (
        with_header(fields(srow_x=[0.8, 0.9, 0, 0], srow_y=[0, 0, 0, 0], srow_z=[0, 0, 1.5, 0])),
        "affine is singular",
    ),
    "nan": (not_a_number(), "holds NaN or infinite values"),
    "beyond": (bytes(file_of(VALUES.astype(np.float64) * 1e100)), "holds values beyond 1e"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_faulty_file_is_one_sentence(tmp_path: Path, fault: str, compressed: bool) -> None:
    content, sentence = FAULTS[fault]
    if compressed and "gzip" not in fault:
        content = gzip.compress(content)
        sentence = {"half": "cut off", "many": "cut off"}.get(fault, sentence)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(DataProblem, match=rf"^case: .*(?:{sentence})"):
        read_nifti(tmp_path / "a.nii", "case")


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii.gz")
    for name, sentence in (("pipe.nii.gz", "no regular file"), ("none.nii", "is missing"), (".", "no regular file")):
        with pytest.raises(DataProblem, match=sentence):
            read_nifti(tmp_path / name, "case")


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    # 300 MB of zeros behind a header that announces 1 kB, and a header that announces 400 MB before nothing.
    bombs = {
        "longer": gzip.compress(bytes(file_of()) + bytes(300_000_000), compresslevel=1),
        "announced": gzip.compress(with_header(fields(dim=[3, 600, 600, 600, 1, 1, 1, 1]))),
    }
    for name, content in bombs.items():
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(content)
        del content
        tracemalloc.start()
        try:
            with pytest.raises(DataProblem):
                read_nifti(path, "case")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 347), st.integers(0, 255))
def test_any_changed_byte_of_a_header_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    content = file_of()
    content[place] = byte
    path = tmp_path_factory.mktemp("n") / "a.nii"
    path.write_bytes(content)
    try:
        volume = read_nifti(path, "case").volume
    except DataProblem:
        return
    assert volume.array.ndim == 3
    assert np.isfinite(volume.affine).all()


def test_two_places_and_no_place_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(with_header(fields(qoffset_x=-7.0)))
    assert read_nifti(path, "case").notes == ("its sform and qform place it up to 3.0 mm apart; the sform is used",)
    path.write_bytes(with_header(fields(sform_code=0, qform_code=0)))
    assert "left and right are not known" in read_nifti(path, "case").notes[0]
    path.write_bytes(file_of())
    assert read_nifti(path, "case").notes == ()


def moved(matrix: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(np.zeros(shape), AFFINE @ matrix)


SHIFT = np.eye(4)
SHIFT[:3, 3] = (1, 0, 0)
ROTATION = np.eye(4)
ROTATION[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (moved(np.eye(4), (9, 8, 6)), ["9 × 8 × 7 voxels against 9 × 8 × 6"]),
        (moved(np.diag([1, 1, 2, 1])), ["0.8 × 0.9 × 1.5 mm against 0.8 × 0.9 × 3 mm"]),
        (moved(SHIFT), ["first voxel moved by (-0.768, -0.224, 0) mm"]),
        (moved(ROTATION), ["axes turned by"]),
        (moved(np.diag([-1, 1, 1, 1])), ["axes RAS against LAS"]),
        (moved(SHIFT, (9, 8, 6)), ["voxels against", "moved by"]),
    ],
)
def test_a_difference_between_grids_is_told_in_numbers(other: Volume, words: list[str]) -> None:
    first = moved(np.eye(4))
    assert not same_grid(first, other)
    assert all(word in grid_difference(first, other) for word in words), grid_difference(first, other)


def test_one_grid_has_no_difference() -> None:
    assert grid_difference(moved(np.eye(4)), moved(np.eye(4))) == ""
