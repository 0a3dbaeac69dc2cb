"""A small volume with a known marker, and writing it: shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from treatment_response.dicom.write import PatientIds, StudyIds, WrittenSeries, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume

PATIENT = PatientIds("ID-4711", "Doe^Jane", "19500102", "F")
STUDY = StudyIds(derived_uid("study"), "20200131", "MR head")
ORIENTATIONS = {
    "axial": np.diag([-1.0, -1.0, 1.0]),
    "axial-downwards": np.diag([-1.0, -1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "coronal-flipped": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "oblique": Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix(),
}
MARKER = (4, 7, 3)


def volume(orientation: str = "oblique", shape: tuple[int, int, int] = (36, 40, 9), low: int = 0) -> Volume:
    """Noise below 1000 with 3000 at the voxel ``MARKER``; spacing 0.9 × 0.7 × 2.1 mm."""
    affine = np.eye(4)
    affine[:3, :3] = ORIENTATIONS[orientation] @ np.diag([0.9, 0.7, 2.1])
    affine[:3, 3] = [11.5, -23.25, 40.125]
    array = np.random.default_rng(0).integers(low, 1000, shape).astype(np.float32)
    array[MARKER] = 3000
    return Volume(array, affine)


def write(image: Volume, folder: Path, uid: str = "series", **options: object) -> WrittenSeries:
    """Write a series of the one patient in the one frame of reference; options go to ``write_series``."""
    settings = {"patient": PATIENT, "study": STUDY, "series_uid": derived_uid(uid), "frame_uid": derived_uid("frame")}
    return write_series(image, folder, **{**settings, **options})  # type: ignore[arg-type]


def assert_same_place(found: Volume, expected: Volume, tolerance: float = 1e-4) -> None:
    """The same values at the same millimetres; the third axis may run the other way."""
    if found.affine[:3, 2] @ expected.affine[:3, 2] < 0:
        last = expected.array.shape[2] - 1
        flip = np.eye(4)
        flip[2, 2], flip[2, 3] = -1, last
        expected = Volume(expected.array[:, :, ::-1], expected.affine @ flip)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-5)
    np.testing.assert_allclose(found.array, expected.array, atol=tolerance)
    marker = np.argwhere(found.array == found.array.max())
    np.testing.assert_allclose(
        found.to_world(marker), expected.to_world(np.argwhere(expected.array == expected.array.max())), atol=1e-3
    )
