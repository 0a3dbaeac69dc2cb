"""Earlier and later studies of a patient, and the courses of radiotherapy that were over by a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_case import PATIENT, STUDY, volume, write
from entry_case import FIRST, drawn, series
from treatment_response.dicom.entries import DicomIndex, DoseEntry, PlanEntry, Prescription
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.studies_over_time import CONTRAST_T1, Course, Timeline, timelines
from treatment_response.dicom.write import StudyIds, write_dose, write_plan, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

SHARED: dict[str, Any] = {
    "patient_id": "P",
    "person": "p",
    "study_uid": "planning",
    "series_uid": "rt",
    "frame_uid": "frame0",
    "description": "",
    "person_known": True,
}


def plan(day: int, uid: str = "plan", fractions: int | None = 30) -> PlanEntry:
    when = FIRST + timedelta(days=day)
    prescribed = (Prescription(60.0),)
    return PlanEntry(**SHARED, date=when, path=Path(uid), sop_uid=uid, label="", structure_set_uid="rs",
                     prescriptions=prescribed, fractions=fractions)  # fmt: skip


def dose(day: int, plan_uid: str = "plan", uid: str = "dose", summation: str = "PLAN") -> DoseEntry:
    when = FIRST + timedelta(days=day)
    return DoseEntry(**SHARED, date=when, path=Path(uid), sop_uid=uid, units="GY", summation=summation,
                     plan_uid=plan_uid, structure_set_uid="rs", dose_type="PHYSICAL")  # fmt: skip


def timeline(*entries: Any, **more: Any) -> Timeline:
    index = DicomIndex()
    for entry in entries:
        kind = {"SeriesEntry": index.series, "StructureSetEntry": index.structure_sets, "DoseEntry": index.doses}
        kind.get(type(entry).__name__, index.plans).append(entry)
    return timelines(index, **more)["P"]


def four_sequences(day: int, *missing: str) -> list[Any]:
    facts = {
        "T1": {"contrast": False},
        "CT1": {},
        "T2": {"t1": False, "contrast": None, "description": "t2_tse"},
        "FLAIR": {"t1": False, "contrast": None, "description": "t2_flair"},
    }
    return [series(day, name, **changes) for name, changes in facts.items() if name not in missing]


def test_studies_stand_in_the_order_of_time_with_their_sequences() -> None:
    line = timeline(
        *four_sequences(90), *four_sequences(0), *four_sequences(30, "FLAIR"), drawn(series(0, "CT1"), "GTV")
    )
    assert [study.uid for study in line.studies] == ["study0", "study30", "study90"]
    first, second, third = line.studies
    assert line.before(third) == (second, first)
    assert line.after(first) == (second, third)
    assert [third.only(name).series_uid for name in (CONTRAST_T1, "T1w", "T2w", "FLAIR")] == [
        "mr90CT1",
        "mr90T1",
        "mr90T2",
        "mr90FLAIR",
    ]
    assert [len(study.outlines) for study in line.studies] == [1, 0, 0]
    assert line.last_before(third, (CONTRAST_T1, "FLAIR")) is first  # the second has no FLAIR
    assert line.last_before(third, (CONTRAST_T1,)) is second
    assert line.study("study30") is second
    assert not line.problems


def test_what_is_not_clear_is_told_and_never_guessed() -> None:
    line = timeline(
        series(0, "a"),
        series(0, "b"),
        series(10, contrast=None),
        series(20, date=None),
        series(30, fault="holds 1 image that cannot be used"),
        series(40, modality="CT"),
        drawn(series(50), "GTV"),
    )
    first, second = line.studies
    with pytest.raises(DataProblem, match="has 2 contrast T1 series, expected one"):
        first.only(CONTRAST_T1)
    with pytest.raises(DataProblem, match=r"has no contrast T1 series \(it has: not known\)"):
        second.only(CONTRAST_T1)
    with pytest.raises(DataProblem, match="none of 1 earlier studies has exactly one series of each of contrast T1"):
        line.last_before(second, (CONTRAST_T1,))
    with pytest.raises(DataProblem, match="is not among the patient's studies"):
        line.study("study40")
    assert [str(problem).split(";")[0] for problem in line.problems] == [
        "MR series: has no date, so its place in time is not known",
        "MR series: holds 1 image that cannot be used",
        "outlines: the series that it was drawn on is not among the files",
    ]
    two_persons = timeline(series(0), series(10, person="other"))
    assert not two_persons.studies
    assert "several persons" in str(two_persons.problems[0])


@pytest.mark.parametrize(
    ("day", "fractions", "over"),
    [
        (29, 30, False),
        (30, 30, None),
        (84, 30, None),
        (85, 30, True),
        (0, None, False),
        (1, None, None),
        (106, None, True),
    ],
)
def test_a_course_without_a_stated_end_was_over_only_where_it_must_have_been(day, fractions, over) -> None:
    course = timeline(series(0), plan(0, fractions=fractions), dose(0)).courses[0]
    assert course.finished_before(FIRST + timedelta(days=day)) is over


@pytest.mark.parametrize(
    ("planned", "filed", "dosed", "over"),
    [(320, 0, 0, None), (320, 310, 310, False), (7, 0, 3, True), (None, 0, 0, True), (0, 0, 320, None)],
    ids=["filed-in-old-study", "later", "earlier", "without-own-date", "later-dose"],
)
def test_a_plan_counts_by_its_own_date(planned: int | None, filed: int, dosed: int, over: bool | None) -> None:
    own = None if planned is None else FIRST + timedelta(days=planned)
    line = timeline(series(300), replace(plan(filed), planned_on=own), dose(dosed))
    finished, unclear = line.courses_before(FIRST + timedelta(days=300))
    assert (len(finished), len(unclear)) == (over is True, over is None)
    assert line.courses[0].date == (own or FIRST + timedelta(days=filed))
    assert all("(its files state 2 different days)" in str(problem) for problem in unclear)


def test_courses_before_a_study() -> None:
    entries = (plan(0, "p1"), dose(0, "p1", "d1"), plan(200, "p2", 5), dose(200, "p2", "d2"))
    entries = (*entries, plan(3, "p3", None), dose(3, "p3", "d3"))
    line = timeline(series(230), *entries, dose(5, "p1", "sum", "MULTI_PLAN"))
    over, unclear = line.courses_before(FIRST + timedelta(days=230))
    assert [course.doses[0].sop_uid for course in over] == ["d1", "d3"]
    assert (over[0].prescription_gy, over[0].fractions, over[0].frames) == (60.0, 30, {"frame0"})
    assert over[1].fractions is None
    assert [one.sop_uid for one in line.summed_doses] == ["sum"]
    assert len(unclear) == 1
    assert "course: 3 of 3 may have ended before the study's day or not" in str(unclear[0])
    stated = timeline(
        series(230), *entries, ends={"p2": FIRST + timedelta(days=229), "p1": FIRST + timedelta(days=230)}
    )
    over, unclear = stated.courses_before(FIRST + timedelta(days=230))
    assert [course.doses[0].sop_uid for course in over] == ["d3", "d2"]
    assert not unclear
    assert Course(None, (), None).finished_before(FIRST) is None


@pytest.mark.parametrize("referred", ["", "missing"], ids=["none-or-several", "missing"])
def test_a_dose_without_one_known_plan_may_be_a_sum(referred: str) -> None:
    line = timeline(series(300), plan(0), dose(0), dose(0, referred, "sum"))
    (told,) = line.courses_before(FIRST + timedelta(days=300))[1]
    assert "so it may be a sum of plans; export its plan, or leave out the sum" in str(told)
    over, unclear = line.courses_before(FIRST)
    assert (over, unclear) == ((), ())  # it came later


def test_doses_of_one_plan() -> None:
    beams = timeline(series(0), plan(0), dose(0, uid="b1", summation="BEAM"), dose(0, uid="b2", summation="BEAM"))
    assert [one.sop_uid for one in beams.courses[0].doses] == ["b1", "b2"]
    both = timeline(series(0), plan(0), dose(0, uid="b1", summation="BEAM"), dose(0, uid="whole"))
    assert [one.sop_uid for one in both.courses[0].doses] == ["whole"]
    two = timeline(series(0), plan(0), dose(0, uid="a"), dose(0, uid="b"), plan(1, "alone"))
    after = [FIRST + timedelta(days=days) for days in (-1, 300)]
    assert [[one.what for one in two.courses_before(day)[1]] for day in after] == [
        [],
        [problem.what for problem in two.problems],
    ]
    assert [problem.what for problem in two.problems] == [
        "2 doses belong to one plan, so it is not known which one was given",
        "has no dose among the files",
    ]


def test_files_of_a_hospital(tmp_path: Path) -> None:
    """Written, scanned and linked: two studies, a plan with its fractions and its dose on the first one's frame."""
    later = StudyIds(derived_uid("later"), "20201031", "MR head")
    frame = derived_uid("frame")
    first = write(volume(), tmp_path / "a", description="t1 gd")
    write(volume(), tmp_path / "b", uid="second", study=later, frame_uid=derived_uid("frame2"), description="t1 gd")
    square = np.array([[10.0, -20, 45], [14, -20, 45], [14, -16, 45], [10, -16, 45]])
    rois = {"GTV": [square]}
    structures = write_structure_set(rois, tmp_path / "rs.dcm", patient=PATIENT, study=STUDY, referenced=first)
    plan_uid = write_plan(tmp_path / "rp.dcm", patient=PATIENT, study=STUDY, structure_set_uid=structures,
                          frame_uid=frame, prescription_gy=60.0, fractions=30)  # fmt: skip
    grid = Volume(np.linspace(0, 60, 4 * 5 * 6).reshape(4, 5, 6), np.diag([2.5, 2.5, 2.5, 1.0]))
    write_dose(grid, tmp_path / "rd.dcm", patient=PATIENT, study=STUDY, frame_uid=frame, plan_uid=plan_uid)
    (line,) = timelines(scan_folder(tmp_path)).values()
    early, event = line.studies
    assert (early.date, event.date) == (date(2020, 1, 31), date(2020, 10, 31))
    assert line.last_before(event, (CONTRAST_T1,)) is early
    ((course,), unclear) = line.courses_before(event.date)
    assert (course.fractions, course.prescription_gy, course.frames) == (30, 60.0, early.frames)
    assert not unclear
    assert not line.problems
    assert [entry.roi_names for entry in early.outlines] == [("GTV",)]
