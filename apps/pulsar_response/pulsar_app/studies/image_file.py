"""An image of the server's folders, read where a file that is damaged or huge does no harm."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from treatment_response.geometry import Volume
from treatment_response.inference.volume_files import save_image

from pulsar_app.server.workers import decode


def read_image_apart(path: Path, where: str) -> Volume:
    """Read an MR in a worker process, see :func:`treatment_response.inference.volume_files.read_image`.

    Args:
        path: NIfTI or NRRD.
        where: how to call it in problems.

    Raises:
        DataProblem: it cannot be read.
        TooLarge: reading it takes more memory than it may have.
        Unavailable: reading it takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        voxels = Path(folder) / "voxels.npy"
        affine = decode(where, save_image, path, where, voxels)
        return Volume(np.load(voxels, allow_pickle=False), affine)
