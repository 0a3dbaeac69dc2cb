"""The truth of a cohort as files: one table and the niches of both contrast sessions."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import nibabel as nib

from treatment_response.cohort.synthetic.render import RenderedSession
from treatment_response.cohort.synthetic.simulate import Patient

TRUTH_COLUMNS = (
    "patient_id",
    "roi_name",
    "lesion",
    "scanner",
    "niche",
    "radius_mm",
    "burden",
    "slice_burden",
    "true_log_ratio",
    "p_label",
    "label",
    "noise_free_volume_change",
    "vanished",
)


def truth_rows(patient: Patient, mri1: RenderedSession) -> list[dict[str, object]]:
    """One row of ``truth.csv`` per lesion of a patient; ``slice_burden`` is that of MRI 1's largest slice."""
    return [
        {
            "patient_id": patient.patient_id,
            "roi_name": lesion.roi_name,
            "lesion": lesion.lesion,
            "scanner": patient.scanner,
            "niche": lesion.niche_kind,
            "radius_mm": round(lesion.radius_mm, 4),
            "burden": round(lesion.burden, 6),
            "slice_burden": round(mri1.slice_burdens[lesion.lesion], 6),
            "true_log_ratio": round(lesion.log_ratios[2], 6),
            "p_label": round(lesion.p_response, 6),
            "label": lesion.label,
            "noise_free_volume_change": -1.0 if lesion.vanished else round(math.expm1(lesion.log_ratios[2]), 6),
            "vanished": int(lesion.vanished),
        }
        for lesion in patient.lesions
    ]


def write_niches(patient: Patient, session: RenderedSession, name: str, folder: Path) -> None:
    """Write a session's niche shares as ``<patient>_<lesion>_<name>.nii.gz``, float32 on the MR's voxels."""
    for lesion, volume in session.niches.items():
        image = nib.Nifti1Image(volume.array, volume.affine)
        nib.save(image, folder / f"{patient.patient_id}_{lesion}_{name}.nii.gz")


def write_truth_table(rows: list[dict[str, object]], path: Path) -> None:
    """Write ``truth.csv``."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, TRUTH_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
