"""Untrusted NRRD files: only the fields of a list are read, and no field can lead to another file.

A NRRD header may name any file of the machine for its voxels, in many spellings. No library reads the header here:
what is not understood to the letter is refused, and the array is made from the bytes that follow the header in the
same file.

Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
import stat
import zlib
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

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

_MAGIC = re.compile(rb"NRRD000[1-5]")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LONE_RETURN = re.compile(rb"\r")
_MOST_LINES = 100_000
_MOST_CHARACTERS = 1000
"""Of the value of a field that is read; comments and key/value pairs may be longer."""
_INFLATED_AT_A_TIME = 2**20
_EXPORT = "export it again"

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split(", ")}
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_LAYOUT = frozenset(["type", "endian", "encoding", "lineskip", "byteskip", "dimension", "sizes", "kinds"])
_PLACE = frozenset(["space", "spacedirections", "spaceorigin", "spacings", "units", "spaceunits"])
_OF_VALUES = frozenset(["content", "number", "min", "max", "oldmin", "oldmax", "sampleunits", "measurementframe"])
_OF_AXES = frozenset(["centers", "centerings", "labels", "thicknesses", "axismins", "axismaxs"])
_MILLIMETRES = frozenset(["", "mm", "millimeter", "millimeters", "millimetre", "millimetres"])
_SPATIAL = frozenset(["domain", "space", "none", "???"])
_OTHER_AXES = {
    "list": "several layers of segments",
    "time": "several volumes",
    "complex": "complex numbers",
    **dict.fromkeys(("rgb-color", "rgba-color", "hsv-color", "xyz-color"), "colours"),
}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|[+-]?inf(?:inity)?", re.IGNORECASE)
_VECTOR = re.compile(r"\s*(?:\(([^()]*)\)|none)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class _Header:
    """What is understood of a header.

    Attributes:
        shape: of the volume; an axis of one layer is left out.
        dtype: of the stored voxels, with their byte order.
        packed: whether the voxels are a gzip stream.
        affine: voxel index to RAS mm, ``(4, 4)``.
        start: where the voxels begin in the file, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool
    affine: np.ndarray
    start: int


def read_nrrd(path: Path, where: str, most_bytes: int = MOST_BYTES) -> Volume:
    """Read one 3D volume from a NRRD file that holds its own voxels, raw or as gzip.

    Lines may end in ``\\n``, ``\\r\\n`` or ``\\r``. Comments and key/value pairs of any length are passed over.

    Args:
        where: how to call the file in problems.
        most_bytes: that the voxels may take after unpacking.

    Raises:
        DataProblem: the file is missing, is no NRRD or not whole; its header points to other files, skips bytes, has
            an unknown field, leaves open how the volume lies, announces colours, vectors, several volumes, more than
            ``most_bytes``, units other than mm, or a grid that makes no sense; or it holds NaN or infinity.
    """
    with _opened(path, where) as content:
        header = _header(content, where)
        check_shape(header.shape, header.dtype.itemsize, most_bytes, where)
        length = math.prod(header.shape) * header.dtype.itemsize
        if header.packed:
            voxels: bytes | bytearray = _inflated(content, header, length, where)
        else:
            voxels = content[header.start : header.start + length + 1]
        if len(voxels) < length:
            raise cut_off(len(voxels), length, where)
        if len(voxels) > length:
            raise too_long(header.shape, where)
    array = np.frombuffer(voxels, header.dtype).reshape(header.shape, order="F")
    array = array.astype(header.dtype.newbyteorder("="))
    check_values(array, where)
    return Volume(array, header.affine)


def read_nrrd_shape(path: Path, where: str) -> tuple[int, ...]:
    """The shape that a NRRD's header announces.

    Raises:
        DataProblem: as in `read_nrrd`.
    """
    with _opened(path, where) as content:
        return _header(content, where).shape


def _opened(path: Path, where: str) -> mmap:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe would never end
            raise DataProblem(Problem(where, "is no regular file", "check its path"))
        if state.st_size == 0:
            raise _unreadable("it is empty", where)
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except FileNotFoundError:
        raise DataProblem(Problem(where, "the file is missing", "check its path")) from None


