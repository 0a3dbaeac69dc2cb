"""Small MR series with a known place, classic and enhanced, for the tests of what is made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from scipy.spatial.transform import Rotation
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.dicom.write import PatientIds, StudyIds, write_enhanced_series, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume

KINDS = ["classic", "enhanced"]
SHAPE = (18, 22, 7)
SPACING = np.array([0.9, 0.7, 2.1])
DIRECTIONS = {
    "axial": np.diag([-1.0, -1.0, 1.0]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix(),
    "oblique-mirrored": Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix() @ np.diag([1, 1, -1]),
}
SYNTHETIC = PatientIds("SYN-007", "SYNTHETIC^007", "19500102", "F")
REAL = PatientIds("ID-4711", "Doe^Jane", "19500102", "F")
CORNERS = [(i, j, k) for i in (0, SHAPE[0] - 1) for j in (0, SHAPE[1] - 1) for k in (0, SHAPE[2] - 1)]


def study(patient: PatientIds = SYNTHETIC) -> StudyIds:
    """The study of the patient; that of the synthetic one says so."""
    description = "SYNTHETIC MR head" if patient is SYNTHETIC else "MR head"
    return StudyIds(derived_uid("result study", patient.patient_id), "20200131", description)


def mr_volume(direction: str = "oblique", shape: tuple[int, int, int] = SHAPE) -> Volume:
    """Noise in [0, 1000) on an anisotropic grid away from the origin."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS[direction] @ np.diag(SPACING)
    affine[:3, 3] = [11.5, -23.25, 40.125]
    return Volume(np.random.default_rng(0).integers(0, 1000, shape).astype(np.int16), affine)


def write_mr(
    folder: Path, kind: str = "classic", direction: str = "oblique", patient: PatientIds = SYNTHETIC
) -> Volume:
    """Write one series, ``classic`` or ``enhanced`` (frames stored in a shuffled order)."""
    volume = mr_volume(direction)
    common = {
        "patient": patient,
        "study": study(patient),
        "series_uid": derived_uid("result series", kind, direction),
        "frame_uid": derived_uid("result frame"),
        "description": "T1 MPRAGE Gd",
    }
    if kind == "classic":
        write_series(volume, folder, **common)  # type: ignore[arg-type]
    else:
        order = [int(k) for k in np.random.default_rng(3).permutation(volume.array.shape[2])]
        write_enhanced_series(volume, folder / "enhanced.dcm", frame_order=order, **common)  # type: ignore[arg-type]
    return volume


def mr_source(
    folder: Path, kind: str = "classic", direction: str = "oblique", patient: PatientIds = SYNTHETIC
) -> MrSource:
    """Write one series and read it as a source."""
    write_mr(folder, kind, direction, patient)
    return read_mr_source(folder)


def with_headers(folder: Path, source_folder: Path, **changes: str | list[str] | None) -> MrSource:
    """The same series after an anonymiser or an odd scanner has been at its headers; None takes an attribute out."""
    folder.mkdir()
    for path in source_folder.iterdir():
        dataset = dcmread(path)
        for keyword, value in changes.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(folder / path.name)
    return read_mr_source(folder)


MODEL = {
    "sha256": "0123456789abcdef" * 4,
    "training_data": "demo",
    "synthetic": True,
    "training_lesions": 55,
    "training_patients": 31,
    "protocol": "C",
    "fold": 0,
    "calibrated": False,
}


def identity(synthetic: bool | None = True) -> ModelIdentity:
    """A model that was trained on synthetic, real or unknown data."""
    return ModelIdentity.of({**MODEL, "synthetic": synthetic})
