"""A synthetic patient over time in a PACS: an earlier MR in another position, doses in its frame, and the MR of now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from phantom_case import affine, ball, head
from scipy.spatial.transform import Rotation
from treatment_response.dicom.write import PatientIds, StudyIds, write_dose, write_plan, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, moved_points

PATIENT = PatientIds("SYN-071", "SYNTHETIC^071", "19500102", "F")
SPOT_VOXEL = (58, 46, 13)
SPOT_MM = moved_points(affine(), np.array([SPOT_VOXEL]))[0]
"""Where the finished course's dose has its middle, in RAS mm of the MR of now."""
PEAK_GY, DAYS, FRACTIONS = 54.0, 274, 5


def motion() -> np.ndarray:
    """Rigid, RAS mm of now → RAS mm of the earlier MR: how differently the head lay."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [4, -3, 6], degrees=True).as_matrix()
    matrix[:3, 3] = (7.0, -5.0, 4.0)
    return matrix


def marked_head(seed: int) -> np.ndarray:
    """The phantom's head with marks that leave no doubt how it lies."""
    values = head(seed).array
    for centre, value in (((30, 20, 8), 600), ((66, 62, 8), 150), ((26, 62, 20), 250), ((70, 24, 20), 550)):
        values[ball(centre, 9.0)] = value
    return values


def dose_around(point: np.ndarray) -> Volume:
    """A Gaussian of 8 mm around a point, on an upright grid of 2.5 mm."""
    grid = np.diag([2.5, 2.5, 2.5, 1.0])
    grid[:3, 3] = point - 50
    index = np.stack(np.meshgrid(*[np.arange(41)] * 3, indexing="ij"), -1)
    distance = np.linalg.norm(index @ grid[:3, :3] + grid[:3, 3] - point, axis=-1)
    return Volume((PEAK_GY * np.exp(-((distance / 8) ** 2) / 2)).astype(np.float32), grid)


def write_patient(folder: Path, patient: PatientIds = PATIENT, name: str = "over time") -> tuple[str, str]:
    """Write the patient's files.

    Before: an MR in another position with a course of radiotherapy, and an older MR. After: a course that the MR of now
    led to, with its dose elsewhere.

    Returns:
        Study and series UID of the MR of now.
    """

    def study(day: str) -> StudyIds:
        return StudyIds(derived_uid(name, day), day, "SYNTHETIC MR head")

    def mr(volume: Volume, day: str, frame: str) -> str:
        return write_series(
            volume,
            folder / day,
            patient=patient,
            study=study(day),
            series_uid=derived_uid(name, "series", day),
            frame_uid=derived_uid(name, "frame", frame),
            description="T1 MPRAGE Gd",
        ).series_uid

    def course(day: str, frame: str, point: np.ndarray) -> None:
        frame_uid = derived_uid(name, "frame", frame)
        shared = {"patient": patient, "study": study(day), "frame_uid": frame_uid}
        structures = derived_uid(name, "structures", day)
        plan = write_plan(
            folder / f"plan{day}.dcm", structure_set_uid=structures, prescription_gy=54.0, fractions=FRACTIONS, **shared
        )
        write_dose(dose_around(point), folder / f"dose{day}.dcm", plan_uid=plan, **shared)

    moved = Volume(marked_head(3), motion() @ affine())
    mr(Volume(marked_head(4), affine()), "20190105", "oldest")
    mr(moved, "20200105", "planning")
    course("20200110", "planning", moved_points(motion(), SPOT_MM[None])[0])
    uid = mr(Volume(marked_head(0), affine()), "20201005", "now")
    course("20201020", "now", SPOT_MM + np.array([-40, 10, 0]))
    return study("20201005").study_uid, uid
