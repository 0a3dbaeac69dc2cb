"""Volumes as files, as viewers send and read them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from treatment_response.cohort.layout import read_volume
from treatment_response.geometry import Volume
from treatment_response.geometry.itk import from_itk, to_itk
from treatment_response.problems import DataProblem, Problem

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
"""Of images and label maps."""
_NIFTI_HEADER_BYTES = 352
_MOST_SKEW = 1e-3
"""Cosine between two axes; what is below this are the roundings of headers."""


def read_image(path: Path, where: str) -> Volume:
    """Read an MR from NIfTI or NRRD.

    Args:
        path: the file; its ending says which it is.
        where: how to call it in problems.

    Raises:
        DataProblem: it cannot be read, is not 3D, holds values that are not finite, or its axes are not perpendicular.
    """
    volume = _read_nrrd(path, where) if path.name.endswith(".nrrd") else read_volume(path, where)
    check_axes(volume, where)
    return volume


def check_axes(volume: Volume, where: str) -> None:
    """Refuse a volume on whose grid no label map can be written.

    Raises:
        DataProblem: voxels without a size, or axes that are not perpendicular, such as those of a tilted gantry.
    """
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    if not (np.isfinite(volume.affine).all() and (lengths > 0).all()):
        raise DataProblem(Problem(where, "its header gives no size of a voxel", "export it again"))
    axes = volume.affine[:3, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > _MOST_SKEW:  # a label map's file could not say where it lies
        raise DataProblem(Problem(where, "its axes are not perpendicular", "resample it to a grid of right angles"))


def _read_nrrd(path: Path, where: str) -> Volume:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        raise DataProblem(Problem(where, "the file cannot be read as NRRD", "export it again")) from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise DataProblem(Problem(where, "the image is no single 3D volume", "export one 3D image"))
    volume = from_itk(image)
    if not np.isfinite(volume.array).all():
        raise DataProblem(Problem(where, "the image holds NaN or infinite values", "export it again"))
    return volume


def write_label_map(path: Path, labels: np.ndarray, affine: np.ndarray, *, compress: bool = False) -> None:
    """Write a label map as NIfTI or NRRD, by the path's ending (one of :data:`EXTENSIONS`).

    Args:
        path: the file.
        labels: uint8 ``(I, J, K)``.
        affine: voxel index to RAS mm, ``(4, 4)``; its axes may be oblique but not skewed.
        compress: NRRD's data as gzip. ``.nii.gz`` always is.

    Raises:
        OSError: the disk is full.
    """
    image = to_itk(Volume(labels, affine))
    try:
        sitk.WriteImage(image, str(path), useCompression=compress or path.suffix == ".gz", compressionLevel=1)
    except RuntimeError:
        raise _full() from None
    # ITK's NIfTI writer tells a full disk on the console only.
    if path.suffix != ".nrrd" and _unpacked_bytes(path) != _NIFTI_HEADER_BYTES + labels.nbytes:
        raise _full()


def _unpacked_bytes(path: Path) -> int:
    if path.suffix != ".gz":
        return path.stat().st_size
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return int.from_bytes(file.read(), "little")  # how gzip files end (RFC 1952)


def _full() -> OSError:
    return OSError(errno.ENOSPC, "the label map could not be written")
