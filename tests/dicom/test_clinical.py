"""The clinical table: each fact with the right lesion and patient, or told by its row."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from treatment_response.dicom.ingest.clinical import ClinicalFacts, read_clinical, unmatched_ids
from treatment_response.problems import DataProblem

HEADER = "patient_id,roi_name,prescription_gy,first_treatment_date,follow_up,surgery_date\n"


def read(folder: Path, rows: str, header: str = HEADER) -> tuple[dict[str, ClinicalFacts], str]:
    path = folder / "clinical.csv"
    path.write_text(header + rows, encoding="utf-8")
    facts, problems = read_clinical(path)
    return facts, "\n".join(map(str, problems))


def test_facts_of_a_patient(tmp_path: Path) -> None:
    rows = "007,GTV_01,20,2024-01-08,Resolved,\n007,gtv 2,18.5,08.01.2024,,12 Mar 2024\n007,,15,,,1 Feb 2024\n"
    facts, told = read(tmp_path, rows)
    assert told == ""
    assert list(facts) == ["007"]
    assert facts["007"].prescriptions == {"gtv1": 20, "gtv2": 18.5, "": 15}
    assert facts["007"].treatment == date(2024, 1, 8)
    assert facts["007"].follow_up == {"gtv1": "resolved"}
    assert facts["007"].surgery == {"gtv2": (date(2024, 3, 12),), "": (date(2024, 2, 1),)}
    assert facts["007"].unreadable == []


def test_a_table_may_hold_outcomes_only(tmp_path: Path) -> None:
    facts, told = read(tmp_path, "a;GTV 1;Not_Imaged\n", "patient_id;roi_name;follow_up\n")
    assert (facts["a"].follow_up, told) == ({"gtv1": "not imaged"}, "")
    with pytest.raises(DataProblem, match="has none of the columns prescription_gy, first_treatment_date"):
        read(tmp_path, "a,b\n", "patient_id,note\n")


@pytest.mark.parametrize("text", ["12/20/2023", "20.12.2023", "20-Dez-2023", "20231220", "2023-12-20 00:00:00"])
def test_a_day_of_treatment_counts_in_every_form(tmp_path: Path, text: str) -> None:
    facts, told = read(tmp_path, f"a,,18,{text},,\n")
    assert (facts["a"].treatment, facts["a"].unreadable, told) == (date(2023, 12, 20), [], "")


@pytest.mark.parametrize("column", ["first_treatment_date", "surgery_date"])
@pytest.mark.parametrize("text", ["1/10/2024", "45296", "soon", "NA", "2024-02-30", "20.12.23"])
def test_a_date_that_cannot_be_read_spoils_its_patient_alone(tmp_path: Path, column: str, text: str) -> None:
    cells = {"first_treatment_date": f"{text},,", "surgery_date": f",,{text}"}
    facts, told = read(tmp_path, f"a,,18,{cells[column]}\nb,,18,2024-01-08,,\n")
    assert facts["a"].unreadable == [column]
    assert facts["b"].unreadable == []
    assert f"clinical table row 2: {column} " in told


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (",,18,,,\n", "row 2: patient_id is empty"),
        ("a,,1800,,,\n", "row 2: prescription_gy is 1800 instead of a number above 0 and up to 200 Gy"),
        ("a,,18 Gy,,,\n", "row 2: prescription_gy is no number"),
        ("a,,,,resolved,\n", "row 2: follow_up is given without roi_name"),
        ("a,GTV 1,,,shrunk,\n", "row 2: follow_up holds a text that is not known; write one of resolved, resected"),
        ("a,GTV 1,,,resolvd,\n", "row 2: follow_up is 'resolvd', which is not known"),
        ("a,???,18,,,\n", "row 2: roi_name holds neither a letter nor a number"),
        ("a,GTV 1,18,,,\na,gtv_1,20,,,\n", "rows 2, 3: contradict each other in prescription_gy (18.0, 20.0)"),
        ("a,GTV 1,,,resolved,\na,GTV 1,,,present,\n", "rows 2, 3: contradict each other in follow_up"),
        ("a,,,2024-01-08,,\na,,,2024-01-10,,\n", "rows 2, 3: give one patient several dates of first treatment"),
        ("a,,18,5,,,\nb,,18,,,\n", "row 2: has 7 cells, the header has 6"),
    ],
)
def test_what_cannot_be_used_is_told_by_row(tmp_path: Path, rows: str, sentence: str) -> None:
    facts, told = read(tmp_path, rows)
    assert sentence in told
    assert "" not in facts
    for patient in facts.values():
        assert patient.follow_up == {}
        assert set(patient.prescriptions.values()) <= {18.0} - ({18.0} if "18.0, 20.0" in told else set())


def test_of_several_days_of_treatment_the_first_counts(tmp_path: Path) -> None:
    facts, _ = read(tmp_path, "a,,,2024-01-10,,\na,,,2024-01-08,,\n")
    assert facts["a"].treatment == date(2024, 1, 8)


def test_equal_rows_are_no_contradiction(tmp_path: Path) -> None:
    facts, told = read(tmp_path, "a,GTV 1,18,2024-01-08,gone,\n" * 2)
    assert told == ""
    assert facts["a"].follow_up == {"gtv1": "resolved"}


def test_a_ragged_row_may_hold_the_day_of_treatment(tmp_path: Path) -> None:
    facts, _ = read(tmp_path, "a,GTV 1,18,5,2024-01-08,,\nb,,18,,,\n")
    assert facts["a"].unreadable == ["first_treatment_date", "surgery_date"]
    assert facts["a"].prescriptions == {}


def test_a_date_under_another_name_is_told(tmp_path: Path) -> None:
    _, told = read(tmp_path, "a,18,2023-12-20,1950-01-01\n", "patient_id,prescription_gy,Datum GK,birth date\n")
    assert "has 1 column(s) whose names speak of dates or surgery and which are not read" in told
    assert "GK" not in told


def test_ids_that_differ_by_their_spelling_are_told_and_not_matched(tmp_path: Path) -> None:
    facts, _ = read(tmp_path, "7,,18,,,\nhn 3,,18,,,\n0010,,18,,,\nother,,18,,,\n")
    told = "\n".join(map(str, unmatched_ids(facts, {"007", "HN3", "0010", "8"})))
    for row in (2, 3):
        assert f"clinical table row {row}: patient_id differs from an id of the files by capitals" in told
    assert "names 1 patient(s) that are not among the files" in told
    assert not any(name in told for name in ("hn", "other", "row 4"))
