"""A lesion as a scanner sees it, on the voxels around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treatment_response.cohort.synthetic.lesion import SHAPE_RANGE, Lesion
from treatment_response.cohort.synthetic.scanner import FINE_MM, Grid, average_blocks, fine_factors, scan
from treatment_response.cohort.synthetic.simulate import Session

# Relative signal, white matter 1.
SOLID, RIM, NECROTIC, PLAIN = 1.35, 1.75, 0.50, 0.62
TEXTURE_SD, NICHE_TEXTURE_SD = 0.05, 0.22
NICHE_DARKER = 0.35
PLAIN_SHARE = 0.2
OEDEMA, OEDEMA_MM = 0.14, 4.0
MARGIN_VOXELS = 5


@dataclass(frozen=True)
class LesionPatch:
    """A lesion on the voxels ``corner`` to ``corner + shape`` of a grid.

    Attributes:
        corner: index ``(3,)`` of the patch's first voxel in the grid.
        cover: share of each voxel that the scanner sees as lesion, 0 to 1.
        signal: ``cover`` times the lesion's relative signal, so that ``(1 − cover · …) · head + signal`` blends them.
        oedema: share by which the surrounding signal is lowered.
        occupancy: share of each voxel that lies inside the lesion, 0 to 1.
        niche: share of each voxel that is niche, 0 to ``occupancy``.
        distance: signed distance in mm, about, of voxel centres from the true surface; negative inside.
    """

    corner: np.ndarray
    cover: np.ndarray
    signal: np.ndarray
    oedema: np.ndarray
    occupancy: np.ndarray
    niche: np.ndarray
    distance: np.ndarray

    def blend(self, head: np.ndarray) -> np.ndarray:
        """The patch of relative signal when the lesion sits in ``head``, the head's signal on the same voxels."""
        return head * (1 - self.oedema) * (1 - self.cover) + self.signal

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """Where the patch lies in the grid's array."""
        i, j, k = (
            slice(int(first), int(first) + size) for first, size in zip(self.corner, self.cover.shape, strict=True)
        )
        return i, j, k


def lesion_signal(lesion: Lesion, offsets: np.ndarray, session: int, contrast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Relative signal inside the lesion and what of it is niche, both ``(N,)``.

    Texture niche: the same texture runs through the whole lesion with a larger amplitude in the niche. Intensity niche:
    darker by a constant that the rest of the lesion makes up for. Either way the lesion's mean is what its rim, its
    necrosis and its solid part make it, so mean enhancement carries nothing about the burden.

    Args:
        offsets: points ``(N, 3)`` inside the lesion, head mm around its centre.
        session: 0, 1 or 2.
        contrast: without contrast agent the lesion is dark and its niche hardly shows.
    """
    distance, surface = lesion.surface(offsets, session)
    niche = lesion.is_niche(offsets, session).astype(np.float32)
    depth = surface - distance
    rim = 1 / (1 + np.exp((depth - lesion.rim_mm) / 0.3))
    core = 1 / (1 + np.exp((distance / surface - lesion.necrosis) / 0.05)) if lesion.necrosis > 0 else 0.0
    profile = SOLID + (RIM - SOLID) * rim + (NECROTIC - SOLID) * core
    if lesion.niche_kind == "texture":
        variation = lesion.texture(offsets) * (TEXTURE_SD + (NICHE_TEXTURE_SD - TEXTURE_SD) * niche)
    else:
        variation = lesion.texture(offsets) * TEXTURE_SD - NICHE_DARKER * niche
    variation -= variation.mean()
    if contrast:
        return profile + variation, niche
    return PLAIN + PLAIN_SHARE * (profile - profile.mean() + variation), niche


def render_patch(lesion: Lesion, grid: Grid, session: Session, number: int) -> LesionPatch:
    """Render one lesion on the voxels around it.

    Args:
        lesion: what to render; it must be present in this session.
        grid: the session's voxel grid; the patch is cut at its edges.
        session: the head's pose and contrast.
        number: 0 (MRI 1), 1 (MRI 2) or 2 (follow-up).
    """
    voxel = grid.voxel_mm
    factors = fine_factors(voxel)
    reach = lesion.radius_mm * lesion.growth(number) * SHAPE_RANGE[1]
    middle = grid.to_index(session.to_world(lesion.centre[None]))[0]
    low = np.maximum(np.floor(middle - reach / voxel - MARGIN_VOXELS), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach / voxel + MARGIN_VOXELS) + 1, grid.shape).astype(int)
    shape = high - low

    axes = [first - 0.5 + (np.arange(size * n) + 0.5) / n for first, size, n in zip(low, shape, factors, strict=True)]
    fine_shape = tuple(len(axis) for axis in axes)
    offsets = head_offsets(axes, grid, session, lesion.centre)
    near = np.einsum("ij,ij->i", offsets, offsets) < (reach + FINE_MM) ** 2
    distance, surface = lesion.surface(offsets[near], number)
    occupancy = np.zeros(len(offsets), dtype=np.float32)
    occupancy[near] = np.clip(0.5 - (distance - surface) / FINE_MM, 0, 1)
    touched = np.flatnonzero(occupancy)
    value, is_niche = lesion_signal(lesion, offsets[touched], number, session.contrast)
    signal, niche = np.zeros_like(occupancy), np.zeros_like(occupancy)
    signal[touched] = value * occupancy[touched]
    niche[touched] = is_niche * occupancy[touched]
    occupancy, signal, niche = (fine.reshape(fine_shape) for fine in (occupancy, signal, niche))

    indices = [np.arange(first, last) for first, last in zip(low, high, strict=True)]
    coarse = head_offsets(indices, grid, session, lesion.centre)
    to_centre, to_surface = lesion.surface(coarse, number)
    outside = (to_centre - to_surface).reshape(shape)
    return LesionPatch(
        corner=low,
        cover=scan(occupancy, factors),
        signal=scan(signal, factors),
        oedema=OEDEMA / (1 + np.exp((outside - OEDEMA_MM) / 0.8)),
        occupancy=average_blocks(occupancy, factors),
        niche=average_blocks(niche, factors),
        distance=outside,
    )


def head_offsets(axes: Sequence[np.ndarray], grid: Grid, session: Session, centre: np.ndarray) -> np.ndarray:
    """Head mm around ``centre`` of all index triples on three axes, ``(N, 3)`` float32."""
    matrix = session.rotation.T @ grid.affine[:3, :3]
    start = session.to_head(grid.affine[None, :3, 3])[0] - centre
    parts = [axis[:, None] * matrix[:, i] for i, axis in enumerate(axes)]
    points = parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None] + start
    return points.reshape(-1, 3).astype(np.float32)
