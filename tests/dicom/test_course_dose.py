"""What a course delivered: a whole plan or all of its beams, planned or recorded fractions, physical or effective."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_case import PATIENT, STUDY
from pydicom.dataset import Dataset
from treatment_response.dicom.course_dose import read_course_dose, read_course_doses
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.studies_over_time import Course, timelines
from treatment_response.dicom.write import write_dose, write_plan
from treatment_response.dicom.write.base import derived_uid, new_object, save
from treatment_response.dicom.write.identity import Equipment
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

FRAME, PLAN = derived_uid("frame"), derived_uid("a plan")
GRID = np.array([[2.5, 0, 0, -4], [0, 2.5, 0, 7], [0, 0, 3, 11], [0, 0, 0, 1]])
SHAPE = (5, 6, 4)


def edited(path: Path, edit: Any) -> None:
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def plan(folder: Path, beams: int = 2, fractions: int = 30, radiation: str = "PHOTON") -> None:
    path = folder / "plan.dcm"
    write_plan(path, patient=PATIENT, study=STUDY, structure_set_uid=derived_uid("rs"), frame_uid=FRAME,
               prescription_gy=60.0, fractions=fractions, plan_uid=PLAN)  # fmt: skip

    def describe(dataset: Dataset) -> None:
        numbers = range(1, beams + 1)
        dataset.BeamSequence = [item(BeamNumber=n, RadiationType=radiation) for n in numbers]
        dataset.FractionGroupSequence[0].ReferencedBeamSequence = [item(ReferencedBeamNumber=n) for n in numbers]

    edited(path, describe)


def dose(folder: Path, name: str, highest: float, beam: int | None = None, **more: Any) -> None:
    path = folder / f"{name}.dcm"
    array = np.linspace(0, highest, int(np.prod(SHAPE))).reshape(SHAPE)
    write_dose(Volume(array, GRID), path, patient=PATIENT, study=STUDY, frame_uid=FRAME, plan_uid=PLAN,
               summation="PLAN" if beam is None else "BEAM", dose_uid=derived_uid(name))  # fmt: skip

    def describe(dataset: Dataset) -> None:
        for keyword, value in more.items():
            setattr(dataset, keyword, value)
        if beam is not None:
            group = item(ReferencedBeamSequence=[item(ReferencedBeamNumber=beam)], ReferencedFractionGroupNumber=1)
            dataset.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = [group]

    edited(path, describe)


def record(folder: Path, fraction: int, day: date, delivery: str = "TREATMENT") -> None:
    uid = derived_uid("record", str(fraction), delivery)
    out = new_object("1.2.840.10008.5.1.4.1.1.481.4", uid, "RTRECORD", derived_uid(uid, "series"), patient=PATIENT,
                     study=STUDY, equipment=Equipment(), description="", series_number=1)  # fmt: skip
    out.ReferencedRTPlanSequence = [item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=PLAN)]
    out.TreatmentSessionBeamSequence = [item(CurrentFractionNumber=fraction, TreatmentDeliveryType=delivery)]
    out.TreatmentDate = f"{day:%Y%m%d}"
    save(out, folder / f"record{fraction}{delivery}.dcm")


def course(folder: Path) -> Course:
    (line,) = timelines(scan_folder(folder)).values()
    (found,) = line.courses
    return found


def test_the_doses_of_all_beams_are_summed(tmp_path: Path) -> None:
    plan(tmp_path, radiation="PROTON")
    dose(tmp_path, "one", 40.0, 1)
    dose(tmp_path, "two", 20.0, 2)
    read = read_course_dose(course(tmp_path))
    np.testing.assert_allclose(read.volume.array, np.linspace(0, 60, 120).reshape(SHAPE), atol=0.01)
    np.testing.assert_allclose(read.volume.affine, GRID, atol=1e-4)
    assert (read.fractions, read.fractions_from, read.radiation) == (30, "the plan", ("PROTON",))
    assert "the doses of its 2 beams were summed" in read.notes


@pytest.mark.parametrize("beams", [(1,), (1, 1), (1, 3)], ids=["missing", "twice", "foreign"])
def test_an_incomplete_set_of_beams_is_refused(tmp_path: Path, beams: tuple[int, ...]) -> None:
    plan(tmp_path)
    for number, beam in enumerate(beams):
        dose(tmp_path, f"beam{number}", 40.0, beam)
    with pytest.raises(
        DataProblem, match=r"dose: (has the doses of \d beams of a plan of 2|a course has doses of parts)"
    ):
        read_course_dose(course(tmp_path))


def test_records_say_how_much_was_delivered_and_when_it_was_over(tmp_path: Path) -> None:
    plan(tmp_path, fractions=5)
    dose(tmp_path, "whole", 61.0, DoseType="EFFECTIVE")
    first = date(2020, 2, 10)
    for number in range(1, 5):
        record(tmp_path, number, first + timedelta(days=number))
    record(tmp_path, 5, first + timedelta(days=1), "SETUP")  # a portal image gives no dose that counts
    found = course(tmp_path)
    assert (found.delivered, found.last_treated) == (4, first + timedelta(days=4))
    ends = [found.finished_before(first + timedelta(days=days)) for days in (4, 10, 30)]
    assert ends == [False, None, True]  # a pause of a few days may go on
    read = read_course_dose(found)
    assert read.volume.array.max() == pytest.approx(61 * 4 / 5, rel=1e-3)
    assert (read.fractions, read.planned_fractions, read.fractions_from) == (4, 5, "treatment records")
    assert read.effective
    assert {"4 of 5 planned fractions were delivered by treatment records; the dose was scaled",
            "its dose is effective dose, in Gy(RBE)"} == set(read.notes)  # fmt: skip


@pytest.mark.parametrize(
    ("fractions", "first", "sentence"),
    [
        ([5], date(2020, 2, 10), "are not complete: they hold 1 of the fractions up to number 5; export all of them"),
        ([1, 2, 4], date(2020, 2, 10), "are not complete: they hold 3 of the fractions up to number 4"),
        ([1, 2, 3, 4, 5, 6], date(2020, 2, 10), "tell of 6 fractions of a plan of 5; export the records and the plan"),
        ([1, 2, 3, 4, 5], date(2020, 1, 29), "begin before the day of their plan"),
    ],
    ids=["last-only", "gap", "more-than-planned", "before-the-plan"],
)
def test_records_that_do_not_tell_how_much_was_delivered(tmp_path: Path, fractions, first: date, sentence: str) -> None:
    plan(tmp_path, fractions=5)
    dose(tmp_path, "whole", 61.0)
    for number in fractions:
        record(tmp_path, number, first + timedelta(days=number))
    found = course(tmp_path)
    with pytest.raises(DataProblem, match=f"treatment records: {sentence}"):
        read_course_dose(found)
    (line,) = timelines(scan_folder(tmp_path)).values()
    assert sentence in str(line.courses_before(date(2020, 10, 1))[1][0])


@pytest.mark.parametrize("day", [date(2020, 3, 10), date(2020, 10, 10)], ids=["before", "after"])
def test_records_alone_tell_of_a_course_that_is_missing(tmp_path: Path, day: date) -> None:
    plan(tmp_path, fractions=5)
    dose(tmp_path, "whole", 61.0)
    record(tmp_path, 1, day)
    other = item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=derived_uid("other"))
    edited(tmp_path / "record1TREATMENT.dcm", lambda one: setattr(one, "ReferencedRTPlanSequence", [other]))
    (line,) = timelines(scan_folder(tmp_path)).values()
    told = [str(problem) for problem in line.courses_before(date(2020, 10, 1))[1]]
    sentence = (
        "treatment records: tell of a plan that is not among the files, nor is its dose; export its plan and dose."
    )
    assert told == ([sentence] if day.month == 3 else [])


def test_a_summary_tells_what_records_with_gaps_do_not(tmp_path: Path) -> None:
    plan(tmp_path, fractions=5)
    dose(tmp_path, "whole", 61.0)
    record(tmp_path, 5, date(2020, 2, 10))

    def summarise(written: Dataset) -> None:
        written.SOPClassUID = written.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.7"
        written.SOPInstanceUID = written.file_meta.MediaStorageSOPInstanceUID = derived_uid("summary")
        written.FractionGroupSummarySequence = [item(NumberOfFractionsDelivered=5)]
        written.TreatmentSessionBeamSequence = []

    shutil.copy(tmp_path / "record5TREATMENT.dcm", tmp_path / "summary.dcm")
    edited(tmp_path / "summary.dcm", summarise)
    assert (course(tmp_path).delivered, course(tmp_path).faults) == (5, ())


def test_a_sum_of_plans_is_never_added_to_them(tmp_path: Path) -> None:
    plan(tmp_path)
    dose(tmp_path, "whole", 61.0)
    plans = [item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=uid) for uid in (PLAN, derived_uid("other"))]
    dose(tmp_path, "sum", 80.0, DoseSummationType="MULTI_PLAN", ReferencedRTPlanSequence=plans)
    found = course(tmp_path)
    assert len(found.doses) == 1
    assert read_course_dose(found).volume.array.max() == pytest.approx(61, rel=1e-3)


@pytest.mark.parametrize(("highest", "copied"), [(61.0, True), (61.1, False)], ids=["copy", "other"])
def test_a_plan_and_its_dose_under_new_uids_count_once(tmp_path: Path, highest: float, copied: bool) -> None:
    plan(tmp_path, fractions=5)
    dose(tmp_path, "whole", 61.0)
    for fraction in range(1, 5):  # the dose of the first is scaled by 4/5
        record(tmp_path, fraction, date(2020, 2, 10))
    new = derived_uid("copied plan")
    shutil.copy(tmp_path / "plan.dcm", tmp_path / "plan2.dcm")
    edited(tmp_path / "plan2.dcm", lambda written: setattr(written, "SOPInstanceUID", new))
    plans = [item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=new)]
    dose(tmp_path, "again", highest, ReferencedRTPlanSequence=plans)
    (line,) = timelines(scan_folder(tmp_path)).values()
    if not copied:
        assert len(read_course_doses(line.courses)) == 2
        return
    with pytest.raises(DataProblem, match="course: 2 of 2 has the same dose as course 1, so it may be a copy of it;"):
        read_course_doses(line.courses)


def test_units_that_do_not_fit_the_prescription(tmp_path: Path) -> None:
    plan(tmp_path)
    dose(tmp_path, "whole", 0.61)
    with pytest.raises(DataProblem, match=r"reaches 0\.61 Gy where its plan prescribes 60 Gy: a unit is wrong"):
        read_course_dose(course(tmp_path))


@pytest.mark.parametrize(("highest", "told"), [(53.0, "0.88"), (61.0, ""), (91.0, "1.52")])
def test_an_unusual_dose_is_told(tmp_path: Path, highest: float, told: str) -> None:
    plan(tmp_path)
    dose(tmp_path, "whole", highest)
    notes = [note for note in read_course_dose(course(tmp_path)).notes if "is usual" in note]
    sentence = f"its highest dose is {told} of the 60 Gy prescribed, where 0.9 to 1.5 is usual: check both"
    assert notes == ([sentence] if told else [])


def test_a_dose_without_its_plan_is_no_course(tmp_path: Path) -> None:
    dose(tmp_path, "whole", 61.0)
    with pytest.raises(DataProblem, match="dose: its plan is not among the files, so it may be a sum of plans"):
        read_course_dose(course(tmp_path))


def test_a_plan_may_not_state_its_fractions(tmp_path: Path) -> None:
    plan(tmp_path)
    edited(
        tmp_path / "plan.dcm", lambda written: written.FractionGroupSequence[0].__delattr__("NumberOfFractionsPlanned")
    )
    dose(tmp_path, "whole", 61.0)
    read = read_course_dose(course(tmp_path))
    assert (read.fractions, read.fractions_from, read.prescription_gy) == (None, "", 60.0)
    with pytest.raises(DataProblem, match="the number of fractions is not known, so EQD2 cannot be computed"):
        read.as_eqd2(2.0)
    assert replace(read, fractions=30).as_eqd2(2.0).volume.array.max() == pytest.approx(
        61 * (61 / 30 + 2) / 4, rel=1e-3
    )
