"""The dose of a session, and what it says about each lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from treatment_response.cohort.lesion import DoseFacts
from treatment_response.dicom.dose import read_dose
from treatment_response.dicom.entries import DoseEntry, PlanEntry
from treatment_response.dicom.structures import Roi
from treatment_response.geometry import Volume, gradient_index, rasterise
from treatment_response.problems import DataProblem, Problem

_CODES = (
    "EFFECTIVE",
    "FRACTION",
    "BEAM",
    "BRACHY",
    "FRACTION_SESSION",
    "BEAM_SESSION",
    "BRACHY_SESSION",
    "CONTROL_POINT",
    "RECORD",
)
_WHOLE_PLAN = ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "")


@dataclass(frozen=True)
class SessionDose:
    """Dose in Gy on its own grid, and the plan that it belongs to."""

    volume: Volume
    plan: PlanEntry | None


def session_dose(
    where: str, sop_uids: frozenset[str], frame_uid: str, doses: Sequence[DoseEntry], plans: Sequence[PlanEntry]
) -> tuple[SessionDose | None, list[Problem]]:
    """Find the dose that was planned on an examination: by structure set, by plan, else by frame of reference.

    Only a plan's physical dose in Gy counts. A dose on another frame of reference is not used. One that refers to
    another structure set of the same frame (planning systems copy them) is used if none refers to the examination's.
    Where several doses are left it is not known which one was given, and none is used.

    Args:
        where: the patient, for messages.
        sop_uids: SOP Instance UIDs of the structure sets of the examination.
        frame_uid: frame of reference of its series.
        doses: all doses of the patient.
        plans: all plans of the patient.

    Returns:
        The dose, if there is one that can be used, and all that has to be told.
    """
    place = f"{where} dose"
    by_uid = {plan.sop_uid: plan for plan in plans}
    linked, copied = _belonging(doses, by_uid, sop_uids, frame_uid)
    problems: list[Problem] = []
    usable = [dose for dose in linked if _is_usable(dose, frame_uid, place, problems)]
    if not linked and copied:
        usable = [dose for dose in copied if _is_usable(dose, frame_uid, place, problems)]
        if usable:
            what = "refers to another structure set than those of MRI 1; it lies on MRI 1's frame of reference"
            what += " and is used" if len(usable) == 1 else ""
            problems.append(Problem(place, what, "check that the plan was made on MRI 1"))
    elif copied:
        what = f"{len(copied)} dose(s) on MRI 1's frame of reference refer to another structure set and are not used"
        problems.append(Problem(place, what, "check which dose was given"))
    elif doses and not linked:
        what = f"none of {len(doses)} dose(s) belongs to a structure set or the frame of reference of MRI 1"
        problems.append(Problem(place, what, "export the dose that was planned on MRI 1"))
    if len(usable) > 1:
        what = f"{len(usable)} doses belong to MRI 1, so it is not known which one was given"
        problems.append(Problem(place, what, "export the dose of the delivered plan only"))
    if len(usable) != 1:
        return None, list(dict.fromkeys(problems))
    try:
        read = read_dose(usable[0], place)
    except DataProblem as error:
        return None, list(dict.fromkeys([*problems, *error.problems]))
    problems += _remarks(usable[0], place)
    plan = _plan(usable[0], by_uid, [plan for plan in plans if plan.structure_set_uid in sop_uids], where, problems)
    return SessionDose(read.volume, plan), list(dict.fromkeys(problems))


def dose_facts(
    dose: SessionDose | None,
    rois: Mapping[str, Roi],
    drawn_in: Mapping[str, str],
    clinical: Mapping[str, float],
    default_gy: float | None,
) -> dict[str, DoseFacts]:
    """Maximum dose, prescription and Gradient Index of each lesion, as far as they are known.

    The prescription comes from the plan, else from the clinical table, else from the option.

    Args:
        dose: of the session.
        rois: by normalised ROI name.
        drawn_in: SOP Instance UID of the structure set of each ROI: a plan's ROI numbers hold in its own set only.
        clinical: Gy by normalised ROI name, or ``""`` for all lesions of the patient.
        default_gy: of the option.
    """
    facts = {}
    for key, roi in rois.items():
        plan = dose.plan if dose else None
        number = roi.number if plan is not None and plan.structure_set_uid == drawn_in.get(key) else None
        prescription = _prescription(plan, key, number, clinical, default_gy)
        maximum = index = None
        missing = "no dose that can be used" if dose is None else "no prescription: see --clinical, --prescription"
        if dose is not None:
            maximum = max_dose(dose.volume, roi.contours)
            if prescription is not None:
                others = [other.contours for name, other in rois.items() if name != key]
                index = gradient_index(dose.volume, roi.contours, prescription, others)
                missing = "the prescribed dose does not reach it"
        facts[key] = DoseFacts(maximum, prescription, index, missing)
    return facts


def max_dose(dose: Volume, contours: Sequence[np.ndarray]) -> float | None:
    """Highest dose in Gy inside a lesion or on its outline; ``None`` where the dose grid does not cover it."""
    inside = rasterise(contours, dose.affine, dose.array.shape, spacing=float(dose.spacing[2]))
    index = dose.to_index(np.concatenate(contours))
    index = index[np.all((index >= 0) & (index <= np.array(dose.array.shape) - 1), axis=1)]
    values = np.concatenate([dose.array[inside], map_coordinates(dose.array, index.T, order=1)])
    return float(values.max()) if values.size else None


def _belonging(
    doses: Sequence[DoseEntry], plans: Mapping[str, PlanEntry], sop_uids: frozenset[str], frame_uid: str
) -> tuple[list[DoseEntry], list[DoseEntry]]:
    """Doses of an examination, and doses on its frame of reference that refer to another structure set."""
    linked, copied = [], []
    for dose in doses:
        plan = plans.get(dose.plan_uid)
        named = {dose.structure_set_uid, plan.structure_set_uid if plan else ""} - {""}
        same_frame = bool(dose.frame_uid) and dose.frame_uid == frame_uid
        if named & sop_uids or (not named and same_frame):
            linked.append(dose)
        elif named and same_frame:
            copied.append(dose)
    return linked, copied


def _is_usable(dose: DoseEntry, frame_uid: str, place: str, problems: list[Problem]) -> bool:
    """Whether a dose is a plan's physical dose in Gy on the examination's frame; told if it is not."""
    export = "export the plan's physical dose in Gy"
    what = remedy = ""
    if dose.units == "RELATIVE":
        what, remedy = "holds relative dose, which is refused", "export absolute dose in Gy"
    elif dose.units != "GY":
        unit = "states no dose unit"
        if dose.units:
            unit = f"is in {dose.units if dose.units == 'CGY' else 'an unknown unit'}, expected GY"
        what, remedy = unit, "export absolute dose in Gy"
    elif dose.frame_uid and frame_uid and dose.frame_uid != frame_uid:
        what, remedy = "is on another frame of reference than MRI 1", "export it on the MR's"
    elif dose.dose_type == "ERROR":
        what, remedy = "holds the error of a dose (Dose Type ERROR) and is not used", export
    elif dose.dose_type not in ("PHYSICAL", ""):
        unit = "Gy(RBE) " if dose.dose_type == "EFFECTIVE" else ""
        what, remedy = f"is {unit}of Dose Type {_known(dose.dose_type)}, not physical dose, and is not used", export
    elif dose.summation not in _WHOLE_PLAN:
        what, remedy = f"is of a part of the plan (summation type {_known(dose.summation)}) and is not used", export
    if what:
        problems.append(Problem(place, what, remedy))
    return not what


def _known(code: str) -> str:
    """A code of the standard as it is; anything else may be free text, and is not shown."""
    return code if code in _CODES else "unknown"


def _remarks(dose: DoseEntry, place: str) -> list[Problem]:
    """What has to be told of a dose that is used."""
    remarks = []
    if not dose.summation or dose.summation == "PLAN_OVERVIEW":
        stated = f"states summation type {dose.summation}" if dose.summation else "states no summation type"
        remarks.append(Problem(place, f"{stated} and was taken as the whole plan's", "check that it is"))
    if not dose.dose_type:
        remarks.append(Problem(place, "states no Dose Type and was taken as physical dose", "check that it is"))
    return remarks


def _plan(
    dose: DoseEntry,
    by_uid: Mapping[str, PlanEntry],
    drawn: Sequence[PlanEntry],
    where: str,
    problems: list[Problem],
) -> PlanEntry | None:
    """The plan of a dose: the one that it names, else the only one on the examination's structure sets."""
    plan = by_uid.get(dose.plan_uid)
    if plan is None and len(drawn) > 1:
        what = f"{len(drawn)} plans were made on MRI 1 and the dose names none, so no prescription is taken from them"
        problems.append(Problem(f"{where} plan", what, "export the delivered plan only"))
    elif plan is None and drawn:
        plan = drawn[0]
    if plan is None:
        return None
    numbers = {p.roi_number for p in plan.prescriptions}
    for number in numbers:
        stated = sorted({p.dose_gy for p in plan.prescriptions if p.roi_number == number})
        if len(stated) > 1:
            target = "its targets" if number is None else f"ROI number {number}"
            what = f"prescribes {' and '.join(f'{gray:g}' for gray in stated)} Gy for {target}, so neither is taken"
            problems.append(Problem(f"{where} plan", what, "give the prescriptions with --clinical"))
    return plan


def _prescription(
    plan: PlanEntry | None, key: str, roi_number: int | None, clinical: Mapping[str, float], default_gy: float | None
) -> float | None:
    if plan is not None:
        stated = {p.dose_gy for p in plan.prescriptions if p.roi_number == roi_number and roi_number is not None}
        if len(stated) == 1:
            return stated.pop()
        if plan.prescription_gy is not None:
            return plan.prescription_gy
    return clinical.get(key, clinical.get("", default_gy))
