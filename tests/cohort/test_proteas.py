"""PROTEAS' layout: masks that hold all lesions are split and matched over time."""

from __future__ import annotations

import re
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


def prepared(root: Path, out: Path, rows: list[tuple[str, str, object]]) -> tuple[pd.DataFrame, str]:
    pd.DataFrame(rows, columns=["patient", "scan", "day"]).to_csv(root.parent / "days.csv", index=False)
    cohort = read_proteas(root, root.parent / "days.csv")
    summary = prepare_cohort(cohort, out, PrepareSettings(folds=1), workers=1)
    return pd.read_csv(out / "lesions.csv").set_index(["subject", "lesion"]), summary.text


@pytest.fixture
def two_patients(tmp_path: Path) -> Path:
    """P01 is spoilt by each test; P02 is right, so that something is left to prepare."""
    root = tmp_path / "PROTEAS"
    for patient in ("P01", "P02"):
        scan(root, patient, "baseline", boxes((10, 10, 10, 6), (24, 24, 18, 6)))
        scan(root, patient, "fu1", boxes((10, 10, 10, 4), (24, 24, 18, 7)))
    return root


DAYS = [("P01", "baseline", 0), ("P01", "fu1", 90), ("P02", "baseline", 0), ("P02", "fu1", 90)]
GONE = boxes((24, 24, 18, 5))
PARTS = boxes((10, 10, 10, 6)) + 2 * boxes((24, 24, 18, 5))


@pytest.mark.parametrize(
    ("mask", "taken", "sentence"),
    [
        (boxes(), [], "at follow-up: its mask is empty, which does not say that somebody looked"),
        (boxes((2, 2, 2, 4)), [], "it is not drawn, and no other lesion of the baseline is"),
        (boxes((24, 24, 18, 7)), ["L02"], "it is not drawn, and all lesions that are drawn grew"),
        (GONE, ["L01", "L02"], "taken as resolved"),
        (GONE + boxes((12, 12, 12, 2)), ["L02"], "a part that is too small for a lesion, is drawn at its place"),
        (GONE * 3 + boxes((22, 24, 18, 2)) * 2 + boxes((12, 12, 12, 2)) * 2, ["L02"], "only oedema"),
    ],
    ids=["empty", "only-new", "others-grew", "gone", "speck", "oedema"],
)
def test_nothing_found_is_not_nothing_there(
    two_patients: Path, tmp_path: Path, mask: np.ndarray, taken: list[str], sentence: str
) -> None:
    if mask.max() > 1:  # the patient's other mask then has parts too
        scan(two_patients, "P01", "baseline", 3 * boxes((10, 10, 10, 6), (24, 24, 18, 6)))
    scan(two_patients, "P01", "fu1", mask)
    table, text = prepared(two_patients, tmp_path / "data", DAYS)
    assert [lesion for subject, lesion in table.index if subject == "sub-001"] == taken
    assert sentence in text


def test_a_place_outside_the_follow_up_is_no_absence(two_patients: Path, tmp_path: Path) -> None:
    for kind in ("BraTS/fu1/t1c.nii.gz", "tumor segmentation/P01_tumor_mask_fu1.nii.gz"):
        path = two_patients / "P01" / kind
        image = nibabel.load(path)
        nibabel.save(image.slicer[15:], path)
    _, text = prepared(two_patients, tmp_path / "data", DAYS)
    assert "its place reaches outside the image" in text


def test_oedema_is_no_lesion(two_patients: Path, tmp_path: Path) -> None:
    for name, edge, halo in (("baseline", 6, 12), ("fu1", 7, 8)):
        core, around = boxes((12, 12, 12, edge)), boxes((12, 12, 12, halo))
        necrosis = boxes((13, 13, 13, 2))
        scan(two_patients, "P01", name, np.where(necrosis > 0, 1, np.where(core > 0, 3, 2 * around)))
    table, text = prepared(two_patients, tmp_path / "data", DAYS)
    assert table.loc[("sub-001", "L01"), ["volume_ses-01_mm3", "volume_ses-03_mm3"]].tolist() == [216, 343]
    assert table.loc[("sub-001", "L01"), "label"] == 0
    assert "ses-01: its mask holds the values 1, 2, 3: 1, 3 and 4 (tumour core of BraTS) are read as lesion" in text


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        ({"baseline": PARTS}, "and 2 touches no other: it may number lesions, not their parts"),
        (
            {"fu1": boxes((10, 10, 10, 6)) + 6 * boxes((24, 24, 18, 5))},
            "holds the values 1, 6, and BraTS has the",
        ),
        ({"fu1": 2 * GONE}, "holds the value 2 alone, which is oedema in BraTS"),
        (
            {"baseline": 3 * boxes((10, 10, 10, 6)) + 2 * boxes((16, 10, 10, 2))},
            "holds the value 1 alone, and another mask of the patient holds several",
        ),
        ({"fu1": -GONE}, "holds negative values"),
        ({"fu1": 1 - GONE}, "looks inverted"),
        ({"fu1": np.random.default_rng(0).normal(size=SHAPE).clip(0)}, "looks like an image, or like probabilities"),
    ],
    ids=["numbers", "unknown", "oedema", "mixed", "negative", "inverted", "probabilities"],
)
def test_masks_of_unknown_meaning_cost_their_patient(
    two_patients: Path, tmp_path: Path, masks: dict[str, np.ndarray], sentence: str
) -> None:
    for name, mask in masks.items():
        scan(two_patients, "P01", name, mask)
    table, text = prepared(two_patients, tmp_path / "data", DAYS)
    assert {subject for subject, _ in table.index} == {"sub-002"}
    assert re.search(sentence, text)


def test_an_mri_2_that_cannot_be_used_costs_nothing_else(two_patients: Path, tmp_path: Path) -> None:
    scan(two_patients, "P01", "fu2", -GONE)
    table, text = prepared(two_patients, tmp_path / "data", [*DAYS, ("P01", "fu2", 20)])
    assert len(table) == 4
    assert "holds negative values" in text
    assert "taken without MRI 2, which cannot be used" in text


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([*DAYS, ("P01", "fu1", 91)], "gives 1 scan(s) several days"),
        ([*DAYS[:1], ("P01", "fu1", "2024-03-05"), *DAYS[2:]], "dates for some scans and whole numbers for others"),
        ([*DAYS[:1], ("P01", "fu1", "1/10/2024"), *DAYS[2:]], "table of days row 3: day is ambiguous"),
        ([*DAYS, ("P7", "fu1", 91)], "names 1 patient(s) that have no folder"),
        ([*DAYS, ("P01", "fu9", 300)], "sub-001 fu9: has no mask and is not used"),
        ([*DAYS[:1], ("P01", "fu1", ""), *DAYS[2:]], "table of days row 3: has an empty cell"),
    ],
)
def test_faults_of_the_days_are_told(
    two_patients: Path, tmp_path: Path, rows: list[tuple[str, str, object]], sentence: str
) -> None:
    table, text = prepared(two_patients, tmp_path / "data", rows)
    assert {"sub-002"} <= {subject for subject, _ in table.index}
    assert sentence in text


def test_days_may_be_dates(two_patients: Path, tmp_path: Path) -> None:
    days = {0: "2024-01-08", 90: "7. April 2024"}
    table, _ = prepared(two_patients, tmp_path / "data", [(p, name, days[int(str(day))]) for p, name, day in DAYS])
    assert table["days_ses-03"].tolist() == [90] * len(table)
