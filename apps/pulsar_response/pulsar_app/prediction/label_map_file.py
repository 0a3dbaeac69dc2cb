"""A label map as the file that an answer hands over."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from treatment_response.inference.volume_files import write_label_map


def temporary_label_map(labels: np.ndarray, affine: np.ndarray, extension: str, compress: bool) -> Path:
    """Write a label map to a temporary file, which the caller removes.

    Args:
        labels: uint8 ``(I, J, K)``. affine: of the image, ``(4, 4)``.
        extension: of the file. compress: whether its data is compressed.

    Raises:
        OSError: the disk is full; no file is left.
    """
    with tempfile.NamedTemporaryFile(prefix="pulsar_", suffix=extension, delete=False) as file:
        path = Path(file.name)
    try:
        write_label_map(path, labels, affine, compress=compress)
    except BaseException:
        path.unlink()
        raise
    return path
