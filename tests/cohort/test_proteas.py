"""PROTEAS' layout: masks that hold all lesions are split and matched over time."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.adapters.proteas import match_components, read_proteas
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.masks import components
from treatment_response.cohort.pipeline import prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

SHAPE = (40, 40, 30)


def boxes(*corners: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of cubes, each given by its corner and edge."""
    mask = np.zeros(SHAPE, np.float32)
    for i, j, k, edge in corners:
        mask[i : i + edge, j : j + edge, k : k + edge] = 1
    return mask


def scan(root: Path, patient: str, name: str, mask: np.ndarray | None, image: bool = True) -> None:
    folder = root / patient
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    if image:
        path = folder / "BraTS" / name / "t1c.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, affine), path)
    if mask is not None:
        path = folder / "tumor segmentation" / f"{patient}_tumor_mask_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(mask, affine), path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "PROTEAS"
    # Two lesions; the smaller one comes first in space and vanishes. One speck of two voxels.
    scan(root, "P01", "baseline", boxes((2, 2, 2, 5), (20, 20, 10, 8), (35, 35, 25, 1)))
    scan(root, "P01", "fu1", boxes((21, 20, 10, 7)))
    scan(root, "P01", "fu2", boxes((21, 21, 11, 6)))
    scan(root, "P02", "baseline", boxes((10, 10, 10, 5)))
    scan(root, "P02", "fu1", boxes((9, 10, 10, 6)))
    scan(root, "P03", "baseline", boxes((10, 10, 10, 5)))
    scan(root, "P03", "fu1", None)
    scan(root, "P04", "baseline", boxes((10, 10, 10, 4), (18, 10, 10, 4)))
    scan(root, "P04", "fu1", boxes((10, 10, 10, 12)))
    scan(root, "P05", "baseline", boxes((10, 10, 10, 5)), image=False)
    days = [("P01", "baseline", 5), ("P01", "fu1", 35), ("P01", "fu2", 100), ("P02", "baseline", 0), ("P02", "fu1", 90)]
    days += [("P03", "baseline", 0), ("P04", "baseline", 0), ("P04", "fu1", 88), ("P05", "baseline", 0)]
    pd.DataFrame(days, columns=["patient", "scan", "day"]).to_csv(tmp_path / "days.csv", index=False)
    (root / "P05" / "BraTS").mkdir(parents=True, exist_ok=True)
    return root


def test_lesions_of_the_layout(archive: Path, tmp_path: Path) -> None:
    cohort = read_proteas(archive, archive.parent / "days.csv")
    summary = prepare_cohort(cohort, tmp_path / "data", PrepareSettings(folds=1), workers=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert table[["subject", "lesion", "label", "status_ses-03"]].values.tolist() == [
        ["sub-001", "L01", 1, "present"],
        ["sub-001", "L02", 1, "resolved"],
        ["sub-002", "L01", 0, "present"],
    ]
    assert table["volume_ses-01_mm3"].tolist() == [512, 125, 125]
    assert table["volume_ses-03_mm3"].tolist() == [216, 0, 216]
    assert table["volume_ses-02_mm3"].tolist()[0] == 343
    assert (table["days_ses-02"].tolist()[0], table["days_ses-03"].tolist()[0]) == (30, 95)
    assert check_dataset(tmp_path / "data") == []
    for text in ("no follow-up session", "merged with a neighbour", "no t1c image", "no baseline scan"):
        assert text in summary.text


def test_masks_land_where_they_were(archive: Path, tmp_path: Path) -> None:
    prepare_cohort(
        read_proteas(archive, archive.parent / "days.csv"), tmp_path / "data", PrepareSettings(folds=1), workers=1
    )
    path = tmp_path / "data/derivatives/masks/sub-001/ses-03/sub-001_ses-03_label-L01_mask.nii.gz"
    mask = nibabel.load(path)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), boxes((21, 21, 11, 6)))
    np.testing.assert_array_equal(mask.affine, np.diag([-1.0, -1.0, 1.0, 1.0]))


def volume(*corners: tuple[int, int, int, int]) -> Volume:
    return Volume(boxes(*corners), np.eye(4))


def test_components_are_ordered_by_size_and_touch_at_corners() -> None:
    found = components(volume((2, 2, 2, 3), (20, 20, 10, 6), (5, 5, 5, 2)), 10)
    assert [int(part.array.sum()) for part in found] == [216, 35]


@pytest.mark.parametrize(
    ("later", "paired", "doubts"),
    [
        ([(10, 10, 10, 4)], {"a"}, {}),
        ([(15, 10, 10, 2)], {"a"}, {}),
        ([(10, 10, 10, 2), (13, 13, 13, 2)], set(), {"a": "split"}),
        ([(30, 30, 20, 4)], set(), {}),
        ([], set(), {}),
    ],
    ids=["same", "near", "split", "new", "gone"],
)
def test_matching_one_lesion(later: list[tuple[int, int, int, int]], paired: set[str], doubts: dict[str, str]) -> None:
    pairs, told = match_components({"a": volume((10, 10, 10, 5))}, [volume(box) for box in later])
    assert set(pairs) == paired
    assert set(told) == set(doubts)
    assert all(word in told[key] for key, word in doubts.items())


def test_without_days_it_is_refused(archive: Path) -> None:
    with pytest.raises(DataProblem, match="holds no dates"):
        read_proteas(archive, None)
    (archive.parent / "days.csv").write_text("patient,scan,day\nP01,baseline,soon\n")
    with pytest.raises(DataProblem, match="table of days"):
        read_proteas(archive, archive.parent / "days.csv")
