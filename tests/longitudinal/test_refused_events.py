"""What a preparation of events refuses: a sentence each, for the patient it concerns."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import nibabel
import numpy as np
import pytest
from event_case import FIRST, Hospital, change, planned_dose, script
from pydicom.dataset import Dataset
from treatment_response.cases.brain_mask import BrainMask, TemplateFit
from treatment_response.cases.registration import Registration
from treatment_response.cohort.unfinished import only_writer
from treatment_response.dicom import event_studies
from treatment_response.dicom.course_dose import read_course_dose
from treatment_response.dicom.entries import PlanEntry
from treatment_response.dicom.event_studies import find_events
from treatment_response.dicom.studies_over_time import Course
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose
from treatment_response.longitudinal import case as case_module
from treatment_response.longitudinal.label_table import parse_site, parse_source
from treatment_response.longitudinal.manifest import read_event_manifest
from treatment_response.longitudinal.pipeline import EventCohort, dry_run, prepare_events
from treatment_response.longitudinal.settings import DoseScale, LongitudinalSettings
from treatment_response.longitudinal.studies import EventLabel, EventStudies, PlacedDose
from treatment_response.problems import DataProblem

FLAT = Volume(np.full((12, 12, 12), 300, np.int16), np.diag([8.0, 8, 8, 1]))


def plan_entry(day: date, fractions: int) -> PlanEntry:
    shared = dict.fromkeys(("patient_id", "person", "study_uid", "series_uid", "frame_uid", "description"), "x")
    return PlanEntry(**shared, date=day, person_known=True, path=Path("x"), sop_uid="x", label="",
                     structure_set_uid="", prescriptions=(), fractions=fractions)  # fmt: skip


def reason(hospital: Hospital) -> str:
    """Why the only patient is left out, by its headers or when it is read."""
    cohort = find_events(hospital.folder, hospital.table())
    if cohort.left_out:
        ((_, told),) = cohort.left_out
        return told
    (source,) = cohort.sources
    with pytest.raises(DataProblem) as raised:
        source.load()
    return str(raised.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"contrast": False}, "event: no contrast T1 of the day in the table (1 MR studies of that day"),
        (
            {"dose_frame": "nowhere"},
            "dose: lies in another frame of reference, and no image that it could be registered",
        ),
        ({"dose": Volume(planned_dose().array * 100, planned_dose().affine)}, "(are its values in cGy?)"),
        ({"dose": planned_dose(0.01)}, "dose: reaches 0.624 Gy where its plan prescribes 60 Gy: a unit is wrong"),
        ({"dose_type": "ERROR"}, "dose: holds the error of a dose"),
        ({"event_day": 10}, "dose: no course of radiotherapy was over before the event (1 came later)"),
        ({"event_day": 60}, "course: 1 of 1 may have ended before the study's day or not"),
        ({"label": "tumour"}, "label is none of radiation effect, recurrence, mixed; write radiation effect or"),
        ({"event": FLAT}, "holds the value 300 only, expected an image; export it again"),
        (
            {"records": 27},
            "treatment records: hold 27 of the plan's 30 fractions: treatment ended early, or records are missing; "
            "state the number in fractions_delivered of the clinical table, or export the summary.",
        ),
        (
            {"records": 27, "fractions_delivered": "26"},
            "fractions_delivered is 26, where treatment records tell of 27",
        ),
        ({"fractions_delivered": "31"}, "fractions_delivered is 31, more than the 30 of the plan"),
        ({"fractions_delivered": "27+3"}, "states 2 course(s), and 1 were over before the event; write one number per"),
        ({"fractions_delivered": "all"}, "fractions_delivered is no number of fractions from 1 to 99"),
    ],
    ids=[
        *("contrast", "frame", "cGy", "unit", "error", "course-after", "course-unclear", "label", "constant"),
        *("records-end-early", "fewer-than-recorded", "more-than-planned", "two-numbers", "no-number"),
    ],
)
def test_a_sentence_says_why_a_patient_is_left_out(tmp_path: Path, options, sentence: str) -> None:
    hospital = Hospital(tmp_path)
    hospital.patient("X", **{"images": False, "outline": False, **options})
    assert sentence in reason(hospital)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2022-12-26,recurrence,,biopsy,2023-01-05,", "event_date is not after post_operative_date"),
        ("2022-12-26,recurrence,,,,", "label_source is empty"),
        ("2022-12-26,recurrence,2022-12-25,biopsy,,", "label_date lies before event_date, so the label cannot be"),
        ("2022-12-26,recurrence,,Dr Meyer 17.6.2020,,", "label_source is none of biopsy, resection, follow-up, imag"),
        ("2022-12-26,recurrence,,biopsy,,,Dr Meyer", "site is no short code, expected up to 12 letters and digits"),
        ("2022-12-26,recurrence,,biopsy,,,C1762020", "no more than 3 digits in a row; write a code such as A or"),
        ("2022-12-26,recurrence,,biopsy,,,Ward3SynX", "site holds the id of a patient; write a code such as A or"),
        ("2022-12-26,recurrence,,biopsy,,2023-01-01", "event: lies before the operation"),
        ("2022-12-27,recurrence,,biopsy,,", "event: no contrast T1 of the day in the table (0 MR studies"),
        ("2022-12-26,recurrence,,biopsy,2022-03-02,", "post-operative MR: no contrast T1 of the day in the table"),
        ("2022-12-26,recurrence,,biopsy,2022-06-01,", "the day in the table lies after the first course's plan"),
        ("2022-12-26,recurrence,,biopsy,2022-03-01,2022-03-02", "post_operative_date lies before operation_date"),
    ],
    ids=[
        "order",
        "source",
        "label-date",
        "source-text",
        "site-text",
        "site-digits",
        "site-id",
        "operation",
        "day",
        "post-operative",
        "after-radiotherapy",
        "before-operation",
    ],
)
def test_dates_that_cannot_be(tmp_path: Path, row: str, sentence: str) -> None:
    hospital = Hospital(tmp_path)
    hospital.patient("X", images=False, outline=False)
    table = tmp_path / "dates.csv"
    header = "patient_id,event_date,label,label_date,label_source,post_operative_date,operation_date,site"
    table.write_text(f"{header}\nSYN-X,{row}{',' * (6 - row.count(','))}\n")
    ((_, told),) = find_events(tmp_path, table).left_out
    assert sentence in told
    assert "Meyer" not in told


@pytest.mark.parametrize(("records", "stated", "scale"), [(27, "27", 0.9), (27, "30", 1.0), (None, "27", 0.9)])
def test_a_person_states_what_was_delivered(tmp_path: Path, records: int | None, stated: str, scale: float) -> None:
    """Records that end early may lack the last ones; without any, the table counts."""
    hospital = Hospital(tmp_path)
    hospital.patient("X", images=False, outline=False, records=records, fractions_delivered=stated)
    (source,) = find_events(tmp_path, hospital.table()).sources
    dose = read_course_dose(source.courses[0])
    assert (dose.fractions, dose.fractions_from) == (int(stated), "the clinical table")
    assert dose.volume.array.max() == pytest.approx(scale * planned_dose().array.max(), rel=1e-3)
    assert any("by the clinical table; the dose was scaled" in note for note in dose.notes) == (scale < 1)


def test_a_label_source_may_be_spelled_as_people_do() -> None:
    assert [parse_source(text) for text in ("Follow up", "FOLLOW-UP", "biopsy")] == ["follow-up", "follow-up", "biopsy"]
    assert [parse_site(text, ["A-1", "SYN-X"]) for text in ("", "A", "Clinic12")] == ["", "A", "Clinic12"]


def another_study(image: Dataset, number: str) -> None:
    """The same examination a second time, with other UIDs and one other voxel."""
    image.StudyInstanceUID, image.SeriesInstanceUID = derived_uid("again"), derived_uid("again", "series")
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = derived_uid("again", number)
    image.PixelData = b"\1\0" + image.PixelData[2:]


def test_two_post_operative_studies_of_one_day_are_not_chosen_from(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    root = hospital.patient("X", images=False, outline=False)
    shutil.copytree(root / "post", root / "again")
    for number, path in enumerate(sorted((root / "again").iterdir())):
        change(path, lambda image, n=str(number): another_study(image, n))
    told = "post-operative MR: 2 studies of that day have a contrast T1, so it is not known which is meant; leave out"
    assert told in reason(hospital)


def test_a_later_plan_in_the_old_study_is_left_out_unless_records_tell(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    root = hospital.patient("X", images=False, outline=False)
    change(root / "plan.dcm", lambda plan: setattr(plan, "RTPlanDate", f"{FIRST + timedelta(days=320):%Y%m%d}"))
    assert "course: 1 of 1 may have ended before the study's day or not (its files state 2" in reason(hospital)
    for path in Hospital(tmp_path / "recorded").patient("X", images=False, outline=False, records=30).glob("record*"):
        path.rename(root / path.name)
    assert len(find_events(root, hospital.table()).sources) == 1


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (Path.unlink, "plan: has no dose among the files"),
        (lambda path: shutil.copy(path, path.with_name("copy")), "dose: 2 doses belong to one plan"),
        (lambda path: path.write_bytes(path.read_bytes()[:1500]), "export it again"),
    ],
    ids=["missing", "two", "damaged"],
)
def test_one_course_before_the_event_without_its_dose_leaves_the_patient_out(tmp_path, spoil, sentence: str) -> None:
    hospital = Hospital(tmp_path)
    root = hospital.patient("X", images=False, outline=False, later_course=True)
    hospital.course("boost", 60, planned_dose(0.9))
    spoilt = tmp_path / "later" / "X"
    shutil.copytree(root, spoilt)
    for folder, name in ((root, "boost_dose.dcm"), (spoilt, "later_dose.dcm")):
        spoil(folder / name)
        if (folder / "copy").exists():
            change(folder / "copy", lambda dose: setattr(dose, "SOPInstanceUID", derived_uid("copy")))
    table = hospital.table()
    ((_, told),) = find_events(root, table).left_out
    assert sentence in told
    (taken,) = find_events(spoilt, table).sources  # of a later course it is only told
    assert (len(taken.courses), taken.later) == (2, 1)


def test_both_files_of_a_course_damaged_leave_the_patient_out(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    root = hospital.patient("X", images=False, outline=False)
    hospital.course("boost", 60, planned_dose(0.9))
    for path in root.glob("boost*"):
        path.write_bytes(path.read_bytes()[:-20])
    ((_, told),) = find_events(root, hospital.table()).left_out
    assert told.count("file boost") == 2


def test_fractions_that_nobody_states_are_refused_for_eqd2_only() -> None:
    course = CourseDose(planned_dose(), prescription_gy=60.0)
    studies = EventStudies(FLAT, FLAT, [PlacedDose(course, None)], 30)
    with pytest.raises(DataProblem, match="dose: the number of fractions is not known, so EQD2 cannot be computed"):
        case_module.scaled_doses(studies, LongitudinalSettings())
    assert case_module.scaled_doses(studies, LongitudinalSettings(DoseScale.PHYSICAL)) == [course]


def test_the_isodose_is_that_of_all_prescriptions_however_many_courses_gave_them() -> None:
    plans = [CourseDose(FLAT, fractions=n, planned_fractions=n, prescription_gy=2.0 * n) for n in (25, 5, 10)]
    days = [FIRST, FIRST + timedelta(days=36), FIRST + timedelta(days=400)]
    courses = [Course(plan_entry(day, n), (), day) for day, n in zip(days, (25, 5, 10), strict=True)]
    studies = EventStudies(FLAT, FLAT, [PlacedDose(dose, None) for dose in plans], 500)
    assert case_module._isodose(studies, LongitudinalSettings(DoseScale.PHYSICAL), 0.95) == pytest.approx(0.95 * 80)
    eqd2 = sum(0.95 * total * (0.95 * 2 + 2) / 4 for total in (50, 10, 20))
    assert case_module._isodose(studies, LongitudinalSettings(), 0.95) == pytest.approx(eqd2)
    brain = BrainMask(FLAT, "", TemplateFit(np.eye(4), 1.0))
    numbers = case_module._numbers(studies, brain, None, "", LongitudinalSettings())
    assert [numbers[name] for name in ("prescription_gy", "fractions", "courses")] == [80, 40, 3]
    since, _ = event_studies.days_since_radiotherapy(courses, FIRST + timedelta(days=450))
    assert since == 450 - (400 + 14)


def test_a_dose_that_misses_the_brain_and_a_failed_registration() -> None:
    affine = np.diag([4.0, 4, 4, 1])
    mask = np.zeros((30, 30, 30), np.uint8)
    mask[8:22, 8:22, 8:22] = 1
    brain = BrainMask(Volume(mask, affine), "", TemplateFit(np.eye(4), 1.0))
    image = Volume(mask * 100.0, affine)
    array = np.zeros((30, 30, 30), np.float32)
    array[:5, :5, :5] = 60
    dose = CourseDose(Volume(array, affine))
    studies = EventStudies(image, image, [PlacedDose(dose, None)], 30)
    registration = Registration(np.eye(4), 0.0, 1.5, 1.0)
    with pytest.raises(DataProblem, match=r"dose: misses the brain: it reaches 60.0 Gy, and 0.0 Gy inside the brain"):
        case_module._on_event(dose, studies.doses[0], studies, registration, brain)
    doubtful = Registration(np.eye(4), 3.0, 1.0, 1.0, ("registered there and back it differs by 3.0 mm",))
    with pytest.raises(DataProblem, match="is doubtful, so the case is left out: registered there and back"):
        case_module._trusted(doubtful, "post-operative image")


def test_a_manifest_of_nifti(tmp_path: Path) -> None:
    for name, array in (("t1", FLAT.array), ("dose", planned_dose().array * 100), ("gy", planned_dose().array)):
        nibabel.save(
            nibabel.Nifti1Image(array.astype(np.float32), np.diag([2.0, 2, 2, 1])), tmp_path / f"{name}.nii.gz"
        )
    path = tmp_path / "manifest.csv"
    path.write_text(
        "subject,event,post_operative,dose,days_between,label,label_source,dose_space,fractions,prescription_gy,label_date_days\n"
        "p1,t1.nii.gz,t1.nii.gz,gy.nii.gz,200,recurrence,biopsy,post_operative,30,60,\n"
        "p1,t1.nii.gz,t1.nii.gz,gy.nii.gz,200,recurrence,biopsy,event,5,25,\n"
        "p2,t1.nii.gz,t1.nii.gz,dose.nii.gz,200,recurrence,biopsy,event,30,60,\n"
        "p3,t1.nii.gz,t1.nii.gz,gy.nii.gz,,recurrence,biopsy,event,30,60,\n"
        "p4,t1.nii.gz,t1.nii.gz,gy.nii.gz,200,recurrence,biopsy,event,30,60,150\n"
    )
    cohort = read_event_manifest(path)
    first, second = cohort.sources
    studies = first.load()
    assert [(one.dose.fractions, one.anchor is studies.post_operative) for one in studies.doses] == [
        (30, True),
        (5, False),
    ]
    assert studies.doses[1].anchor is None
    with pytest.raises(DataProblem, match="are its values in cGy"):
        second.load()
    assert cohort.left_out[0][0] == "sub-003"
    assert "days_between is empty" in cohort.left_out[0][1]
    assert "label_date_days is less than days_between" in cohort.left_out[1][1]


def test_a_second_run_does_not_mix_its_results_with_those_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    cohort = EventCohort([], [], "no patients")
    with (
        only_writer(out),
        pytest.raises(DataProblem, match="--out: another command is writing it; wait for its end, or name another"),
    ):
        prepare_events(cohort, out, LongitudinalSettings())
    with pytest.raises(DataProblem, match="no case is left"):
        prepare_events(cohort, out, LongitudinalSettings())
    assert not list(tmp_path.glob("*.lock"))


@dataclass(frozen=True)
class OddPatient:
    """A patient whose reading fails in a way that nobody foresaw."""

    subject: str
    files: tuple[Path, ...] = ()
    facts: str = ""

    @property
    def label(self) -> EventLabel:
        return EventLabel("recurrence", "biopsy")

    def load(self) -> EventStudies:
        raise KeyError("Meyer")


def test_a_dry_run_goes_on_after_an_odd_patient_and_tells_how_many_subjects_are_grouped() -> None:
    cohort = EventCohort(
        [OddPatient("sub-001"), OddPatient("sub-002")], [], "odd patients", same_person=[("sub-001", "sub-002")]
    )
    told = dry_run(cohort, LongitudinalSettings()).text
    assert "sub-002: sub-002: an unexpected KeyError in test_refused_events.py line" in told
    assert "Meyer" not in told
    assert "2 subjects are 1 person by name and birth date: cases of one person share a fold" in told


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--test-patients", "-1", "--test-patients: is -1, expected 0 or more; ask for 12."),
        ("--folds", "1", "--folds: is 1, expected 2 or more; ask for 5."),
    ],
)
def test_a_number_that_makes_no_sense_is_told_by_its_option(tmp_path, capsys, option, value, sentence) -> None:
    assert script().main(["--nifti", "m.csv", "--out", str(tmp_path / "out"), option, value]) == 2
    assert sentence in capsys.readouterr().err


SLOW = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from treatment_response.commands import command
from treatment_response.longitudinal.pipeline import EventCohort, prepare_events
from treatment_response.longitudinal.settings import LongitudinalSettings
from treatment_response.longitudinal.studies import EventLabel
from treatment_response.problems import DataProblem, Problem

@dataclass(frozen=True)
class Patient:
    subject: str
    folder: str
    label: EventLabel = EventLabel("recurrence", "biopsy")
    files: tuple = ()
    facts: str = ""

    def load(self):
        path = Path(self.folder) / f"{self.subject}.loaded"
        path.write_text(path.read_text() + "x" if path.exists() else "x")
        if self.subject == "sub-002" and not (Path(self.folder) / "quick").exists():
            time.sleep(300)
        raise DataProblem(Problem("event", "is not usable", "leave it out"))

@command("finished patients are kept")
def main():
    folder = Path(sys.argv[1])
    cohort = EventCohort([Patient(f"sub-00{n}", sys.argv[1]) for n in (1, 2)], [], "slow patients")
    prepare_events(cohort, folder / "dataset", LongitudinalSettings(), workers=1)
    return 0

if __name__ == "__main__":
    sys.exit(main())
"""


def test_a_stop_leaves_nothing_half_written_and_the_same_command_goes_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (tmp_path / "sub-002.loaded").exists():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert "stopped; finished patients are kept" in run.communicate(timeout=30)[1]
    assert run.returncode == 130
    assert not (tmp_path / "dataset").exists()
    assert [path.name for path in (tmp_path / ".dataset.preparing").iterdir()] == ["sub-001"]
    (tmp_path / "quick").touch()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2  # no case is left of these two
    assert "sub-002: event: is not usable" in again.stderr
    assert [(tmp_path / f"sub-00{n}.loaded").read_text() for n in (1, 2)] == ["x", "xx"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "quick").touch()
    command = [sys.executable, str(tmp_path / "slow.py"), str(tmp_path)]
    quota = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))  # noqa: E731  (bytes that a file may have)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=quota, env=environment)
    assert run.returncode == 2
    assert run.stderr.strip().endswith(
        "--out: the disk is full, or a file may not be so large; free some room and run the same command again."
    )
    assert not (tmp_path / "dataset").exists()
    assert not list((tmp_path / ".dataset.preparing").iterdir())
