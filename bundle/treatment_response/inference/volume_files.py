"""Volumes as files, as viewers send and read them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from treatment_response.cohort.layout import write_volume
from treatment_response.cohort.nifti_file import read_placed_nifti
from treatment_response.cohort.nrrd_file import read_nrrd
from treatment_response.cohort.volume_checks import MOST_BYTES
from treatment_response.geometry import Volume
from treatment_response.geometry.itk import to_itk
from treatment_response.problems import DataProblem, Problem

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
"""Of images and label maps."""
_NIFTI_HEADER_BYTES = 352
_MOST_SKEW = 1e-3
"""Cosine between two axes; what is below this are the roundings of headers."""


def read_image(path: Path, where: str, most_bytes: int = MOST_BYTES) -> Volume:
    """Read an MR or a label map from NIfTI or NRRD.

    Args:
        path: the file; its ending says which it is.
        where: how to call it in problems.
        most_bytes: that its voxels may take after unpacking.

    Raises:
        DataProblem: it cannot be read, is no single 3D volume, leaves open where it lies, is larger than it may be,
            holds values that are not finite, or its axes are not perpendicular.
    """
    read = read_nrrd if path.name.endswith(".nrrd") else read_placed_nifti
    volume = read(path, where, most_bytes)
    check_axes(volume, where)
    return volume


def rewrite(sent: Path, path: Path, where: str, most_bytes: int) -> None:
    """Write what a stranger's file holds as a NIfTI of our own: voxels and affine, and nothing else of its header.

    Args:
        sent: NIfTI or NRRD, by its ending. Only this package's own readers open it.
        path: the new ``.nii.gz``.

    Raises:
        DataProblem: as in :func:`read_image`.
        OSError: the disk is full.
    """
    write_volume(path, read_image(sent, where, most_bytes))


def save_image(path: Path, where: str, array: Path) -> np.ndarray:
    """Read an image as :func:`read_image` does, in a process that cannot hand over large arrays.

    Args:
        array: file for the voxels, as NumPy's ``.npy``.

    Returns:
        The affine, ``(4, 4)``.
    """
    volume = read_image(path, where)
    np.save(array, volume.array, allow_pickle=False)
    return volume.affine


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
