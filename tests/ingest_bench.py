"""A small hospital for the ingest's tests: heads with ball-shaped lesions, written as DICOM."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import generate_uid
from scipy import ndimage
from treatment_response.dicom.write import (
    PatientIds,
    StudyIds,
    write_dose,
    write_plan,
    write_series,
    write_structure_set,
)
from treatment_response.geometry import Volume

FIRST_DAY = datetime.date(2024, 3, 1)
SHAPE = (38, 46, 26)
SPACING = (4.0, 4.0, 5.5)
Ball = tuple[tuple[float, float, float], float]
"""Centre in RAS mm and radius in mm."""

FRONT: Ball = ((25.0, 35.0, 10.0), 9.0)
BACK: Ball = ((-28.0, -40.0, 15.0), 8.0)


def turned(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    """A rigid motion about the left-right axis: an oblique head."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = shift
    return matrix


def head(lesions: Mapping[str, Ball], seed: int, pose: np.ndarray) -> Volume:
    """An ellipsoid with a skull, coarse texture (the same in every session of a patient) and bright lesions."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) * np.array(SPACING) / 2
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1).reshape(-1, 3)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    radius = np.linalg.norm(world / np.array([65.0, 80.0, 62.0]), axis=1).reshape(SHAPE)
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2.5)
    values = np.where(radius < 0.9, 300 + 600 * texture / texture.std() / 4, np.where(radius < 1.0, 700, 0))
    for centre, size in lesions.values():
        inside = np.linalg.norm(world - np.array(centre), axis=1).reshape(SHAPE) < size
        values = np.where(inside, 1100, values)
    return Volume(np.clip(values, 0, 2000).astype(np.int16), pose @ affine)


def ball_contours(ball: Ball, pose: np.ndarray, step: float = 1.0) -> list[np.ndarray]:
    """Circles of a ball on axial planes of the head, moved with it."""
    centre, radius = np.array(ball[0]), ball[1]
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    contours = []
    for height in np.arange(-radius + step / 2, radius, step):
        r = np.sqrt(radius**2 - height**2)
        circle = np.stack([r * np.cos(angle), r * np.sin(angle), np.full_like(angle, height)], axis=1) + centre
        contours.append(circle @ pose[:3, :3].T + pose[:3, 3])
    return contours


def ball_dose(ball: Ball, pose: np.ndarray, prescription: float, index: float) -> Volume:
    """Dose that meets the prescription on the ball's surface, with V(half)/V(prescription) = ``index``."""
    centre, radius = np.array(ball[0]), ball[1]
    fall = np.log(2) / (radius * (index ** (1 / 3) - 1))
    count, step = 41, 1.5
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = centre - step * (count // 2)
    grid = np.indices((count,) * 3).reshape(3, -1).T * step + affine[:3, 3]
    distance = np.linalg.norm(grid - centre, axis=1).reshape((count,) * 3)
    return Volume((prescription * np.exp(-fall * (distance - radius))).clip(0, 2 * prescription), pose @ affine)


@dataclass
class Visit:
    """One examination. ``lesions`` are drawn as ROIs; ``organs`` are ROIs without trace in the image."""

    day: int
    lesions: dict[str, Ball]
    organs: dict[str, Ball] = field(default_factory=lambda: {"Skull": ((0, 0, 0), 60.0)})
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))
    contrast: bool = True
    description: str = "t1_se_tra"
    structures: bool = True
    series: dict[str, Any] = field(default_factory=dict)
    rtstruct: dict[str, Any] = field(default_factory=dict)
    empty_rois: tuple[str, ...] = ()


@dataclass
class Case:
    """One patient, called by its id unless it has a ``name``.

    ``dose`` is (Gradient Index, prescription in Gy) around the first lesion of the first visit.
    """

    patient_id: str
    visits: list[Visit]
    name: str = ""
    birth_date: str = "19490303"
    dose: tuple[float, float] | None = None
    plan: bool = True
    dose_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


def shrinking(patient_id: str, final: float = 0.5, seed: int = 0, **more: Any) -> Case:
    """A patient with two lesions; ``GTV_01`` ends at ``final`` of its volume, ``GTV_02`` grows by a fifth."""
    (front, r1), (back, r2) = FRONT, BACK
    return Case(
        patient_id,
        [
            Visit(0, {"GTV_01 L frontal": FRONT, "GTV_02 R occipital": BACK}),
            Visit(
                21,
                {"gtv1 L frontal": (front, r1 * 0.95), "gtv2 R occipital": (back, r2)},
                pose=turned(4, (2, -3, 4)),
            ),
            Visit(
                92,
                {"GTV-1 L frontal": (front, r1 * final ** (1 / 3)), "GTV-2 R occipital": (back, r2 * 1.2 ** (1 / 3))},
                pose=turned(-3, (-2, 4, 1)),
                contrast=False,
            ),
        ],
        seed=seed,
        **more,
    )


def write_case(root: Path, case: Case) -> None:
    """Write a patient under odd folder and file names that carry the patient's name, as exports do."""
    ids = PatientIds(case.patient_id, case.name or f"Mustermann^Erika{case.patient_id}", case.birth_date, "F")
    for number, visit in enumerate(case.visits):
        key = f"{case.patient_id} {case.name} {number}"
        date = (FIRST_DAY + datetime.timedelta(days=visit.day)).strftime("%Y%m%d")
        study = StudyIds(uid(key, "study"), date)
        folder = root / f"Mustermann {case.patient_id}" / date
        series = write_series(
            head(visit.lesions, case.seed, visit.pose),
            folder / "a",
            patient=ids,
            study=study,
            series_uid=uid(key, "series"),
            frame_uid=uid(key, "frame"),
            description=visit.description,
            contrast=visit.contrast,
            file_names=lambda index: f"I{(index * 7) % 97:03d}",
            **visit.series,
        )
        if not visit.structures:
            continue
        rois = {name: ball_contours(ball, visit.pose) for name, ball in visit.lesions.items()}
        rois |= {name: ball_contours(ball, visit.pose, 6.0) for name, ball in visit.organs.items()}
        rois |= {name: [] for name in visit.empty_rois}
        structures = write_structure_set(
            rois, folder / "a" / "RS", patient=ids, study=study, referenced=series, **visit.rtstruct
        )
        if number == 0 and case.dose and visit.lesions:
            index, prescription = case.dose
            options: dict[str, Any] = {"frame_uid": series.frame_uid, "structure_set_uid": structures}
            if case.plan:
                options["plan_uid"] = write_plan(
                    folder / "RP",
                    patient=ids,
                    study=study,
                    structure_set_uid=structures,
                    frame_uid=series.frame_uid,
                    prescription_gy=prescription,
                )
            dose = ball_dose(next(iter(visit.lesions.values())), visit.pose, prescription, index)
            write_dose(dose, folder / "RD", patient=ids, study=study, **{**options, **case.dose_options})


def uid(*words: str) -> str:
    """A UID that is a function of the words."""
    return str(generate_uid(entropy_srcs=list(words)))
