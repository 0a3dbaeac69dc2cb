"""Writes a label map on an MR's own grid, as viewers read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")


def write_label_map(path: Path, labels: np.ndarray, affine: np.ndarray, *, compress: bool = False) -> None:
    """Write a label map as NIfTI or NRRD, by the path's ending (one of :data:`EXTENSIONS`).

    Args:
        path: the file.
        labels: uint8 ``(I, J, K)``.
        affine: voxel index to RAS mm, ``(4, 4)``; its axes may be oblique but not skewed.
        compress: NRRD's data as gzip. ``.nii.gz`` always is.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels.transpose(2, 1, 0)))
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:, 3].tolist())
    image.SetDirection((lps[:, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=compress or path.suffix == ".gz", compressionLevel=1)
