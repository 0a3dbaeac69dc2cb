"""Untrusted NIfTI files: the header is judged before a voxel is read, and no more is read than it announces.

No library opens the file: nibabel is given the header's bytes alone, to name its fields.
"""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import nibabel
import numpy as np
from nibabel.volumeutils import apply_read_scaling, array_from_file

from treatment_response.cohort.volume_checks import (
    MOST_BYTES,
    check_affine,
    check_same_sizes,
    check_shape,
    check_sizes,
    check_values,
    cut_off,
    times,
    too_long,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

_GZIP = b"\x1f\x8b"
_MOST_DEFLATED = 1032  # no byte of a gzip file stands for more (zlib's documentation)
_PADDING = 16
_UNITS = {1: "metres", 3: "micrometres"}
_EXPORT = "export it again"


@dataclass(frozen=True)
class NiftiFile:
    """What a file holds.

    Attributes:
        volume: the voxels with their affine (the sform's, which readers prefer).
        notes: what its header leaves open or says twice in different ways.
    """

    volume: Volume
    notes: tuple[str, ...] = ()


def read_nifti(path: Path, where: str, most_bytes: int = MOST_BYTES) -> NiftiFile:
    """Read one 3D volume from a ``.nii`` or ``.nii.gz``.

    Args:
        where: the case, for messages.
        most_bytes: that the voxels may take after unpacking.

    Raises:
        DataProblem: the file is missing, is no NIfTI or not whole; its header announces over 268 million voxels,
            colours, several volumes, units other than mm, or a grid that makes no sense; or it holds NaN or infinity.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise DataProblem(Problem(where, "is no regular file", "check its path"))
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            size = path.stat().st_size * (_MOST_DEFLATED if compressed else 1)
            return _read(gzip.GzipFile(fileobj=file) if compressed else file, size, most_bytes, where)
    except FileNotFoundError:
        raise DataProblem(Problem(where, "the file is missing", "check its path")) from None
    except (OSError, EOFError, zlib.error) as error:  # gzip raises all three for damaged files
        raise _unreadable(where, f"damaged or cut off: {type(error).__name__}") from None


def read_placed_nifti(path: Path, where: str, most_bytes: int = MOST_BYTES) -> Volume:
    """Read a volume as `read_nifti` does, and only if its header leaves no doubt where it lies.

    Raises:
        DataProblem: as in `read_nifti`; neither sform nor qform is set, or they place it differently.
    """
    file = read_nifti(path, where, most_bytes)
    if file.notes:
        remedy = "export it again from the scanner's images, with one place"
        raise DataProblem(*[Problem(where, note.removesuffix("; the sform is used"), remedy) for note in file.notes])
    return file.volume


def read_header(path: Path) -> nibabel.Nifti1Header:
    """The header of a ``.nii`` or ``.nii.gz``.

    Raises:
        ValueError: it is none.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
        file.seek(0)
        return _header(gzip.GzipFile(fileobj=file) if compressed else file)


def _read(stream: BinaryIO | gzip.GzipFile, capacity: int, most_bytes: int, where: str) -> NiftiFile:
    """Read the open file.

    Args:
        capacity: bytes that the file can hold when it is inflated.
    """
    try:
        header = _header(stream)
    except ValueError as error:
        raise _unreadable(where, str(error)) from None
    shape = _shape(header, where)
    try:
        dtype = header.get_data_dtype()
    except KeyError:  # nibabel knows some codes by name alone
        raise _unreadable(where, "damaged header: datatype") from None
    if dtype.fields is not None or dtype.kind not in "iuf" or dtype.itemsize > 8:
        what = f"holds {header.get_value_label('datatype')} values and no grey values"
        raise DataProblem(Problem(where, what, "export it with one whole or real number per voxel"))
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise _unreadable(where, "damaged header: bitpix")
    check_shape(shape, dtype.itemsize, most_bytes, where)
    slope, offset = _scaling(header, where)
    affine, notes = _affine(header, where)
    start, length = int(header["vox_offset"]), int(np.prod(shape)) * dtype.itemsize
    if start + length > capacity:
        what = f"the file is cut off: its header announces {length / 1e6:.1f} MB of voxels, which it cannot hold"
        raise DataProblem(Problem(where, what, _EXPORT))
    stream.seek(start)
    content = stream.read(length + _PADDING + 1)
    if len(content) < length:
        raise cut_off(len(content), length, where)
    if len(content) > length + _PADDING:
        raise too_long(shape, where)
    array = array_from_file(shape, dtype, io.BytesIO(content), mmap=False)
    array = array.astype(dtype.newbyteorder("="), copy=False)
    array = np.asanyarray(apply_read_scaling(array, slope, offset))
    check_values(array, where)
    return NiftiFile(Volume(array, affine), notes)


def _header(stream: BinaryIO | gzip.GzipFile) -> nibabel.Nifti1Header:
    start = stream.read(540)
    kind = next(
        (
            kind
            for kind in (nibabel.Nifti1Header, nibabel.Nifti2Header)
            if len(start) >= kind.sizeof_hdr and kind.may_contain_header(start)
        ),
        None,
    )
    if kind is None:
        raise ValueError("no NIfTI header")
    try:
        header = kind(start[: kind.sizeof_hdr], check=False)
        magic = header["magic"].item()
    except Exception as error:  # nibabel raises many kinds for damaged headers
        raise ValueError(type(error).__name__) from None
    if not magic.startswith((b"n+1", b"n+2")):
        raise ValueError("its voxels are in another file; one .nii or .nii.gz file is expected")
    if header["vox_offset"] != np.clip(np.rint(header["vox_offset"]), kind.single_vox_offset, 2**27):
        raise ValueError("damaged header: vox_offset")
    return header


def _shape(header: nibabel.Nifti1Header, where: str) -> tuple[int, ...]:
    count = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : 1 + count]) if 1 <= count <= 7 else ()
    if not shape or min(shape) < 1:
        raise _unreadable(where, "damaged header: its numbers of voxels make no sense")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        more = f" ({times(shape)})" if len(shape) > 3 else ""
        what = f"the image has {len(shape)} dimensions instead of 3{more}"
        raise DataProblem(Problem(where, what, "export one 3D image"))
    return shape


