"""An MR with balls in known places, and the structure sets and segmentations that draw them, as DICOM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation
from treatment_response.dicom.write import PatientIds, StudyIds, WrittenSeries, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume

PATIENT = PatientIds("ID-0815", "Roe^Richard", "19600203", "M")
SPACING = (0.9, 0.7, 2.1)
ORIENTATIONS = {
    "axial": np.diag([-1.0, -1.0, 1.0]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix() @ np.diag([-1.0, -1.0, 1.0]),
}


def mr(orientation: str = "oblique", shape: tuple[int, int, int] = (60, 72, 24)) -> Volume:
    """Noise on an anisotropic grid whose middle is at (5, −20, 30) mm."""
    affine = np.eye(4)
    affine[:3, :3] = ORIENTATIONS[orientation] @ np.diag(SPACING)
    affine[:3, 3] = np.array([5.0, -20.0, 30.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Volume(np.random.default_rng(3).integers(1, 900, shape).astype(np.int16), affine)


def place(image: Volume, *offset_mm: float) -> np.ndarray:
    """RAS mm of a point that lies ``offset_mm`` along the image's axes from its middle."""
    directions = image.affine[:3, :3] / image.spacing
    return image.to_world((np.array(image.array.shape)[None] - 1) / 2)[0] + directions @ np.array(offset_mm)


def ball(image: Volume, centre: np.ndarray, radius: float) -> np.ndarray:
    """Voxels whose centre is in a ball, bool ``(I, J, K)``."""
    index = np.stack(np.meshgrid(*map(np.arange, image.array.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return (np.linalg.norm(image.to_world(index) - centre, axis=1) <= radius).reshape(image.array.shape)


def circles(image: Volume, centre: np.ndarray, radius: float) -> list[np.ndarray]:
    """A ball's contours on the image's slices."""
    u, v, n = (image.affine[:3, :3] / image.spacing).T
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)[:, None]
    drawn = []
    for k in range(image.array.shape[2]):
        plane = image.to_world(np.array([[0, 0, k]]))[0]
        n_unit = np.cross(u, v)
        offset = (plane - centre) @ n_unit
        if abs(offset) < radius:
            drawn.append(
                centre + offset * n_unit + np.sqrt(radius**2 - offset**2) * (np.cos(angles) * u + np.sin(angles) * v)
            )
    assert abs(n @ np.cross(u, v)) > 0.999
    return drawn


def study(name: str, date: str = "20200131") -> StudyIds:
    """A study of the patient."""
    return StudyIds(derived_uid("outline", name), date, "MR head")


def write_mr(image: Volume, folder: Path, name: str, date: str = "20200131", **options: object) -> WrittenSeries:
    """Write the MR of a study; options go to ``write_series``."""
    settings = {
        "patient": PATIENT,
        "study": study(name, date),
        "series_uid": derived_uid("outline", name, "mr"),
        "frame_uid": derived_uid("outline", name, "frame"),
    }
    return write_series(image, folder, **{**settings, **options})  # type: ignore[arg-type]


def structure_set(
    rois: Mapping[str, Sequence[np.ndarray]],
    folder: Path,
    name: str,
    referenced: WrittenSeries,
    label: str = "RT",
    date: str = "20200131",
    **options: object,
) -> Dataset:
    """A structure set as a data set, also written to ``folder/label.dcm``."""
    path = folder / f"{label}.dcm"
    settings = {"patient": PATIENT, "study": study(name, date), "referenced": referenced, "label": label}
    write_structure_set(rois, path, **{**settings, **options})  # type: ignore[arg-type]
    return dcmread(path)


def segmentation(
    masks: Mapping[str, np.ndarray],
    referenced: WrittenSeries,
    uid: str = "seg",
    algorithm: str = "",
    property_type: object = codes.SCT.Organ,
    description: str = "SEG",
) -> hd.seg.Segmentation:
    """A binary segmentation of a series as highdicom writes it: empty frames are left out."""
    headers = [dcmread(instance.path) for instance in referenced.instances]
    identification = (
        hd.AlgorithmIdentificationSequence(algorithm, codes.DCM.ArtificialIntelligence, "1") if algorithm else None
    )
    descriptions = [
        hd.seg.SegmentDescription(
            number,
            label,
            codes.SCT.MorphologicallyAbnormalStructure,
            property_type,
            "AUTOMATIC" if algorithm else "MANUAL",
            algorithm_identification=identification,
        )
        for number, label in enumerate(masks, start=1)
    ]
    frames = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    return hd.seg.Segmentation(
        headers,
        frames.astype(np.uint8),
        "BINARY",
        descriptions,
        derived_uid(uid, "series"),
        20,
        derived_uid(uid, "sop"),
        1,
        "Maker",
        "Model",
        "1",
        "1",
        series_description=description,
    )


def changed_frames(seg: hd.seg.Segmentation, order: Sequence[int], flip_rows: bool = False) -> Dataset:
    """The same segmentation with its frames in another order, and with rows from the bottom if ``flip_rows``."""
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)[list(order)]
    groups = [seg.PerFrameFunctionalGroupsSequence[index] for index in order]
    if flip_rows:
        shared = seg.SharedFunctionalGroupsSequence[0]
        cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
        step = cosines[3:] * float(shared.PixelMeasuresSequence[0].PixelSpacing[0])
        for group in groups:
            position = group.PlanePositionSequence[0]
            moved = np.array(position.ImagePositionPatient, dtype=float) + step * (seg.Rows - 1)
            position.ImagePositionPatient = [f"{value:.6f}" for value in moved]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = [
            f"{value:.8f}" for value in (*cosines[:3], *-cosines[3:])
        ]
        pixels = pixels[:, ::-1]
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.NumberOfFrames = len(groups)
    bits = np.packbits(pixels.astype(np.uint8).ravel(), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    seg._pixel_array, seg._pixel_id = None, None
    return seg
