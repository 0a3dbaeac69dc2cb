"""Synthetic heads: scalp, skull, folded cortex, white matter, ventricles, cerebellum, brainstem and a venous sinus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from treatment_response.geometry import Volume

BRAIN_MM = (62.0, 78.0, 58.0)
LOWER_STRETCH = 1.5
SKULL_MM = (4.0, 9.0)
SCALP_MM = 14.0
VENTRICLE_CENTRE = (11.0, -4.0, 8.0)
VENTRICLE_MM = (6.0, 27.0, 9.0)
TENTORIUM_Z, CEREBELLUM_Y = -24.0, -18.0
BRAINSTEM_CENTRE, BRAINSTEM_MM = (0.0, -12.0, -44.0), (12.0, 10.0, 24.0)

# Relative T1 signal; white matter is 1 by convention.
AIR, BONE, FAT, FLUID, GREY, WHITE, NUCLEI = 0.02, 0.14, 1.45, 0.28, 0.74, 1.0, 0.82
VEIN_ENHANCEMENT = 1.3


@dataclass(frozen=True)
class HeadShape:
    """One head's anatomy.

    Attributes:
        brain_mm: semi-axes ``(3,)`` of the brain in mm: right-left, front-back, up-down.
        ventricle_scale: size of the ventricles relative to ``VENTRICLE_MM``.
        seed: of the cortical folds.
    """

    brain_mm: np.ndarray
    ventricle_scale: float
    seed: int


@dataclass(frozen=True)
class RenderedHead:
    """A head on a 1 mm grid in head coordinates: relative signal without contrast, and what contrast adds."""

    plain: Volume
    enhancement: np.ndarray


def random_head(rng: np.random.Generator) -> HeadShape:
    """Draw a head: size ± 3 %, ventricles of 0.8 to 1.3 times the usual size."""
    return HeadShape(
        np.array(BRAIN_MM) * rng.normal(1, 0.03, 3).clip(0.93, 1.07),
        float(rng.uniform(0.8, 1.3)),
        int(rng.integers(2**31)),
    )


def lobe_and_side(centre: np.ndarray) -> tuple[str, str]:
    """Lobe name and ``L``/``R`` of a point ``(3,)`` in head RAS mm."""
    x, y, z = centre
    if z < TENTORIUM_Z and y < CEREBELLUM_Y:
        lobe = "cerebellum"
    elif z < -8 and y > -40:
        lobe = "temporal"
    elif y > 12:
        lobe = "frontal"
    else:
        lobe = "occipital" if y < -48 else "parietal"
    return lobe, "L" if x < 0 else "R"


def room_in_brain(head: HeadShape, centre: np.ndarray) -> float:
    """Lower bound in mm of the distance from a point to the brain's surface, a ventricle or the brainstem.

    Negative if the point lies outside the brain or inside one of them.
    """
    depth = (1 - np.linalg.norm(centre / head.brain_mm)) * head.brain_mm.min()
    mirrored = np.array([abs(centre[0]), centre[1], centre[2]])
    ventricle = np.array(VENTRICLE_MM) * head.ventricle_scale
    from_ventricle = (np.linalg.norm((mirrored - VENTRICLE_CENTRE) / ventricle) - 1) * ventricle.min()
    stem = np.array(BRAINSTEM_MM)
    from_stem = (np.linalg.norm((centre - BRAINSTEM_CENTRE) / stem) - 1) * stem.min()
    return float(min(depth, from_ventricle, from_stem))


def _ellipsoid(
    axes: list[np.ndarray], centre: tuple[float, ...], semi_axes: np.ndarray | tuple[float, ...]
) -> np.ndarray:
    """Normalised distance from an ellipsoid's centre (1 on its surface) on a broadcast grid."""
    x, y, z = ((axis - middle) / semi for axis, middle, semi in zip(axes, centre, semi_axes, strict=True))
    return np.sqrt(x**2 + y**2 + z**2)


def _step(value: np.ndarray, width: float) -> np.ndarray:
    """0 below −width/2, 1 above width/2, linear between: a partial-volume edge."""
    return np.clip(value / width + 0.5, 0, 1)


