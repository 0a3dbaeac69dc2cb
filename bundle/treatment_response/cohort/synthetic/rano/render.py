"""One study's images: four sequences on the atlas and as they were scanned, with the compartments of the tumour.

The atlas images stand for DeepBraTumIA's: without the skull, moved rigidly, with an error of registration that each
study has of its own. The scanned ones have skull and scalp, thick oblique slices, and each study its pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import map_coordinates

from treatment_response.cohort.synthetic.head import AIR, BONE, FAT, FLUID, GREY, WHITE
from treatment_response.cohort.synthetic.rano.course import CoursePatient, CourseStudy
from treatment_response.cohort.synthetic.rano.placement import Place
from treatment_response.cohort.synthetic.rice.head import (
    CENTRE,
    SCALP_MM,
    SKULL_MM,
    PatientHead,
    sharpened,
    template_head,
)
from treatment_response.cohort.synthetic.scanner import Grid, bias_field, rician
from treatment_response.cohort.synthetic.simulate import Session, rotation_about_axes
from treatment_response.geometry.template import template

SEQUENCES = ("T1", "CT1", "T2", "FLAIR")
ENHANCING, NECROSIS, OEDEMA = 1, 2, 3
ATLAS_SHAPE_MM = (182, 218, 182)
ATLAS_ORIGIN = (90.0, -126.0, -72.0)
"""MNI152 at 1 mm: the first axis runs to the left. RAS mm of voxel (0, 0, 0)."""


@dataclass(frozen=True)
class Contrast:
    """Relative signal of tissues in a sequence."""

    white: float
    grey: float
    fluid: float
    fat: float
    enhancing: float
    necrosis: float
    oedema: float


CONTRASTS = {
    "T1": Contrast(WHITE, GREY, FLUID, FAT, 0.70, 0.45, 0.72),
    "CT1": Contrast(WHITE, GREY, FLUID, FAT, 1.70, 0.45, 0.72),
    "T2": Contrast(0.55, 0.75, 1.50, 1.0, 0.95, 1.30, 1.10),
    "FLAIR": Contrast(0.70, 0.90, 0.22, 1.0, 1.15, 0.75, 1.45),
}
_NOISE, _BIAS, _SCALE = 0.03, 0.10, (300.0, 1500.0)
_BRAIN_SHARE = 0.5
_REGISTRATION_ERROR = (0.6, 0.4)
"""SD of what is left of a study's motion on the atlas: degrees and mm."""
_POSE = (6.0, 5.0)
_THICK_SLICES = 4.0
"""Thickness over pixel of thick slices."""
_FIELD_OF_VIEW_MM = np.array([184.0, 224.0, 184.0])


