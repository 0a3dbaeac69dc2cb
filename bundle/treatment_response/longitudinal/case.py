"""One prepared case: all images of a patient on the event's own grid, the lesion, and the case's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from treatment_response.cases.brain_mask import BrainMask, brain_mask
from treatment_response.cases.registration import DEFAULT, Registration, register, resample
from treatment_response.features.tumour_board import (
    DAYS_PER_MONTH,
    ISODOSE,
    SHOWN_ISODOSES,
    TumourBoardSheet,
    dvh_rows,
    isodose_column,
)
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import LEAST_REACHED, CourseDose, dose_unit, summed_isodose
from treatment_response.longitudinal.event_sheet import event_lesion, event_sheet
from treatment_response.longitudinal.settings import DoseScale, LongitudinalSettings
from treatment_response.longitudinal.studies import EventStudies, PlacedDose
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

_VOXEL_SHARE = 0.5
"""Share of a voxel's edge that there and back may differ by: images of thick slices do not tell it better."""


@dataclass(frozen=True)
class PreparedCase:
    """What is written of one patient.

    Attributes:
        images: ``post_operative``, ``event``, ``dose``, ``brain``, all on the event's grid.
        lesion: mask on that grid; None if there is none.
        numbers: columns of ``cases.csv`` but the first four; an empty text is "not computed".
        board: columns of ``tumour_board.csv`` beside them.
        dvh: rows of ``dvh.csv``, without subject.
        isodose_gy: dose on the 95 % isodose in the unit of the dose; None without a prescription.
        dose_unit: ``Gy EQD2``, ``Gy``, ``Gy(RBE)``, …
        notes: what a reader has to know, one sentence each.
    """

    images: dict[str, Volume]
    lesion: Volume | None
    numbers: dict[str, Any]
    board: dict[str, Any]
    dvh: Sequence[dict[str, Any]]
    isodose_gy: float | None
    dose_unit: str
    notes: tuple[str, ...] = field(default=())


def prepare_case(studies: EventStudies, settings: LongitudinalSettings) -> PreparedCase:
    """Register, strip, sum the dose, find the lesion, measure.

    Raises:
        DataProblem: an image cannot be registered or only doubtfully, the brain is not found, the number of fractions
            of a course is not known, a dose misses the brain, or a volume is constant.
    """
    doses = scaled_doses(studies, settings)
    tell("registering", 0.0)
    before = _trusted(_register(studies.event, studies.post_operative, "post-operative image"), "post-operative image")
    post_operative = resample(studies.post_operative, studies.event, before.matrix, "image")
    tell("finding the brain", 0.4)
    brain = brain_mask(studies.event)
    if brain.doubts:
        what = f"is doubtful: {'; '.join(brain.doubts)}"
        raise DataProblem(Problem("brain of the event", what, "check that the series shows the whole head"))
    tell("summing the dose", 0.6)
    on_event = [
        _on_event(dose, placed, studies, before, brain) for dose, placed in zip(doses, studies.doses, strict=True)
    ]
    dose = Volume(reduce(np.add, on_event).astype(np.float32), studies.event.affine)
    notes = [*studies.notes, *dose_notes(studies)]
    isodose = _isodose(studies, settings, ISODOSE)
    if isodose is None:
        notes.append("a plan states no prescription, or several, so the 95 % isodose is not computed")
    elif len(studies.doses) > 1:
        notes.append(f"the 95 % isodose is that of the prescriptions of {len(studies.doses)} courses together")
    tell("measuring", 0.8)
    lesion, lesion_source = event_lesion(studies.lesion, studies.event, post_operative, brain)
    if lesion is None:
        notes.append("no lesion was outlined on the event, and the subtraction shows no new enhancement")
    drawn = None if studies.cavity is None else resample(studies.cavity, studies.event, before.matrix, "mask")
    measured = None
    if lesion is not None:
        measured = event_sheet(
            lesion,
            studies.event,
            post_operative,
            brain,
            dose,
            isodose_gy=isodose,
            drawn_cavity=drawn,
            days_between=studies.days_between,
            days_since_radiotherapy=studies.days_since_radiotherapy,
        )
    images = {"post_operative": post_operative, "event": studies.event, "dose": dose, "brain": brain.mask}
    return PreparedCase(
        images,
        lesion,
        numbers=_numbers(studies, brain, measured.sheet if measured else None, lesion_source, settings),
        board={**measured.row(), **_marked_isodoses(studies, settings)} if measured else {},
        dvh=dvh_rows("", measured.sheet) if measured else [],
        isodose_gy=isodose,
        dose_unit=dose_unit(doses, settings.dose == DoseScale.EQD2),
        notes=tuple(notes),
    )


def scaled_doses(studies: EventStudies, settings: LongitudinalSettings) -> list[CourseDose]:
    """The courses' doses on the scale that is asked for, each on its own grid.

    Raises:
        DataProblem: EQD2 is asked for, and the number of fractions of a course is not known.
    """
    if settings.dose == DoseScale.PHYSICAL:
        return [placed.dose for placed in studies.doses]
    return [placed.dose.as_eqd2(settings.alpha_beta_gy) for placed in studies.doses]


