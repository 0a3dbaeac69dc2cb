"""Contours as a physician would draw them on the MR's slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skimage.measure import find_contours

from treatment_response.cohort.synthetic.head import BRAINSTEM_CENTRE, BRAINSTEM_MM, HeadShape
from treatment_response.cohort.synthetic.lesion import SHAPE_RANGE, Lesion
from treatment_response.cohort.synthetic.scanner import Grid
from treatment_response.cohort.synthetic.simulate import Session

CONTOUR_STEP_MM = 0.4
SKULL_THICKNESS_MM = 5.0


def lesion_contours(lesion: Lesion, grid: Grid, session: Session, number: int) -> list[np.ndarray]:
    """Closed contours of a lesion, moved off its surface by the session's contouring error.

    The surface is sampled every 0.4 mm on each slice plane, so planimetry sees the drawn volume without bias.

    Returns:
        One ``(N, 3)`` array of scanner RAS mm per closed curve, slice by slice upward; empty if the lesion is gone.
    """
    if not lesion.is_present(number):
        return []
    offset = lesion.offsets_mm[number]

    def level(head_points: np.ndarray) -> np.ndarray:
        distance, surface = lesion.surface(head_points - lesion.centre, number)
        return surface + offset - distance

    reach = lesion.radius_mm * lesion.growth(number) * SHAPE_RANGE[1] + abs(offset) + 1.0
    return slice_contours(level, lesion.centre, np.full(3, reach), grid, session, CONTOUR_STEP_MM)


def organ_contours(head: HeadShape, grid: Grid, session: Session) -> dict[str, list[np.ndarray]]:
    """Contours of the ROIs that are no lesion: the skull's outer table and, on every other slice, the brainstem."""
    skull = head.brain_mm + SKULL_THICKNESS_MM

    def ellipsoid(centre: np.ndarray, semi: np.ndarray) -> list[np.ndarray]:
        def level(points: np.ndarray) -> np.ndarray:
            return 1 - np.linalg.norm((points - centre) / semi, axis=1)

        return slice_contours(level, centre, semi + 2, grid, session, 3.0)

    return {
        "Skull": ellipsoid(np.zeros(3), skull)[::2],
        "Brainstem": ellipsoid(np.array(BRAINSTEM_CENTRE), np.array(BRAINSTEM_MM))[::2],
    }


def slice_contours(
    level: Callable[[np.ndarray], np.ndarray],
    centre: np.ndarray,
    reach: np.ndarray,
    grid: Grid,
    session: Session,
    step_mm: float,
) -> list[np.ndarray]:
    """Zero crossings of a level function on every slice plane within reach.

    Args:
        level: of head points ``(N, 3)``, positive inside.
        centre: head point ``(3,)`` in the middle of what is drawn.
        reach: ``(3,)``, how far in mm it extends from there; its largest counts.
        step_mm: how densely each slice plane is sampled.

    Returns:
        One ``(N, 3)`` array of scanner RAS mm per closed curve, slice by slice upward.
    """
    middle = grid.to_index(session.to_world(centre[None]))[0]
    extent = float(np.max(reach)) / grid.voxel_mm
    step = step_mm / grid.voxel_mm[:2]
    i = np.arange(middle[0] - extent[0], middle[0] + extent[0] + step[0], step[0])
    j = np.arange(middle[1] - extent[1], middle[1] + extent[1] + step[1], step[1])
    first = max(int(np.ceil(middle[2] - extent[2])), 0)
    last = min(int(np.floor(middle[2] + extent[2])), grid.shape[2] - 1)
    columns, rows = (axis.ravel() for axis in np.meshgrid(i, j, indexing="ij"))
    contours = []
    for k in range(first, last + 1):
        index = np.stack([columns, rows, np.full(columns.shape, k, dtype=float)], axis=1)
        values = level(session.to_head(grid.to_world(index))).reshape(len(i), len(j))
        for curve in find_contours(values, 0.0):
            on_grid = np.stack([i[0] + curve[:, 0] * step[0], j[0] + curve[:, 1] * step[1], np.full(len(curve), k)], 1)
            if len(curve) >= 4:
                contours.append(grid.to_world(on_grid[:-1]))
    return contours
