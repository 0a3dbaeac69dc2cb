"""Only a plan's physical dose in Gy counts, and what is not used, or guessed, is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_case import MARKER, PATIENT, STUDY, volume
from pydicom import dcmread
from treatment_response.dicom.dose import read_dose
from treatment_response.dicom.entries import DoseEntry, PlanEntry, Prescription
from treatment_response.dicom.ingest.dose import SessionDose, dose_facts, session_dose
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.structures import Roi
from treatment_response.dicom.write import write_dose
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

IMAGE = volume("axial")
GRAY = Volume(IMAGE.array / 75, IMAGE.affine)
FRAME, DRAWN, PLAN = "1.2.9", "1.2.10", "1.2.11"


def dose(tmp_path: Path, name: str = "rd", **changes: Any) -> None:
    """A dose on the frame of reference, referring to the structure set; other attributes as given."""
    references = {key: changes.pop(key) for key in ("structure_set_uid", "plan_uid", "frame_uid") if key in changes}
    references = {"structure_set_uid": DRAWN, "frame_uid": FRAME, **references}
    write_dose(
        GRAY, tmp_path / name, patient=PATIENT, study=STUDY, dose_uid=f"1.2.{len(name)}.{ord(name[-1])}", **references
    )
    dataset = dcmread(tmp_path / name)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / name)


def chosen(tmp_path: Path, plans: tuple[PlanEntry, ...] = ()) -> tuple[SessionDose | None, str]:
    index = scan_folder(tmp_path)
    assert not index.damaged
    found, problems = session_dose("sub-001", frozenset({DRAWN}), FRAME, index.doses, plans)
    assert all(str(problem).startswith("sub-001 ") for problem in problems)
    return found, "\n".join(map(str, problems))


def plan(structure_set_uid: str = DRAWN, uid: str = PLAN, *prescriptions: Prescription) -> PlanEntry:
    return PlanEntry(
        "ID-4711", "", "1.1", "1.2", FRAME, None, "", False, Path("rp"), uid, "plan", structure_set_uid, prescriptions
    )


@pytest.mark.parametrize("summation", ["PLAN", "MULTI_PLAN"])
def test_the_dose_of_a_whole_plan_is_used_without_a_word(tmp_path: Path, summation: str) -> None:
    dose(tmp_path, DoseSummationType=summation)
    found, told = chosen(tmp_path)
    assert found is not None
    assert told == ""
    np.testing.assert_allclose(found.volume.array.max(), 40, rtol=1e-3)
    at = found.volume.to_world(np.argwhere(found.volume.array == found.volume.array.max()))
    np.testing.assert_allclose(at, GRAY.to_world(np.array([MARKER])), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({"DoseSummationType": kind}, f"summation type {kind}\\) and is not used")
            for kind in ("BEAM", "FRACTION", "CONTROL_POINT", "BRACHY", "FRACTION_SESSION", "BEAM_SESSION", "RECORD")
        ),
        ({"DoseType": "EFFECTIVE"}, r"Gy\(RBE\) of Dose Type EFFECTIVE, not physical dose, and is not used"),
        ({"DoseType": "ERROR"}, "Dose Type ERROR"),
        ({"DoseUnits": "CGY"}, "is in CGY, expected GY"),
        ({"DoseUnits": "RELATIVE"}, "holds relative dose, which is refused"),
        ({"DoseUnits": ""}, "states no dose unit"),
        ({"frame_uid": "1.2.99"}, "is on another frame of reference than MRI 1"),
        ({"frame_uid": "1.2.99", "structure_set_uid": "1.2.98"}, r"none of 1 dose\(s\) belongs to"),
        ({"DoseGridScaling": "1"}, "are its values in cGy"),
    ],
)
def test_other_doses_are_told_and_not_used(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    dose(tmp_path, **changes)
    found, told = chosen(tmp_path)
    assert found is None
    assert len(told.splitlines()) == 1
    assert re.search(message, told), told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DoseSummationType": ""}, "states no summation type and was taken as the whole plan's"),
        ({"DoseSummationType": "PLAN_OVERVIEW"}, "states summation type PLAN_OVERVIEW"),
        ({"DoseType": ""}, "states no Dose Type"),
        ({"structure_set_uid": "1.2.98"}, "refers to another structure set than those of MRI 1"),
    ],
)
def test_doses_that_are_used_with_a_remark(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    dose(tmp_path, **changes)
    found, told = chosen(tmp_path)
    assert found is not None
    assert message in told


def test_a_dose_of_another_structure_set_gives_way_to_the_own_one(tmp_path: Path) -> None:
    dose(tmp_path, "rd a")
    dose(tmp_path, "rd b", structure_set_uid="1.2.98", DoseGridScaling="0.001")
    found, told = chosen(tmp_path)
    assert found is not None
    np.testing.assert_allclose(found.volume.array.max(), 40, rtol=1e-3)
    assert "1 dose(s) on MRI 1's frame of reference refer to another structure set and are not used" in told


def test_of_two_doses_none_is_used(tmp_path: Path) -> None:
    dose(tmp_path, "rd a")
    dose(tmp_path, "rd b")
    found, told = chosen(tmp_path)
    assert found is None
    assert "2 doses belong to MRI 1" in told


def test_beams_beside_the_plan_do_not_hinder(tmp_path: Path) -> None:
    dose(tmp_path, "rd a")
    dose(tmp_path, "rd b", DoseSummationType="BEAM")
    dose(tmp_path, "rd c", DoseSummationType="BEAM")
    found, told = chosen(tmp_path)
    assert found is not None
    assert len(told.splitlines()) == 1


def test_conflicting_prescriptions_and_plans_are_told(tmp_path: Path) -> None:
    dose(tmp_path)
    found, told = chosen(tmp_path, (plan(DRAWN, PLAN, Prescription(18.0, 1), Prescription(20.0, 1)),))
    assert found is not None
    assert "prescribes 18 and 20 Gy for ROI number 1, so neither is taken" in told
    found, told = chosen(tmp_path, (plan(DRAWN, PLAN), plan(DRAWN, "1.2.12")))
    assert found is not None
    assert found.plan is None
    assert "2 plans were made on MRI 1 and the dose names none" in told


def test_roi_numbers_of_a_plan_hold_in_its_structure_set_only() -> None:
    square = GRAY.to_world(np.array([[1.0, 1, 3], [6, 1, 3], [6, 9, 3], [1, 9, 3]]))
    roi = Roi("GTV 1", 1, [square])
    two = (Prescription(18.0, 1), Prescription(20.0, 2))
    for drawn_in, expected in ((DRAWN, 18.0), ("1.2.77", 15.0)):
        session = SessionDose(GRAY, plan(DRAWN, PLAN, *two))
        facts = dose_facts(session, {"gtv1": roi}, {"gtv1": drawn_in}, {}, 15.0)
        assert facts["gtv1"].prescription_gy == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DoseGridScaling": "0"}, "dose grid scaling 0"),
        ({"DoseGridScaling": "nan"}, "dose grid scaling nan"),
        ({"DoseType": "ERROR"}, "Dose Type ERROR"),
        ({"PixelSpacing": ["1", "0"]}, "position, orientation or pixel spacing that is none"),
        ({"NumberOfFrames": 8, "GridFrameOffsetVector": list(range(8))}, "cannot be decoded|9 planes|pixel"),
    ],
)
def test_grids_that_are_no_dose_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    dose(tmp_path, **changes)
    with pytest.raises(DataProblem, match=message):
        read_dose(tmp_path / "rd")


def test_constant_and_negative_doses_are_refused(tmp_path: Path) -> None:
    dose(tmp_path)
    dataset = dcmread(tmp_path / "rd")
    words = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}").copy()
    dataset.PixelData = (words * 0).tobytes()
    dataset.save_as(tmp_path / "zero")
    with pytest.raises(DataProblem, match="holds 0 Gy everywhere"):
        read_dose(tmp_path / "zero")
    words[3] = np.iinfo(words.dtype).max
    dataset.PixelData, dataset.PixelRepresentation = words.tobytes(), 1
    dataset.save_as(tmp_path / "negative")
    with pytest.raises(DataProblem, match="negative doses"):
        read_dose(tmp_path / "negative")


def test_doses_are_entries_with_their_type(tmp_path: Path) -> None:
    dose(tmp_path, DoseType="EFFECTIVE", DoseUnits="CGY")
    entry: DoseEntry = scan_folder(tmp_path).doses[0]
    assert (entry.dose_type, entry.units) == ("EFFECTIVE", "CGY")
