"""A picture for whoever decides what became of a lesion: its slice on MRI 1, and its place at follow-up."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion, map_coordinates

from treatment_response.geometry import Volume

FIELD_MM = 80.0
SIDE = 240
_OUTLINE, _RING = (255, 209, 0), (0, 200, 255)


def lesion_thumbnail(
    first: Volume, mask: Volume, centre: np.ndarray, later: Volume, place: np.ndarray | None, day: int
) -> bytes:
    """PNG of two axial planes of 80 mm, the patient's right on the left and anterior on top.

    Args:
        first, mask: MRI 1 and the lesion's mask on its grid; the outline is drawn in yellow.
        centre: of the lesion, RAS mm ``(3,)``.
        later: the follow-up. place: where the lesion would lie in it, RAS mm; a ring marks it. None: the plane through
            ``centre`` without a ring.
        day: of the follow-up, from MRI 1.
    """
    panels = [_panel(first, centre), _panel(later, centre if place is None else place)]
    inside = _plane(mask, centre, order=0) > 0
    edge = inside & ~binary_erosion(inside)
    panels[0][edge] = _OUTLINE
    picture = Image.fromarray(np.concatenate(panels, axis=1))
    draw = ImageDraw.Draw(picture)
    draw.text((6, 4), "MRI 1", fill="white")
    draw.text((SIDE + 6, 4), f"day {day}", fill="white")
    if place is not None:
        voxels = float((mask.array > 0).sum()) * mask.voxel_volume
        radius = max(np.cbrt(3 * voxels / (4 * np.pi)), 2.0) * SIDE / FIELD_MM
        middle = np.array([1.5 * SIDE, SIDE / 2])
        draw.ellipse([*(middle - radius), *(middle + radius)], outline=_RING)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _plane(volume: Volume, centre: np.ndarray, order: int) -> np.ndarray:
    """Values ``(SIDE, SIDE)`` of the axial plane through a point: rows from anterior, columns from the right."""
    offsets = (np.arange(SIDE) + 0.5 - SIDE / 2) * FIELD_MM / SIDE
    # Anterior (larger y in RAS) is on top, the patient's right (larger x) on the left.
    rows, columns = np.meshgrid(-offsets, -offsets, indexing="ij")
    world = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).reshape(-1, 3) + centre
    index = volume.to_index(world).T
    values = map_coordinates(np.asarray(volume.array), index, order=order, output=np.float32, mode="constant")
    return values.reshape(SIDE, SIDE)


def _panel(volume: Volume, centre: np.ndarray) -> np.ndarray:
    """The plane as grey RGB, uint8, from the 1st to the 99.5th percentile of what is not background."""
    values = _plane(volume, centre, order=1)
    shown = values[values > values.min()]
    low, high = np.percentile(shown, [1, 99.5]) if shown.size else (0.0, 1.0)
    grey = ((values - low) / max(float(high - low), 1e-6)).clip(0, 1) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
