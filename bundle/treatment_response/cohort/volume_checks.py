"""What a volume of any file format must be: not larger than a head, on a grid that makes sense, of finite values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from treatment_response.problems import DataProblem, Problem

MOST_BYTES = 2**31
"""Largest volume that is read, in bytes after unpacking."""

_MOST_VOXELS = 2**28
_SPACING_MM = (0.02, 100.0)
_FARTHEST_MM = 1e5
_LEAST_DETERMINANT = 0.1
_LARGEST_VALUE = 1e30
_EXPORT = "export it again"


def check_shape(shape: Sequence[int], itemsize: int, most_bytes: int, where: str) -> None:
    """Refuse a volume for what its header announces, before a voxel of it is read.

    Args:
        shape: numbers of voxels, 1 or more each.
        itemsize: bytes of one voxel.
        most_bytes: that the voxels may take after unpacking.
        where: how to call the file in problems.

    Raises:
        DataProblem: more voxels or bytes than are read.
    """
    voxels = math.prod(shape)
    if voxels > _MOST_VOXELS:
        what = f"its header announces {times(shape)} voxels, more than any MR of a head has"
        raise DataProblem(Problem(where, what, _EXPORT))
    if voxels * itemsize > most_bytes:
        what = f"its voxels take more than {most_bytes // 2**20} MiB"
        remedy = "export it at the resolution of the scanner, and whole numbers as such"
        raise DataProblem(Problem(where, what, remedy))


def check_sizes(sizes: np.ndarray, where: str) -> None:
    """Refuse voxels that no MR has.

    Args:
        sizes: in mm, ``(3,)``.

    Raises:
        DataProblem: an edge is not finite, or not from 0.02 to 100 mm.
    """
    low, high = _SPACING_MM
    if not (np.isfinite(sizes).all() and (sizes >= low).all() and (sizes <= high).all()):
        what = f"its header gives a voxel of {millimetres(sizes)}, which no MR has"
        raise DataProblem(Problem(where, what, "export it again in millimetres"))


def check_same_sizes(affine: np.ndarray, sizes: np.ndarray, names: tuple[str, str], where: str) -> None:
    """Refuse a header that gives two sizes of a voxel, more than 1 % apart.

    Args:
        affine: voxel index to mm, ``(4, 4)``.
        sizes: in mm, ``(3,)``, as another field gives them.
        names: of what the affine came from, and of the other field.

    Raises:
        DataProblem: they differ.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(lengths, sizes, rtol=0.01):
        both = f"{millimetres(lengths)} ({names[0]}) and {millimetres(sizes)} ({names[1]})"
        what = f"its header gives two sizes of a voxel: {both}"
        raise DataProblem(Problem(where, what, "export it again with the right one"))


def check_affine(affine: np.ndarray, where: str) -> None:
    """Refuse a grid that spans no volume near a scanner.

    Args:
        affine: voxel index to RAS mm, ``(4, 4)``.

    Raises:
        DataProblem: numbers that are not finite, odd voxel sizes, axes that nearly coincide, a place 100 m away.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.isfinite(affine).all():
        check_sizes(lengths, where)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < _LEAST_DETERMINANT:
        what = "damaged header: its affine is singular or not finite"
        raise DataProblem(Problem(where, what, _EXPORT))
    if np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        what = f"its header places it {np.abs(affine[:3, 3]).max():.3g} mm from the middle of the scanner"
        raise DataProblem(Problem(where, what, _EXPORT))


def check_values(array: np.ndarray, where: str) -> None:
    """Refuse values that no image has.

    Raises:
        DataProblem: NaN, infinity, or beyond 1e30.
    """
    if array.dtype.kind != "f":
        return
    if not np.isfinite(array).all():
        raise DataProblem(Problem(where, "the image holds NaN or infinite values", _EXPORT))
    if max(-float(array.min()), float(array.max())) > _LARGEST_VALUE:
        raise DataProblem(Problem(where, f"the image holds values beyond {_LARGEST_VALUE:g}", _EXPORT))


def cut_off(held: int, announced: int, where: str) -> DataProblem:
    """The problem of a file that ends before its voxels do.

    Args:
        held: bytes of voxels in the file.
        announced: bytes that its header announces.
    """
    what = f"the file is cut off: it holds {held} of the {announced} bytes that its header announces"
    return DataProblem(Problem(where, what, _EXPORT))


def too_long(shape: Sequence[int], where: str) -> DataProblem:
    """The problem of a file that goes on after its voxels."""
    what = f"the file holds more voxels than its header announces ({times(shape)})"
    return DataProblem(Problem(where, what, _EXPORT))


def times(shape: Sequence[int]) -> str:
    """Numbers of voxels for a sentence: ``5 × 6 × 7``."""
    return " × ".join(map(str, shape))


def millimetres(sizes: np.ndarray) -> str:
    """Edges of a voxel for a sentence: ``1 × 1 × 2 mm``."""
    return " × ".join(f"{size:.4g}" for size in sizes) + " mm"