def _header(content: mmap, where: str) -> _Header:
    fields, start = _fields(content, where)
    sizes, axes = _axes(fields, where)
    for name in ("lineskip", "byteskip"):
        if fields.get(name, "0") != "0":
            what = "its header skips what comes before its voxels"
            raise DataProblem(Problem(where, what, "send a NRRD file whose voxels follow its header"))
    encoding = _needed(fields, "encoding", where).lower()
    if encoding not in ("raw", "gzip", "gz"):
        what = "its voxels are in an encoding that is not read"
        raise DataProblem(Problem(where, what, "save it as raw or gzip"))
    shape = tuple(sizes[axis] for axis in axes)
    return _Header(shape, _dtype(fields, where), encoding != "raw", _affine(fields, axes, where), start)


def _fields(content: mmap, where: str) -> tuple[dict[str, str], int]:
    """The fields that are read, by their names without spaces, and where the header ends."""
    first = _LINE_END.search(content, 0, 16)
    if first is None or not _MAGIC.fullmatch(content[: first.start()]):
        raise _unreadable("no NRRD header", where)
    # Where lines end in a lone \r, a \n after the last one is already a voxel.
    line_end = _LONE_RETURN if first.group() == b"\r" else _LINE_END
    fields: dict[str, str] = {}
    position = first.end()
    for number in range(2, _MOST_LINES):
        end = line_end.search(content, position)
        if end is None:
            raise _unreadable("its header does not end", where)
        begin, position = position, end.end()
        if begin == end.start():
            return fields, position
        if content[begin] != ord("#"):
            _add_field(fields, content, begin, end.start(), number, where)
    raise _unreadable(f"its header has more than {_MOST_LINES} lines", where)


def _add_field(fields: dict[str, str], content: mmap, begin: int, end: int, number: int, where: str) -> None:
    """Add the field of a line, unless it says nothing about the volume."""
    colon = content.find(b":", begin, end)
    name = re.sub(r"[\s_-]", "", content[begin : max(begin, min(colon, begin + 64))].decode("latin1")).lower()
    if name == "datafile":
        what = "its header points to another file"
        raise DataProblem(Problem(where, what, "send a NRRD file that holds its own voxels"))
    if name in _OF_VALUES | _OF_AXES or (colon > 0 and content[colon + 1 : colon + 2] == b"="):
        return
    if name not in _LAYOUT | _PLACE:
        raise _unreadable(f"line {number} of its header is no field of a volume", where)
    if name in fields:
        raise _unreadable(f"line {number} of its header says again what another line says", where)
    if end - colon > _MOST_CHARACTERS:
        raise _unreadable(f"line {number} of its header is too long", where)
    fields[name] = content[colon + 1 : end].decode("latin1").strip()


def _axes(fields: dict[str, str], where: str) -> tuple[list[int], list[int]]:
    """The sizes of all axes, and which three of them are the volume's."""
    words = _needed(fields, "sizes", where).split()
    dimension = _needed(fields, "dimension", where)
    if not all(re.fullmatch(r"[0-9]{1,10}", word) for word in [dimension, *words]) or len(words) != int(dimension):
        raise _unreadable("damaged header: its numbers of voxels make no sense", where)
    sizes = [int(word) for word in words]
    if min(sizes, default=0) < 1:
        raise _unreadable("damaged header: its numbers of voxels make no sense", where)
    kinds = [kind.strip('"').lower() for kind in fields.get("kinds", "").split()] or ["domain"] * len(sizes)
    vectors = _vectors(fields.get("spacedirections", ""), where)
    if len(kinds) != len(sizes) or len(vectors) not in (0, len(sizes)):
        raise _unreadable("damaged header: its fields have different numbers of axes", where)
    # Slicer writes its segments with an axis of layers, which is one layer where no segments overlap.
    spatial = [kind in _SPATIAL and (not vectors or vectors[axis] is not None) for axis, kind in enumerate(kinds)]
    for kind, size, is_spatial in zip(kinds, sizes, spatial, strict=True):
        if not is_spatial and size > 1:
            what = f"holds {_OTHER_AXES.get(kind, 'several values for every voxel')} and no grey values or labels"
            raise DataProblem(Problem(where, what, "export one 3D image, or one label map without overlaps"))
    axes = [axis for axis, is_spatial in enumerate(spatial) if is_spatial]
    if len(axes) != 3:
        what = f"the image has {len(axes)} dimensions instead of 3 ({times(sizes)})"
        raise DataProblem(Problem(where, what, "export one 3D image"))
    return sizes, axes