def _scaling(header: nibabel.Nifti1Header, where: str) -> tuple[float | None, float | None]:
    """Slope and offset; ``None`` where the header states no scaling (slope 0, or NaN as nibabel writes it)."""
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return None, None
    if not np.isfinite([slope, offset]).all():
        what = "its header scales the values by a number that is not finite"
        raise DataProblem(Problem(where, what, _EXPORT))
    return slope, offset


def _affine(header: nibabel.Nifti1Header, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Voxel index to RAS mm, and what the header says about it in different ways."""
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise DataProblem(Problem(where, f"its header counts in {unit} instead of millimetres", "export it in mm"))
    sizes = np.asarray(header["pixdim"][1:4], dtype=float)
    check_sizes(sizes, where)
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # what the standard takes a missing handedness for
    try:
        affine = np.asarray(header.get_best_affine(), dtype=float)
        turned = header.get_qform(coded=True)[0]
    except Exception:  # a quaternion of no length, and what else nibabel finds
        raise _unreadable(where, "damaged header: its orientation makes no sense") from None
    check_affine(affine, where)
    check_same_sizes(affine, sizes, ("sform", "pixdim"), where)
    notes = []
    if not header["sform_code"] and not header["qform_code"]:
        notes.append("its header does not say how it lies in the scanner (left and right are not known)")
    elif header["sform_code"] and turned is not None:
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in header["dim"][1:4]])).reshape(3, -1)
        apart = np.abs(affine[:3, :3] @ corners + affine[:3, 3:] - turned[:3, :3] @ corners - turned[:3, 3:]).max()
        if not apart < 0.5:
            notes.append(f"its sform and qform place it up to {apart:.1f} mm apart; the sform is used")
    return affine, tuple(notes)


def _unreadable(where: str, reason: str) -> DataProblem:
    return DataProblem(Problem(where, f"the file cannot be read as NIfTI ({reason})", _EXPORT))
