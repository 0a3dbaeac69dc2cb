"""Two small clean cohorts: patients as DICOM, and patients as NIfTI with a manifest.

Folder names say what a file is and carry no patient id, so that a report may name them.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Mapping
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import ImplicitVRLittleEndian
from scipy import ndimage
from treatment_response.dicom.write import (
    PatientIds,
    StudyIds,
    WrittenSeries,
    write_dose,
    write_plan,
    write_series,
    write_structure_set,
)
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume

Ball = tuple[tuple[float, float, float], float]
"""Centre in RAS mm of the head and radius in mm."""

SHAPE, SPACING = (54, 64, 24), (2.8, 2.8, 4.0)
SESSIONS = {"s1": 0, "s3": 90}
"""Session folder → day."""
FIRST_DAY = datetime.date(2024, 3, 4)
PRESCRIPTION_GY = 18.0


def write_dicom_cohort(root: Path) -> None:
    """Write ``a`` (structure sets, dose, plan), ``b`` (RLE images, implicit VR outlines), ``c`` (segmentations)."""
    lesions = {
        "a": {"GTV 1": ((25.0, 20.0, 6.0), 10.0, 7.0), "GTV 2": ((-26.0, -22.0, -10.0), 9.0, 10.0)},
        "b": {"GTV 1": ((20.0, -25.0, 10.0), 9.0, 9.5), "GTV 2": ((-24.0, 24.0, -6.0), 10.0, 7.5)},
        "c": {"GTV 1": ((-22.0, -20.0, 8.0), 10.0, 7.0), "GTV 2": ((24.0, 26.0, -8.0), 9.0, 10.5)},
    }
    for number, (patient, balls) in enumerate(lesions.items(), start=1):
        for session, day in SESSIONS.items():
            drawn = {name: (centre, late if day else early) for name, (centre, early, late) in balls.items()}
            _write_session(root / patient / session, number, session, day, drawn)


def write_nifti_cohort(root: Path) -> None:
    """Write two patients with two lesions each, compressed and not, and ``manifest.csv``; no two grids are equal."""
    rows = [("subject", "lesion", "session", "image", "mask", "day")]
    balls = {"n1": ((22.0, 18.0, 6.0), 12.0, 9.0), "n2": ((-24.0, -20.0, -8.0), 11.0, 12.5)}
    for number, subject in enumerate(("p", "q")):
        for session, day in SESSIONS.items():
            drawn = {name: (centre, late if day else early) for name, (centre, early, late) in balls.items()}
            affine = _affine((1.5 * number, 0.7 * (day > 0), 0.0))
            suffix = ".nii.gz" if number else ".nii"
            folder = root / subject / session
            folder.mkdir(parents=True)
            _save_nifti(head(drawn, number, affine), affine, folder / f"image{suffix}")
            for name, ball in drawn.items():
                _save_nifti(inside(ball, affine).astype(np.uint8), affine, folder / f"{name}{suffix}")
                paths = [f"{subject}/{session}/{file}{suffix}" for file in ("image", name)]
                rows.append((subject, name, "ses-03" if day else "ses-01", *paths, str(day)))
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def head(lesions: Mapping[str, Ball], seed: int, affine: np.ndarray) -> np.ndarray:
    """int16 ``SHAPE``: an ellipsoid with coarse texture, which is the same in all sessions, and bright lesions."""
    radius = np.linalg.norm(_points(_affine((0, 0, 0))) / np.array([66.0, 80.0, 62.0]), axis=-1)
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 3)
    values = np.where(radius < 0.9, 400 + 150 * texture / texture.std(), np.where(radius < 1, 700, 0))
    for ball in lesions.values():
        values = np.where(inside(ball, affine), 1100, values)
    return np.clip(values, 0, 2000).astype(np.int16)


def inside(ball: Ball, affine: np.ndarray) -> np.ndarray:
    """Voxels of a ball, bool ``SHAPE``."""
    centre, radius = ball
    return np.linalg.norm(_points(affine) - np.array(centre), axis=-1) < radius


def _affine(shift: tuple[float, float, float]) -> np.ndarray:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = np.array(shift) - (np.array(SHAPE) - 1) * np.array(SPACING) / 2
    return affine


def _points(affine: np.ndarray) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def _save_nifti(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def _write_session(folder: Path, number: int, session: str, day: int, balls: Mapping[str, Ball]) -> None:
    patient = PatientIds(f"FUZZ-{number}", f"PHANTOM{number}^TEST", f"19{50 + number}0101", "O")
    key = [str(number), session]
    study = StudyIds(derived_uid(*key, "study"), f"{FIRST_DAY + datetime.timedelta(day):%Y%m%d}", "MR head")
    ids = {"patient": patient, "study": study}
    affine = _affine((0, 0, 0))
    image = Volume(head(balls, number, affine), affine)
    series = write_series(
        image,
        folder / "mr",
        **ids,
        series_uid=derived_uid(*key, "series"),
        frame_uid=derived_uid(*key, "frame"),
        description="t1_mprage +C",
        transfer_syntax="RLELossless" if number == 2 else "ExplicitVRLittleEndian",
        signed=number == 3,
        slope=2.0 if number == 3 else 1.0,
    )
    if number == 3:
        _write_segmentation({name: inside(ball, affine) for name, ball in balls.items()}, series, folder / "seg.dcm")
        return
    contours = {name: _circles(ball, affine) for name, ball in balls.items()}
    contours["Skull"] = _circles(((0.0, 0.0, 0.0), 44.0), affine)
    structures = write_structure_set(contours, folder / "rs.dcm", **ids, referenced=series, label=session)
    if number == 2:
        dataset = dcmread(folder / "rs.dcm")
        dataset.file_meta.TransferSyntaxUID, dataset.is_implicit_VR = ImplicitVRLittleEndian, True
        dataset.save_as(folder / "rs.dcm", write_like_original=False)
    elif day == 0:
        plan = write_plan(
            folder / "rp.dcm",
            **ids,
            structure_set_uid=structures,
            frame_uid=series.frame_uid,
            prescription_gy=PRESCRIPTION_GY,
        )
        dose = _dose(next(iter(balls.values())))
        write_dose(dose, folder / "rd.dcm", **ids, frame_uid=series.frame_uid, plan_uid=plan)


def _circles(ball: Ball, affine: np.ndarray) -> list[np.ndarray]:
    """A ball's outlines on the image's slices, RAS mm."""
    centre, radius = np.array(ball[0]), ball[1]
    heights = affine[2, 3] + affine[2, 2] * np.arange(SHAPE[2]) - centre[2]
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
    return [
        centre + np.sqrt(radius**2 - height**2) * circle + [0, 0, height] for height in heights if abs(height) < radius
    ]


def _dose(ball: Ball) -> Volume:
    """Dose in Gy around one lesion that meets the prescription on its surface and falls with a Gradient Index of 3."""
    centre, radius = np.array(ball[0]), ball[1]
    count, step = 25, 3.0
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = centre - step * (count // 2)
    points = np.indices((count,) * 3).reshape(3, -1).T * step + affine[:3, 3]
    distance = np.linalg.norm(points - centre, axis=1).reshape((count,) * 3)
    fall = np.log(2) / (radius * (3 ** (1 / 3) - 1))
    return Volume((PRESCRIPTION_GY * np.exp(-fall * (distance - radius))).clip(0, 1.6 * PRESCRIPTION_GY), affine)


def _write_segmentation(masks: Mapping[str, np.ndarray], series: WrittenSeries, path: Path) -> None:
    headers = [dcmread(instance.path) for instance in series.instances]
    neoplasm = codes.SCT.Neoplasm
    segments = [
        hd.seg.SegmentDescription(number, name, codes.SCT.MorphologicallyAbnormalStructure, neoplasm, "MANUAL")
        for number, name in enumerate(masks, start=1)
    ]
    frames = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1).astype(np.uint8)
    uids = [derived_uid(series.series_uid, word) for word in ("segmentation series", "segmentation")]
    maker = ("Maker", "Model", "1", "1")
    segmentation = hd.seg.Segmentation(
        headers, frames, "BINARY", segments, uids[0], 20, uids[1], 1, *maker, series_description="Lesions"
    )
    segmentation.save_as(path, write_like_original=False)
