"""Small pictures of a lesion for the table: the slice with its contour, and beside it the CAM of non-response."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from treatment_response.class_colours import OUTLINE, opacity, rgb, shade

SIDE = 96
"""Pixels of one picture's side."""
NON_RESPONSE = 0
"""The number of the class whose CAM is shown."""
COLOURS = 128
"""A palette keeps a picture at a few kB."""


def lesion_thumbnail(image: NDArray, mask: NDArray, cam: NDArray | None = None) -> bytes:
    """PNG of the slice with the GTV's outline and, if there is one, the CAM over it on the model's fixed scale.

    Seen as on a reading screen: the patient's right on the left, anterior on top. A lesion without evidence shows no
    colour.

    Args:
        image: (S, S) in [0, 1], axes towards R and A. mask: (S, S) binary GTV.
        cam: (C, C) in [0, 1], C a divisor of S.
    """
    grey = np.repeat(image[..., None], 3, axis=-1).clip(0, 1)
    outline = np.array(rgb(OUTLINE)) / 255
    edge = _enlarged((mask > 0).astype(float)) > 0.5
    edge &= ~binary_erosion(edge)
    panels = [_enlarged(grey)]
    if cam is not None:
        step = image.shape[0] // cam.shape[0]
        values = np.kron(cam.clip(0, 1), np.ones((step, step)))
        # As in the figures: the more evidence, the more opaque.
        alpha = np.where(mask > 0, opacity(values), 0.0)[..., None]
        colour = shade(values, NON_RESPONSE) / 255
        panels.append(_enlarged(grey * (1 - alpha) + colour * alpha))
    for panel in panels:
        panel[edge] = outline
    # (R, A) to a screen's rows and columns: A upwards, R to the left.
    shown = np.concatenate([panel.transpose(1, 0, 2)[::-1, ::-1] for panel in panels], axis=1)
    picture = Image.fromarray((shown * 255).round().astype(np.uint8)).quantize(COLOURS)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _enlarged(picture: NDArray) -> NDArray:
    """To SIDE × SIDE by nearest neighbour."""
    index = (np.arange(SIDE) + 0.5) * picture.shape[0] / SIDE
    index = index.astype(int)
    return picture[np.ix_(index, index)].copy()