def _dtype(fields: dict[str, str], where: str) -> np.dtype:
    dtype = _DTYPES.get(" ".join(_needed(fields, "type", where).lower().split()))
    if dtype is None:
        what = "holds values of a type that is not read"
        raise DataProblem(Problem(where, what, "export it with one whole or real number per voxel"))
    endian = fields.get("endian", "").lower()
    if endian not in ("little", "big") and not (endian == "" and dtype[1] == "1"):
        raise _unreadable("its header does not say the order of bytes (endian)", where)
    return np.dtype(dtype).newbyteorder(">" if endian == "big" else "<")


def _affine(fields: dict[str, str], axes: list[int], where: str) -> np.ndarray:
    """Voxel index to RAS mm, ``(4, 4)``."""
    signs = _TO_RAS.get(fields.get("space", "").lower())
    vectors = _vectors(fields.get("spacedirections", ""), where)
    origin = _vectors(fields.get("spaceorigin", ""), where)
    if signs is None or not vectors or len(origin) != 1 or origin[0] is None:
        what = "its header does not say how it lies in the scanner (space, space directions, space origin)"
        raise DataProblem(Problem(where, what, "export it again from the scanner's images"))
    for name in ("units", "spaceunits"):
        if any(unit.strip().lower() not in _MILLIMETRES for unit in _quoted(fields.get(name, ""))):
            raise DataProblem(Problem(where, "its header does not count in millimetres", "export it in mm"))
    affine = np.eye(4)
    affine[:3] = np.array([*[vectors[axis] for axis in axes], origin[0]]).T * np.array(signs)[:, None]
    check_affine(affine, where)
    if "spacings" in fields:
        _check_spacings(fields["spacings"], affine, axes, where)
    return affine


def _check_spacings(text: str, affine: np.ndarray, axes: list[int], where: str) -> None:
    """Refuse spacings beside directions unless they say the same; NaN says nothing."""
    spacings = _numbers(text.split(), where)
    if len(spacings) <= max(axes):
        raise _unreadable("damaged header: its fields have different numbers of axes", where)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    sizes = np.array([spacings[axis] for axis in axes])
    sizes = np.where(np.isnan(sizes), lengths, sizes)
    check_sizes(sizes, where)
    check_same_sizes(affine, sizes, ("space directions", "spacings"), where)


def _vectors(text: str, where: str) -> list[list[float] | None]:
    """Vectors of three numbers such as ``(1,0,0) none (0,1,0)``; None for an axis that has none."""
    found: list[list[float] | None] = []
    position = 0
    while position < len(text):
        vector = _VECTOR.match(text, position)
        if vector is None:
            raise _unreadable("damaged header: its directions make no sense", where)
        found.append(None if vector.group(1) is None else _numbers(vector.group(1).split(","), where))
        position = vector.end()
    if any(vector is not None and len(vector) != 3 for vector in found):
        raise _unreadable("damaged header: its directions make no sense", where)
    return found


def _numbers(words: list[str], where: str) -> list[float]:
    if not all(_NUMBER.fullmatch(word.strip()) for word in words):
        raise _unreadable("damaged header: a number is none", where)
    return [float(word) for word in words]


def _quoted(text: str) -> list[str]:
    """Units as NRRD writes them, each in quotation marks."""
    return re.findall(r'"([^"]*)"', text) if '"' in text else text.split()


def _inflated(content: mmap, header: _Header, length: int, where: str) -> bytearray:
    """The voxels of a gzip stream, inflated no further than one byte beyond what is announced."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    voxels = bytearray()
    position = header.start
    try:
        while not inflater.eof and len(voxels) <= length and position < len(content):
            piece = content[position : position + _INFLATED_AT_A_TIME]
            voxels += inflater.decompress(piece, length + 1 - len(voxels))
            position += len(piece)
    except zlib.error:
        raise _unreadable("damaged: its voxels cannot be inflated", where) from None
    if len(voxels) <= length and not inflater.eof:
        raise _unreadable("its gzip stream is cut off", where)
    if inflater.unused_data or position < len(content):
        raise too_long(header.shape, where)
    return voxels


def _needed(fields: dict[str, str], name: str, where: str) -> str:
    if name not in fields:
        raise _unreadable(f"its header says no {name}", where)
    return fields[name]


def _unreadable(reason: str, where: str) -> DataProblem:
    return DataProblem(Problem(where, f"the file cannot be read as NRRD ({reason})", _EXPORT))
