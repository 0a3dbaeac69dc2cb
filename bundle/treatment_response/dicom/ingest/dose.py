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


@dataclass(frozen=True)
class SessionDose:
    """Dose in Gy on its own grid, and the plan that it belongs to."""

    volume: Volume
    plan: PlanEntry | None


def session_dose(
    where: str, sop_uids: frozenset[str], frame_uid: str, doses: Sequence[DoseEntry], plans: Sequence[PlanEntry]
) -> tuple[SessionDose | None, list[Problem]]:
    """Find the dose that was planned on an examination: by structure set, by plan, else by frame of reference.

    Relative dose is refused. A dose on another frame of reference is not used. Where several whole-plan doses belong to
    one examination it is not known which to use, and none is.
    """
    by_uid = {plan.sop_uid: plan for plan in plans}
    linked = [dose for dose in doses if _belongs(dose, by_uid.get(dose.plan_uid), sop_uids, frame_uid)]
    problems: list[Problem] = []
    usable = []
    for dose in linked:
        place = f"{where} dose"
        if dose.units != "GY":
            what = "holds relative dose, which is refused" if dose.units == "RELATIVE" else "states no dose unit"
            problems.append(Problem(place, what, "export absolute dose in Gy"))
        elif dose.frame_uid and frame_uid and dose.frame_uid != frame_uid:
            problems.append(Problem(place, "is on another frame of reference than MRI 1", "export it on the MR's"))
        else:
            usable.append(dose)
    whole = [dose for dose in usable if dose.summation in ("PLAN", "MULTI_PLAN", "")] or usable
    if len(whole) > 1:
        what = f"{len(whole)} doses belong to MRI 1, so it is not known which one was given"
        problems.append(Problem(f"{where} dose", what, "export the dose of the delivered plan only"))
    if len(whole) != 1:
        return None, problems
    try:
        read = read_dose(whole[0], f"{where} dose")
    except DataProblem as error:
        return None, [*problems, *error.problems]
    plan = by_uid.get(whole[0].plan_uid) or next((plan for plan in plans if plan.structure_set_uid in sop_uids), None)
    return SessionDose(read.volume, plan), problems


def dose_facts(
    dose: SessionDose | None,
    rois: Mapping[str, Roi],
    clinical: Mapping[str, float],
    default_gy: float | None,
) -> dict[str, DoseFacts]:
    """Maximum dose, prescription and Gradient Index of each lesion, as far as they are known.

    The prescription comes from the plan, else from the clinical table (by normalised ROI name, or ``""`` for all
    lesions of the patient), else from the option.
    """
    facts = {}
    for key, roi in rois.items():
        prescription = _prescription(dose.plan if dose else None, key, roi.number, clinical, default_gy)
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


def _belongs(dose: DoseEntry, plan: PlanEntry | None, sop_uids: frozenset[str], frame_uid: str) -> bool:
    if dose.structure_set_uid or (plan is not None and plan.structure_set_uid):
        named = dose.structure_set_uid or (plan.structure_set_uid if plan else "")
        return named in sop_uids
    return bool(dose.frame_uid) and dose.frame_uid == frame_uid


def _prescription(
    plan: PlanEntry | None, key: str, roi_number: int, clinical: Mapping[str, float], default_gy: float | None
) -> float | None:
    if plan is not None:
        own = {p.dose_gy for p in plan.prescriptions if p.roi_number == roi_number}
        if len(own) == 1:
            return own.pop()
        if plan.prescription_gy is not None:
            return plan.prescription_gy
    return clinical.get(key, clinical.get("", default_gy))