def dose_notes(studies: EventStudies) -> list[str]:
    """What a reader has to know of the courses, one sentence each."""
    several = len(studies.doses) > 1
    notes = [
        f"course {number} of {len(studies.doses)}: {note}" if several else note
        for number, placed in enumerate(studies.doses, start=1)
        for note in placed.dose.notes
    ]
    if studies.later_courses:
        count = studies.later_courses
        courses = f"{count} course{'s' if count > 1 else ''}"
        notes.append(f"{courses} not over before the event left out: dose given after it would tell the outcome")
    return notes


def course_numbers(studies: EventStudies) -> dict[str, Any]:
    """What ``cases.csv`` says of the courses together; an empty text is "not known"."""
    courses = [placed.dose for placed in studies.doses]
    return {
        "prescription_gy": _total([course.prescription_gy for course in courses]),
        "modality": "+".join(sorted({kind for course in courses for kind in course.radiation})).lower(),
        "courses": len(courses),
        "fractions": _total([course.fractions for course in courses]),
    }


def _register(fixed: Volume, moving: Volume, where: str) -> Registration:
    """The registration; it is doubtful from half of the coarsest voxel edge on, and never below the usual limit."""
    coarsest = float(max(fixed.spacing.max(), moving.spacing.max()))
    limit = max(DEFAULT.largest_disagreement_mm, _VOXEL_SHARE * coarsest)
    try:
        return register(fixed, moving, settings=replace(DEFAULT, largest_disagreement_mm=limit))
    except DataProblem as error:
        raise DataProblem(*[Problem(f"registration of the {where}", f"{one.where} {one.what}", one.remedy)
                            for one in error.problems]) from None  # fmt: skip


def _trusted(registration: Registration, where: str) -> Registration:
    """The registration, unless a rule speaks against it."""
    if registration.is_doubtful:
        what = f"is doubtful, so the case is left out: {'; '.join(registration.doubts)}"
        raise DataProblem(Problem(f"registration of the {where}", what, "look at both series"))
    return registration


def _on_event(
    dose: CourseDose, placed: PlacedDose, studies: EventStudies, before: Registration, brain: BrainMask
) -> np.ndarray:
    """The dose of one course on the event's grid."""
    if placed.anchor is None:
        matrix = np.eye(4)
    elif placed.anchor is studies.post_operative:
        matrix = before.matrix
    else:
        name = "image in the dose's frame of reference"
        matrix = _trusted(_register(studies.event, placed.anchor, name), name).matrix
    moved = resample(dose.volume, studies.event, matrix, "dose").array
    inside, highest = float(moved[brain.mask.array > 0].max()), float(dose.volume.array.max())
    if inside < LEAST_REACHED * highest:
        what = f"misses the brain: it reaches {highest:.1f} Gy, and {inside:.1f} Gy inside the brain"
        raise DataProblem(Problem("dose", what, "check its frame of reference, and that it is this patient's head"))
    return moved


def _isodose(studies: EventStudies, settings: LongitudinalSettings, share: float) -> float | None:
    """The summed dose where all courses give a share of their prescriptions; None if one has none."""
    alpha_beta = settings.alpha_beta_gy if settings.dose == DoseScale.EQD2 else None
    return summed_isodose([placed.dose for placed in studies.doses], share, alpha_beta)


def _marked_isodoses(studies: EventStudies, settings: LongitudinalSettings) -> dict[str, float | str]:
    """Columns of ``tumour_board.csv``: the dose on each isodose of `SHOWN_ISODOSES`; empty without a prescription."""
    levels = {share: _isodose(studies, settings, share) for share in SHOWN_ISODOSES}
    return {isodose_column(share): "" if level is None else level for share, level in levels.items()}


def _total(values: Sequence[float | None]) -> float | str:
    """The sum; empty if one is not known."""
    return "" if any(value is None for value in values) else sum(value for value in values if value is not None)


def _numbers(
    studies: EventStudies,
    brain: BrainMask,
    sheet: TumourBoardSheet | None,
    lesion_source: str,
    settings: LongitudinalSettings,
) -> dict[str, Any]:
    measured = {} if sheet is None else sheet.row()
    since = studies.days_since_radiotherapy
    names = (
        *("lesion_volume_ml", "lesion_growth", "lesion_mean_dose_gy", "lesion_max_dose_gy", "lesion_v95_ml"),
        *("lesion_share_95", "isodose_class", "ventricle_distance_mm", "cavity_distance_mm"),
    )
    return {
        "months_since_radiotherapy": "" if since is None else since / DAYS_PER_MONTH,
        "days_between": studies.days_between,
        **course_numbers(studies),
        "lesion_source": lesion_source,
        **{name: measured.get(name, "") for name in names},
        "dose_kind": dose_unit([placed.dose for placed in studies.doses], settings.dose == DoseScale.EQD2),
        "stripping": brain.method,
        "registration_verdict": "good",
    }
