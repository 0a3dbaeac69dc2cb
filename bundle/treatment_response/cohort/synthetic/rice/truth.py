"""The truth of a cohort as files: one row per patient, and where each lesion lies on its event's series."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from treatment_response.cohort.synthetic.rice.dose import ISODOSE, distance_of_dose
from treatment_response.cohort.synthetic.rice.label_model import CEILINGS
from treatment_response.cohort.synthetic.rice.placement import Planted
from treatment_response.cohort.synthetic.rice.render import lesion_occupancy
from treatment_response.cohort.synthetic.rice.simulate import RiceCohort, RicePatient, Visit
from treatment_response.geometry import Volume

TRUTH_COLUMNS = (
    "patient_id",
    "label",
    *(f"p_{known}" for known in CEILINGS),
    "relative_dose",
    "lesion_mean_dose_gy",
    "lesion_max_dose_gy",
    "lesion_mean_eqd2_gy",
    "lesion_share_95",
    "isodose95_distance_mm",
    "beside_ventricle",
    "ventricle_distance_mm",
    "cavity_distance_mm",
    "months_since_radiotherapy",
    "solidity",
    "lesion_volume_ml",
    *(f"{region}_{axis}_mm" for region in ("lesion", "cavity") for axis in "xyz"),
    "site",
    "modality",
    "prescription_gy",
    "fractions",
    "courses",
    "dose_kind",
    "own_frame",
    "wide_grid",
    "outline",
    "later_course",
)
POINTS_PER_RADIUS = 10


def truth_row(cohort: RiceCohort, patient: RicePatient, planted: Planted) -> dict[str, object]:
    """A patient's row of ``truth.csv``.

    Doses are those of the plans before the event, physical unless they say EQD2. The lesion's centre is in the event's
    scanner RAS mm, the cavity's in the post-operative MR's.
    """
    region, treatment, facts = planted.lesion.region, planted.treatment, patient.facts
    points = region.points(POINTS_PER_RADIUS)
    relative = treatment.relative(points)
    doses = relative * treatment.prescription_gy
    isodose = distance_of_dose(ISODOSE, treatment.technique)
    lesion = patient.visits["event"].session.to_world(region.centre[None])[0]
    cavity = patient.visits["post-operative"].session.to_world(planted.cavity.centre[None])[0]
    row: dict[str, object] = {
        "patient_id": patient.patient_id,
        "label": patient.label,
        "relative_dose": round(float(relative.mean()), 4),
        "lesion_mean_dose_gy": round(float(doses.mean()), 3),
        "lesion_max_dose_gy": round(float(doses.max()), 3),
        "lesion_mean_eqd2_gy": round(float(treatment.eqd2(points).mean()), 3),
        "lesion_share_95": round(float((relative >= ISODOSE).mean()), 4),
        "isodose95_distance_mm": round(float(treatment.outside(region.centre[None])[0]) - isodose, 2),
        "beside_ventricle": int(patient.evidence.beside_ventricle[0]),
        "ventricle_distance_mm": round(planted.ventricle_distance_mm(), 2),
        "cavity_distance_mm": round(max(float(planted.cavity.outside(points).min()), 0.0), 2),
        "months_since_radiotherapy": round(patient.months, 2),
        "solidity": round(planted.lesion.solidity, 4),
        "lesion_volume_ml": round(region.volume_ml, 3),
        "site": facts.site,
        "modality": facts.modality,
        "prescription_gy": round(treatment.prescription_gy, 2),
        "fractions": sum(part.fractions for part in facts.parts),
        "courses": len(facts.parts),
        "dose_kind": facts.dose_kind,
        "own_frame": int(facts.own_frame),
        "wide_grid": int(facts.wide_grid),
        "outline": int(facts.outline),
        "later_course": int(patient.days.later_course is not None),
    }
    for known in CEILINGS:
        row[f"p_{known}"] = round(float(cohort.model.p_recurrence(patient.evidence, known)[0]), 6)
    for name, centre in (("lesion", lesion), ("cavity", cavity)):
        row |= {f"{name}_{axis}_mm": round(float(value), 3) for axis, value in zip("xyz", centre, strict=True)}
    return row


def poses(patient: RicePatient) -> dict[str, list[list[float]]]:
    """``(4, 4)`` matrices that take RAS mm of each visit's scanner to the event's: what a registration should find."""
    event = _head_to_world(patient.visits["event"])
    return {
        name: np.round(event @ np.linalg.inv(_head_to_world(visit)), 9).tolist()
        for name, visit in patient.visits.items()
        if name != "event"
    }


def _head_to_world(visit: Visit) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = visit.session.rotation, visit.session.shift
    return matrix


def write_lesion(cohort: RiceCohort, patient: RicePatient, planted: Planted, folder: Path) -> None:
    """Write the lesion's share of each voxel around it as ``<patient>.nii.gz``, float32 on the event's voxels."""
    occupancy: Volume = lesion_occupancy(cohort, patient, planted)
    nib.save(nib.Nifti1Image(occupancy.array, occupancy.affine), folder / f"{patient.patient_id}.nii.gz")