def _folds(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth unit-variance noise with a fold every 10 mm or so, on the 1 mm grid, made at 2 mm."""
    coarse = rng.standard_normal([size // 2 + 1 for size in shape], dtype=np.float32)
    coarse = gaussian_filter(coarse, 1.9) - gaussian_filter(coarse, 4.0)
    coarse /= coarse.std()
    return zoom(coarse, 2, order=1)[: shape[0], : shape[1], : shape[2]]


def render_head(head: HeadShape) -> RenderedHead:
    """Render a head of relative T1 signal (white matter 1) in head coordinates, 1 mm voxels, about 160 × 190 × 155."""
    rng = np.random.default_rng(head.seed)
    reach = head.brain_mm + SCALP_MM + 3
    lower = np.array([-reach[0], -reach[1], -head.brain_mm[2] - 18])
    shape = tuple(np.ceil(reach - lower).astype(int))
    axes = [
        (lower[i] + np.arange(shape[i], dtype=np.float32)).reshape([-1 if i == j else 1 for j in range(3)])
        for i in range(3)
    ]
    x, y, z = axes
    below = np.where(z < 0, z / LOWER_STRETCH, z)
    outer = _ellipsoid([x, y, below], (0, 0, 0), head.brain_mm)
    mean_mm = float(head.brain_mm.mean())
    height = (outer - 1) * mean_mm  # about mm outside the skull's inner table
    folds = _folds(rng, shape)

    depth = (1 - _ellipsoid(axes, (0, 0, 0), head.brain_mm)) * mean_mm
    cortex = depth - 2.5 + 1.2 * folds
    sulci = _step(0.16 - np.abs(folds), 0.2) * _step(13 - depth, 8) * 0.75
    midline = _step(1.2 - np.abs(x), 1.0) * _step(z - 16, 4) + np.zeros_like(depth)
    white = _step(depth - 6.5 + 3.6 * np.minimum(np.abs(folds) * 2 - 1, 1), 2.0)
    cerebellum = _step(TENTORIUM_Z - z, 2) * _step(CEREBELLUM_Y - y, 2)
    folia = 0.5 + 0.5 * np.cos((np.hypot(z - TENTORIUM_Z, 0.6 * (y - CEREBELLUM_Y)) + 0.8 * folds) * (2 * np.pi / 5.0))
    white += cerebellum * (0.25 + 0.5 * folia - white)
    signal = GREY + (WHITE - GREY) * white
    for side in (-1, 1):
        nuclei = _step(1 - _ellipsoid(axes, (side * 20.0, 4.0, 0.0), (8.0, 17.0, 10.0)), 0.15)
        signal += nuclei * (NUCLEI - signal)
    tentorium = _step(1.4 - np.abs(z - TENTORIUM_Z), 1) * _step(CEREBELLUM_Y - y, 2)
    fluid = np.maximum(np.maximum(sulci * (1 - cerebellum), midline * 0.8), tentorium * 0.7)
    for side in (-1, 1):
        centre = (side * VENTRICLE_CENTRE[0], VENTRICLE_CENTRE[1], VENTRICLE_CENTRE[2])
        size = np.array(VENTRICLE_MM) * head.ventricle_scale
        bent = [x - side * 0.006 * (y - VENTRICLE_CENTRE[1]) ** 2, y, z]
        np.maximum(fluid, _step(1 - _ellipsoid(bent, centre, size), 0.2), out=fluid)
    stem = _ellipsoid(axes, BRAINSTEM_CENTRE, BRAINSTEM_MM)
    np.maximum(fluid, _step(1.3 - stem, 0.15), out=fluid)
    fluid *= _step(stem - 1, 0.1)
    signal = signal + _step(1 - stem, 0.1) * (0.95 - signal)
    signal += np.maximum(fluid, _step(-cortex, 2.0) * _step(stem - 1, 0.1)) * (FLUID - signal)

    signal += _step(height - 1.0, 1.5) * (BONE - signal)
    marrow = _step(1.2 - np.abs(height - 0.5 * sum(SKULL_MM) + 1), 1.0)
    signal += marrow * (0.45 - signal)
    signal += _step(height - SKULL_MM[1], 1.5) * (FAT * (0.85 + 0.1 * folds) - signal)
    signal += _step(height - SCALP_MM, 1.5) * (AIR - signal)

    sinus = _step(2.6 - np.hypot(x, height + 1.5), 1.5) * _step(z - 5, 4)
    skin = 0.12 * _step(height - SCALP_MM + 2, 1) * _step(SCALP_MM - height, 1)
    affine = np.eye(4)
    affine[:3, 3] = lower
    return RenderedHead(Volume(signal.astype(np.float32), affine), (VEIN_ENHANCEMENT * sinus + skin).astype(np.float32))
