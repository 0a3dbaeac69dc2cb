"""Brain-TR-GammaKnife's layout: DICOM with a workbook of ratings; several courses per patient; names that differ."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from ingest_bench import BACK, FRONT, Case, Visit, write_case
from treatment_response.cohort.adapters.brain_tr import RatedLesion, patient_number, read_workbook
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.pipeline import prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.dicom.ingest import IngestSettings, ingest_brain_tr
from treatment_response.dicom.ingest.brain_tr import match_ratings
from treatment_response.problems import DataProblem

SKULL = {"Skull": ((0.0, 0.0, 0.0), 60.0), "Brain": ((0.0, 0.0, 0.0), 55.0)}
LESIONS = [  # patient, course, number, location, rating
    (103, 1, 1, "Left Frontal", "stable"),
    (103, 1, 2, "Rt_Occipital", "recurrence"),
    (103, 2, 1, "Left Frontal", "recurrence"),
    (7, 1, 1, "Cerebellum", "stable"),
    (8, 1, 1, "Pons", "unknown"),
    (9, 1, 1, "Pons", "stable"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("brain_tr")
    first = Visit(0, {"left_frontal": FRONT, "Rt occipital": BACK}, SKULL)
    second = Visit(200, {"Left Frontal": FRONT}, SKULL)
    write_case(root / "dicom", Case("GK.103", [first, second]))
    write_case(root / "dicom", Case("GK.007", [Visit(0, {"Cerebellum L": FRONT}, SKULL)]))
    write_case(root / "dicom", Case("GK.008", [Visit(0, {"Pons": FRONT}, SKULL)]))
    write_case(root / "dicom", Case("GK.999", [Visit(0, {"Pons": FRONT}, SKULL)]))
    lesions = pd.DataFrame(
        LESIONS, columns=["unique_pt_id", "Treatment Course", "Lesion #", "Lesion Location", "mri_type"]
    )
    courses = pd.DataFrame([(103, 1), (103, 2), (7, 1), (8, 1), (9, 1)], columns=["unique_pt_id", "Course #"])
    with pd.ExcelWriter(root / "clinical.xlsx") as book:
        lesions.to_excel(book, sheet_name="lesion_level", index=False)
        courses.to_excel(book, sheet_name="course_level", index=False)
    return root


def test_ratings_become_labels_and_later_courses_are_left(archive: Path, tmp_path: Path) -> None:
    cohort = ingest_brain_tr(archive / "dicom", archive / "clinical.xlsx", IngestSettings())
    summary = prepare_cohort(cohort, tmp_path / "data", PrepareSettings(folds=1), workers=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    # Sorted ids: GK.007, GK.008, GK.103, GK.999.
    assert table[["subject", "lesion", "label", "status_ses-03"]].values.tolist() == [
        ["sub-001", "L01", 1, "rated"],
        ["sub-003", "L01", 1, "rated"],
        ["sub-003", "L02", 0, "rated"],
    ]
    assert table["volume_change"].isna().all()
    assert check_dataset(tmp_path / "data") == []
    for text in (
        "its rating is neither stable nor recurrence",
        "2 courses; later ones follow treatment",
        "1 usable examinations against 0 courses",
        "stable = response",
    ):
        assert text in summary.text
    assert "frontal" not in summary.text.lower()


def row(number: int, location: str) -> RatedLesion:
    return RatedLesion(1, str(number), location, 1)


@pytest.mark.parametrize(
    ("rows", "names", "expected"),
    [
        ([(1, "Left Frontal")], ["leftfrontal"], {"leftfrontal": "1"}),
        ([(1, "Frontal"), (2, "Frontal")], ["frontal"], {}),
        ([(1, "Frontal"), (2, "Frontal")], ["frontal1", "frontal2"], {"frontal1": "1", "frontal2": "2"}),
        ([(1, "L cerebellum")], ["cerebellumleft"], {"cerebellumleft": "1"}),
        ([(1, "A"), (2, "B")], ["x", "y"], {}),
        ([(1, "A"), (2, "B")], ["a", "y"], {"a": "1", "y": "2"}),
    ],
    ids=["spelling", "ambiguous", "by-number", "only-one-left", "no-guess", "rest"],
)
def test_sheet_and_roi_names(rows: list[tuple[int, str]], names: list[str], expected: dict[str, str]) -> None:
    found = match_ratings([row(*values) for values in rows], names)
    assert {name: lesion.number for name, lesion in found.items()} == expected


def test_numbers_of_patients() -> None:
    assert [patient_number(text) for text in ("GK.103", "103", "GK.103_1", "GK 007", "7.0", "x")] == [
        *("103", "103", "103", "7", "7", ""),
    ]


def test_a_workbook_that_cannot_be_used(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(DataProblem, match="cannot be read with sheets"):
        read_workbook(tmp_path / "none.xlsx")
    with pd.ExcelWriter(tmp_path / "bad.xlsx") as book:
        pd.DataFrame({"x": [1]}).to_excel(book, sheet_name="lesion_level")
        pd.DataFrame({"x": [1]}).to_excel(book, sheet_name="course_level")
    with pytest.raises(DataProblem, match="has no column unique_pt_id"):
        read_workbook(tmp_path / "bad.xlsx")
    with pytest.raises(DataProblem, match="labels are in the clinical workbook"):
        ingest_brain_tr(archive / "dicom", None, IngestSettings())


def test_courses_under_ids_of_their_own_are_one_patient(tmp_path: Path) -> None:
    write_case(tmp_path / "dicom", Case("GK.104_1", [Visit(0, {"Pons": FRONT}, SKULL)]))
    write_case(tmp_path / "dicom", Case("GK.104_2", [Visit(200, {"Pons": BACK}, SKULL)]))
    lesions = [(104, 1, 1, "Pons", "stable"), (104, 2, 1, "Pons", "recurrence")]
    columns = ["unique_pt_id", "Treatment Course", "Lesion #", "Lesion Location", "mri_type"]
    with pd.ExcelWriter(tmp_path / "clinical.xlsx") as book:
        pd.DataFrame(lesions, columns=columns).to_excel(book, sheet_name="lesion_level", index=False)
        courses = pd.DataFrame([(104, 1), (104, 2)], columns=["unique_pt_id", "Course #"])
        courses.to_excel(book, sheet_name="course_level", index=False)
    cohort = ingest_brain_tr(tmp_path / "dicom", tmp_path / "clinical.xlsx", IngestSettings())
    prepare_cohort(cohort, tmp_path / "data", PrepareSettings(folds=1), workers=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert table[["subject", "lesion", "label"]].values.tolist() == [["sub-001", "L01", 1]]