def atlas_grid(spacing_mm: float) -> Grid:
    """The atlas, all voxels times ``spacing_mm``, its first voxel where the atlas has it."""
    i, j, k = (round(size / spacing_mm) for size in ATLAS_SHAPE_MM)
    affine = np.diag([-spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = ATLAS_ORIGIN
    return Grid((i, j, k), affine)


def scanned_grid(thick: bool, session: Session, spacing_mm: float) -> Grid:
    """The grid of a scan around the head: axial slices, tilted by 8 degrees, thick ones or voxels that are cubes."""
    voxel = np.array([1.0, 1.0, _THICK_SLICES if thick else 1.0]) * spacing_mm
    shape = [max(round(size), 8) for size in _FIELD_OF_VIEW_MM / voxel]
    affine = np.eye(4)
    affine[:3, :3] = rotation_about_axes(np.deg2rad([8.0, 0, 0])) @ np.diag([-1.0, -1.0, 1.0]) * voxel
    centre = session.to_world(CENTRE[None])[0]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def atlas_session(rng: np.random.Generator) -> Session:
    """Where a study's head lies on the atlas: as the template, but for an error of registration."""
    return _moved(rng, *_REGISTRATION_ERROR)


def scan_session(rng: np.random.Generator) -> Session:
    """Where a study's head lies in the scanner."""
    return _moved(rng, *_POSE)


def _moved(rng: np.random.Generator, degrees: float, millimetres: float) -> Session:
    rotation = rotation_about_axes(np.deg2rad(rng.normal(0, degrees, 3)))
    shift = rng.normal(0, millimetres, 3)
    return Session(0, rotation, CENTRE - CENTRE @ rotation.T + shift, contrast=True)


@dataclass(frozen=True)
class Tissue:
    """What a head is made of at the voxels of a grid.

    Attributes:
        points: head RAS mm of the voxels' centres, ``(I·J·K, 3)``.
        white, grey, brain: shares in [0, 1], ``(I, J, K)``.
        height: mm above the surface of the brain.
    """

    points: np.ndarray
    white: np.ndarray
    grey: np.ndarray
    brain: np.ndarray
    height: np.ndarray


def tissue_on(grid: Grid, head: PatientHead, session: Session) -> Tissue:
    """The head as a session has it on a grid; the deformation is evaluated once for all maps."""
    points = session.to_head(grid.to_world(np.indices(grid.shape).reshape(3, -1).T))
    index = template("wm").to_index(head.to_template(points)).T
    white, grey, brain, height = (
        map_coordinates(array, index, order=1, mode="nearest", output=np.float32).reshape(grid.shape)
        for array in (template("wm").array, template("gm").array, _brain(), template_head().height.array)
    )
    return Tissue(points, white, grey, brain, height)


@lru_cache(maxsize=1)
def _brain() -> np.ndarray:
    return template("brain").array.astype(np.float32)


def labels_on(tissue: Tissue, study: CourseStudy, places: Mapping[str, Place]) -> np.ndarray:
    """The compartments, uint8 ``(I, J, K)``: `ENHANCING`, `NECROSIS`, `OEDEMA`, each voxel by its centre."""
    shape, brain = tissue.brain.shape, tissue.brain > _BRAIN_SHARE
    labels = np.zeros(shape, dtype=np.uint8)
    for name, focus in study.foci.items():
        offsets = tissue.points - places[name].centre
        radii = np.array(focus.radii)
        share = np.linalg.norm(offsets / radii, axis=1).reshape(shape)
        wide = np.linalg.norm(offsets / (radii + focus.oedema_mm), axis=1).reshape(shape)
        labels[(wide < 1) & (labels == 0) & brain] = OEDEMA
        labels[share < 1] = ENHANCING
        labels[share < focus.necrosis] = NECROSIS
    return labels


def image_on(sequence: str, tissue: Tissue, labels: np.ndarray, skull: bool, rng: np.random.Generator) -> np.ndarray:
    """One sequence, float32: signal of tissues and compartments, bias and noise; without the skull 0 outside.

    Args:
        tissue: of `tissue_on`. labels: of `labels_on`.
    """
    contrast = CONTRASTS[sequence]
    white, grey = sharpened(tissue.white), sharpened(tissue.grey)
    fluid = sharpened(np.clip(1 - tissue.white - tissue.grey, 0, 1))
    signal = (contrast.white * white + contrast.grey * grey + contrast.fluid * fluid) / (white + grey + fluid + 1e-6)
    for number, value in ((ENHANCING, contrast.enhancing), (NECROSIS, contrast.necrosis), (OEDEMA, contrast.oedema)):
        signal = np.where(labels == number, value, signal)
    height = tissue.height
    outside = (tissue.brain < _BRAIN_SHARE) & (labels == 0)
    coverings = np.select(
        [height < SKULL_MM[0], height < SKULL_MM[1], height < SCALP_MM], [contrast.fluid, BONE, contrast.fat], AIR
    )
    signal = np.where(outside, coverings, signal).astype(np.float32)
    for factor in bias_field((signal.shape[0], signal.shape[1], signal.shape[2]), _BIAS, rng):
        signal *= factor
    image = rician(signal, _NOISE, rng) * float(rng.uniform(*_SCALE))
    return image if skull else np.where(outside, 0.0, image).astype(np.float32)


def study_rng(seed: int, patient: CoursePatient, study: CourseStudy) -> np.random.Generator:
    """Random numbers of one study's images."""
    return np.random.default_rng([seed, 37, patient.index, study.week, study.repeat])
