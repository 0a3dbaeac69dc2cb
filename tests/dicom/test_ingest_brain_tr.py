"""Brain-TR-GammaKnife's layout: DICOM with a workbook of ratings; several courses per patient; names that differ."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_bench import BACK, FRONT, Case, Visit, write_case
from treatment_response.cohort.adapters.brain_tr import RatedLesion, patient_number, read_workbook
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.pipeline import prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.dicom.ingest import IngestSettings, ingest_brain_tr
from treatment_response.dicom.ingest.brain_tr import match_ratings
from treatment_response.dicom.ingest.names import normalise
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
        # What is left over is no pair for that.
        ([(1, "A"), (2, "B")], ["a", "y"], {"a": "1"}),
        ([(1, "Lt cerebellum"), (2, "Rt frontal")], ["Lt cerebellum", "Brainstem"], {"Lt cerebellum": "1"}),
        # A number counts after "#" or as the last word; sizes and doses are none.
        ([(1, "L frontal ant"), (2, "R parietal lobe")], ["L frontal 2", "R parietal"], {"R parietal": "2"}),
        ([(1, "L frontal ant"), (2, "R parietal lobe")], ["lfrontal2", "rparietal"], {"rparietal": "2"}),
        (
            [(4, "Lt Frontal"), (5, "Rt Frontal")],
            ["Lt Frontal 5mm", "Rt Frontal 4mm"],
            {"Lt Frontal 5mm": "4", "Rt Frontal 4mm": "5"},
        ),
        (
            [(1, "vermis"), (18, "Rt temporal")],
            ["vermis tx 18Gy", "R temporal"],
            {"vermis tx 18Gy": "1", "R temporal": "18"},
        ),
        ([(1, "Rt frontal"), (2, "Rt frontal")], ["Rt #2 frontal"], {"Rt #2 frontal": "2"}),
        ([(1, "L frontal"), (2, "R parietal")], ["GTV 2"], {"GTV 2": "2"}),
        ([(1, "L frontal"), (2, "R parietal")], ["Meier 2"], {}),
        # sides and sites
        ([(1, "Left frontal")], ["Right frontal"], {}),
        ([(1, "Left frontal")], ["Left parietal"], {}),
        ([(1, "bilateral frontal")], ["L frontal"], {}),
        ([(1, "L frontal ant")], ["L frontal post"], {}),
        ([(1, "pons")], ["L brainstem met"], {"L brainstem met": "1"}),
        ([(1, "pons")], ["medulla"], {}),
        ([(1, "L fronto-parietal")], ["L frontal"], {"L frontal": "1"}),
        ([(1, "L frontal")], ["L unheard of"], {}),
        ([(1, "R frontal")], ["meierlfrontal"], {}),  # run together: its side cannot be told
        # organs and others
        ([(1, "brainstem")], ["Brainstem"], {"Brainstem": "1"}),
        ([(1, "pons")], ["Brainstem"], {}),
        ([(1, "L frontal")], ["L frontal PTV", "Eye_L", "L frontal cavity", "L frontal"], {"L frontal": "1"}),
        # two that fit one are neither, unless all of them have equal words
        ([(1, "L frontal")], ["L frontal lobe met", "L ant frontal"], {}),
        ([(1, "L frontal")], ["L frontal", "Lt frontal"], {}),
        ([(1, "L frontal")], ["L frontal", "L frontal"], {}),
        (
            [(1, "L frontal"), (2, "L frontal ant")],
            ["L frontal", "L ant frontal"],
            {"L frontal": "1", "L ant frontal": "2"},
        ),
        ([(1, "L frontal"), (2, "L frontal ant")], ["L frontal"], {}),
        (
            [(1, "Lt sup frontal"), (2, "Lt inf frontal")],
            ["L inf front", "L sup front"],
            {"L inf front": "2", "L sup front": "1"},
        ),
    ],
)
def test_sheet_and_roi_names(rows: list[tuple[int, str]], names: list[str], expected: dict[str, str]) -> None:
    found = match_ratings([row(*values) for values in rows], names)
    assert {name: lesion.number for name, lesion in found.items()} == expected


SIDES = {"left": ["L", "Lt", "left", "Left"], "right": ["R", "Rt", "right", "Right"], "": [""]}
SITES = ["frontal", "temporal lobe", "pons", "Meier", ""]
named = st.tuples(
    st.sampled_from(sorted(SIDES)),
    st.integers(0, 3),
    st.sampled_from(SITES),
    st.sampled_from(["", " 1", " #2", " 5mm"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(named, max_size=4), st.lists(named, max_size=4), st.booleans())
def test_sides_numbers_and_rows_of_a_pair_agree(
    sheet: list[tuple[str, int, str, str]], rois: list[tuple[str, int, str, str]], normalised: bool
) -> None:
    def spelled(lesion: tuple[str, int, str, str]) -> str:
        side, form, site, rest = lesion
        return f"{SIDES[side][form % len(SIDES[side])]} {site}{rest}"

    rows = [row(index, spelled((*lesion[:3], ""))) for index, lesion in enumerate(sheet)]
    names = [normalise(spelled(roi)) if normalised else spelled(roi) for roi in rois]
    matched = match_ratings(rows, names)
    assert len({lesion.number for lesion in matched.values()}) == len(matched)
    for name, lesion in matched.items():
        side = sheet[int(lesion.number)][0]
        for roi in (roi for roi, given_name in zip(rois, names, strict=True) if given_name == name):
            assert not side or not roi[0] or side == roi[0]
            assert roi[3] in ("", " 5mm") or roi[3].strip(" #") == lesion.number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("GK.103", "103"), ("103", "103"), ("GK.103_1", "103"), ("GK 007", "7"), ("7.0", "7"), ("x", "")],
        *[("2021-GK.103", "103"), ("gk_103", "103"), ("GK103.2", "103")],
        # Another id than the data set's could be another patient's.
        *[("XX.103", ""), ("2021-103", ""), ("103a", ""), ("", ""), ("0", "")],
    ],
)
def test_numbers_of_patients(text: str, expected: str) -> None:
    assert patient_number(text) == expected


def test_ids_without_a_number_of_the_data_set_stay_apart_and_are_told(archive: Path, tmp_path: Path) -> None:
    for patient_id in ("GK.103", "XX.103"):
        write_case(tmp_path / "dicom", Case(patient_id, [Visit(0, {"left_frontal": FRONT}, SKULL)]))
    cohort = ingest_brain_tr(tmp_path / "dicom", archive / "clinical.xlsx", IngestSettings())
    assert [len(source.rated.lesions) for source in cohort.sources] == [3, 0]  # type: ignore[attr-defined]
    assert any("1 patient id(s) have no number of the form GK.103" in problem for problem in cohort.problems)
    assert not any("XX.103" in problem for problem in cohort.problems)


def test_ratings_spelled_otherwise_become_no_labels_and_are_told(tmp_path: Path) -> None:
    ratings = ["Stable ", "recurrent", "radionecrosis", "", "stable?"]
    lesions = [(1, 1, number, "Pons", rating) for number, rating in enumerate(ratings, start=1)]
    lesions += [("?", "one", 6, "Pons", "stable")]  # type: ignore[list-item]
    columns = ["unique_pt_id", "Treatment Course", "Lesion #", "Lesion Location", "mri_type"]
    with pd.ExcelWriter(tmp_path / "clinical.xlsx") as book:
        pd.DataFrame(lesions, columns=columns).to_excel(book, sheet_name="lesion_level", index=False)
        pd.DataFrame([(1, 1)], columns=["unique_pt_id", "Course #"]).to_excel(
            book, sheet_name="course_level", index=False
        )
    patients, problems = read_workbook(tmp_path / "clinical.xlsx")
    assert [lesion.label for lesion in patients["1"].lesions] == [1, 0, None, None, None]
    assert [problem.what for problem in problems] == [
        "1 of 6 rows have no patient number",
        "1 of 6 rows have no whole number as Treatment Course",
        "3 of 6 rows have a rating that is neither stable nor recurrence",
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
