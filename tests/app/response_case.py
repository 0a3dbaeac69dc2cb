"""A synthetic patient in a PACS: a lesion outlined in two studies, between which it shrinks and the head moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from patient_case import marked_head, motion
from phantom_case import SHAPE, SPACING, affine
from treatment_response.dicom.write import PatientIds, StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, outline_mask

PATIENT = PatientIds("SYN-081", "SYNTHETIC^081", "19500103", "F")
CENTRE = (58, 46, 13)
SEMI_MM = {"20200102": (12.0, 7.0, 9.0), "20200402": (7.5, 4.5, 6.0)}
"""Semi-axes of the lesion along the grid's own axes, by study date."""
NOW, DAYS = "20200402", 91
CENTRE_MM = Volume(np.empty(0), affine()).to_world(np.array([CENTRE]))[0]


def ellipsoid(day: str) -> np.ndarray:
    """The lesion on the grid ``(I, J, K)``."""
    place = (np.moveaxis(np.indices(SHAPE), 0, -1) - CENTRE) * SPACING
    return np.sum((place / SEMI_MM[day]) ** 2, axis=-1) <= 1


def diameter_ends(axis: int, day: str = NOW) -> np.ndarray:
    """Where the lesion's diameter along an axis of the grid ends, RAS mm ``(2, 3)``."""
    along = affine()[:3, axis] / SPACING[axis] * SEMI_MM[day][axis]
    return np.stack([CENTRE_MM - along, CENTRE_MM + along])


def write_patient(
    folder: Path, name: str, patient: PatientIds = PATIENT, outlined: tuple[str, ...] = tuple(SEMI_MM)
) -> tuple[str, str]:
    """Write both studies, with a structure set for those that are outlined.

    Returns:
        Study and series UID of the later MR.
    """
    for day in SEMI_MM:
        lesion = ellipsoid(day)
        grid = affine() if day == NOW else motion() @ affine()
        head = Volume(np.where(lesion, 800, marked_head(0)).astype(np.int16), grid)
        study = StudyIds(derived_uid(name, day), day, "SYNTHETIC MR head")
        written = write_series(
            head,
            folder / day,
            patient=patient,
            study=study,
            series_uid=derived_uid(name, "series", day),
            frame_uid=derived_uid(name, "frame", day),
            description="T1 MPRAGE Gd",
        )
        if day in outlined:
            contours = {"GTV 1": [points for _, points in outline_mask(lesion, grid)]}
            write_structure_set(contours, folder / f"rs{day}.dcm", patient=patient, study=study, referenced=written)
    return study.study_uid, written.series_uid
