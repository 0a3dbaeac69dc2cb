"""The place of an image plane: position, direction cosines and pixel spacing."""

from __future__ import annotations

import numpy as np


def is_grid(position: np.ndarray, orientation: np.ndarray, spacing: np.ndarray) -> bool:
    """Whether the numbers can place an image.

    Args:
        position: of the first pixel's centre in mm, ``(3,)``.
        orientation: direction along a row and down a column, ``(6,)``: unit vectors at a right angle.
        spacing: between rows and between columns in mm, ``(2,)``, above 0.
    """
    if (position.shape, orientation.shape, spacing.shape) != ((3,), (6,), (2,)):
        return False
    finite = all(np.isfinite(values).all() for values in (position, orientation, spacing))
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([row @ row, column @ column])
    return bool(finite and (spacing > 0).all() and abs(row @ column) < 0.01 and np.abs(lengths - 1).max() < 0.01)
