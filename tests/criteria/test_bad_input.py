"""Bad input costs a sentence that names the thing, what is wrong and what to do; and what only needs saying is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from shapes import draw, ellipsoid, grid
from treatment_response.criteria import rano2
from treatment_response.criteria.clinical import PatientCourse, read_clinical_table
from treatment_response.criteria.course import decide
from treatment_response.criteria.mask_manifest import LabelNames, read_mask_manifest
from treatment_response.criteria.measurements import SegmentedStudy, measure_studies
from treatment_response.criteria.patient import patient_response
from treatment_response.criteria.sources import PatientStudies, in_one_time
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

EMPTY = grid((60, 40, 30), (1.0, 1.0, 1.5), (12.0, -8.0, 5.0))
LEFT, RIGHT = (draw(ellipsoid((8, 7, 7), centre=(x, 0, 0)), EMPTY) for x in (-15, 15))
LABELS = LabelNames.parse(["1=enhancing", "2=necrosis"], "enhancing")


def study(name: str = "a", day: int = 0, region: Volume = LEFT, **more: object) -> SegmentedStudy:
    return SegmentedStudy(name, day, region, **more)  # type: ignore[arg-type]


def one_manifest(
    folder: Path, values: np.ndarray, affine: np.ndarray = EMPTY.affine, row: str = "s,1,0,m.nii.gz,"
) -> Path:
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8), affine), folder / "m.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros(EMPTY.array.shape, np.int16), EMPTY.affine), folder / "i.nii.gz")
    (folder / "manifest.csv").write_text(f"subject,study,day,mask,image,tumour\n{row}\n")
    return folder / "manifest.csv"


def read(folder: Path, values: np.ndarray, affine: np.ndarray = EMPTY.affine, row: str = "s,1,0,m.nii.gz,,") -> None:
    for patient in read_mask_manifest(one_manifest(folder, values, affine, row), LABELS):
        patient.read()


SHIFTED = EMPTY.affine + np.array([[0, 0, 0, 4.0], [0] * 4, [0] * 4, [0] * 4])
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no earlier study": (
        lambda _: patient_response("sub-1", [study()], (rano2.ENHANCING,)),
        "sub-1: has 1 study: there is no earlier one to compare with; add the study before treatment",
    ),
    "equal dates": (
        lambda _: measure_studies([study("a"), study("b")], "sub-1"),
        "sub-1: studies 'a' and 'b' are of one day, so it is not known which is earlier; correct the dates",
    ),
    "missing date": (
        lambda folder: read(folder, LEFT.array, row="s,1,,m.nii.gz,,"),
        "manifest row 2: day is empty; fill it in",
    ),
    "mask on another grid": (
        lambda folder: read(folder, LEFT.array, SHIFTED, "s,1,0,m.nii.gz,i.nii.gz,"),
        "manifest row 2, mask: lies on another grid than the MR",
    ),
    "unknown label value": (
        lambda folder: read(folder, 3 * LEFT.array),
        "manifest row 2: the mask holds the value 3, which has no name (named: 1, 2); name it in --labels",
    ),
    "mixed compartments": (
        lambda _: measure_studies([study(others={"necrosis": LEFT.array})], "sub-1"),
        "sub-1, study 'a': the compartments overlap: ",
    ),
    "lesions that share voxels": (
        lambda _: measure_studies([study(lesions={"A": LEFT.array, "B": LEFT.array})], "sub-1"),
        "sub-1, study 'a': lesions 'A' and 'B' share ",
    ),
    "a named lesion that is empty": (
        lambda _: measure_studies([study(lesions={"A": EMPTY.array})], "sub-1"),
        "sub-1, study 'a': the mask of lesion 'A' is empty; leave it out if the lesion is gone",
    ),
    "lesions named in one study only": (
        lambda _: measure_studies([study(lesions={"A": LEFT.array}), study("b", 9)], "sub-1"),
        "sub-1: lesions are named in some studies and not in others",
    ),
    "a study on the day of an operation": (
        lambda _: decide(measure_studies([study()], "x"), rano2.ENHANCING, PatientCourse((0,)), "sub-1"),
        "sub-1: study 'a' lies on the day of an operation, so it is not known which came first",
    ),
    "a mask that is not empty although it should be": (
        lambda folder: read(folder, LEFT.array, row="s,1,0,m.nii.gz,,none"),
        "manifest row 2: tumour says 'none', but the mask holds ",
    ),
    "no such compartment": (
        lambda _: LabelNames.parse(["1=tumour"], "enhancing"),
        "--labels: no value is called 'enhancing' (there are: tumour)",
    ),
    "dates here and numbers there": (
        lambda _: in_one_time(PatientStudies("sub-1", list, True), PatientCourse(days_are_dates=False)),
        "sub-1: studies and clinical table count days differently",
    ),
}


@pytest.mark.parametrize(("do", "sentence"), CASES.values(), ids=CASES.keys())
def test_a_sentence_each(do: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as told:
        do(tmp_path)
    assert str(told.value).startswith(sentence)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("s,3,4,good,", "clinical table row 2: state is none of improved, stable, worse"),
        ("s,3,-4,stable,", "clinical table row 2: steroids_mg is -4, expected 0 to 200 mg"),
        ("s,3,4 mg,stable,", "clinical table row 2: steroids_mg is no number"),
        ("s,,4,stable,", "clinical table row 2: day is empty"),
        ("s,3,,,surgery", "clinical table row 2: event is none of operation, radiotherapy end, treatment start"),
    ],
)
def test_clinical_rows(row: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "clinical.csv"
    path.write_text(f"subject,day,steroids_mg,state,event\n{row}\n")
    with pytest.raises(DataProblem) as told:
        read_clinical_table(path)
    assert str(told.value).startswith(sentence)


def test_a_clinical_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clinical.csv"
    path.write_text(
        "Subject;Day;steroids mg;state;event\ns;0;1,5;;\ns;10;;Worse;\ns;20;;;radiotherapy_end\ns;5;;;operation\n"
    )
    course = read_clinical_table(path)["s"]
    assert (course.operations, course.radiotherapy_ends, course.treatment_starts) == ((5,), (20,), ())
    assert (course.at(9).steroids_mg, course.at(9).state) == (1.5, "worse")
    assert (course.at(15).steroids_mg, course.at(25).state) == (None, None)  # more than 14 days away
    assert course.days_are_dates is False


def test_an_empty_mask_is_judged_only_if_somebody_says_that_nothing_is_there() -> None:
    for confirmed, category in ((False, "NE"), (True, "CR")):
        measured = measure_studies([study(), study("b", 60, EMPTY, confirmed_empty=confirmed)], "sub-1")
        answer = decide(measured, rano2.ENHANCING)[1]
        assert answer.decision.category == category
        assert ("mask is empty" in answer.decision.rule) is not confirmed


def test_a_study_that_is_not_evaluable_is_no_nadir() -> None:
    studies = [study(), study("b", 60, EMPTY), study("c", 90)]
    assert [one.decision.category for one in decide(measure_studies(studies, "x"), rano2.ENHANCING)] == [
        "baseline",
        "NE",
        "SD",
    ]


def test_lesions_that_touch_and_masks_in_other_spaces_are_told() -> None:
    half = LEFT.array & (np.arange(60) < 15)[:, None, None]
    touching = study(lesions={"A": half, "B": LEFT.array & ~half})
    assert measure_studies([touching], "x")[0].doubts == ("lesions A and B touch: the border between them is as drawn",)
    moved = measure_studies([study(), study("b", 60, RIGHT)], "x")[1]
    assert moved.doubts == ("no lesion lies where one of the study before lay: check that the masks share one space",)


def test_an_operation_between_is_said() -> None:
    answers = decide(measure_studies([study(), study("b", 60)], "x"), rano2.ENHANCING, PatientCourse((30,)))
    assert answers[1].decision.rule == "baseline: first study after the operation of day 30"
