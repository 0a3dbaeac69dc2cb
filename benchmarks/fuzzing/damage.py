"""Damage to one file of a clean cohort: bytes, lengths, values, whole files, and NIfTI headers.

Each kind is a list of functions ``(path, others, rng) → what was done``; a function picks its place with ``rng`` alone,
so the same seed damages the same byte.
"""

from __future__ import annotations

import gzip
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from nibabel.nifti1 import header_dtype

from fuzzing.dicom_bytes import Element, elements, replace, replace_value

Damage = Callable[[Path, Sequence[Path], np.random.Generator], str]

_SPOILT_VALUES: dict[str, tuple[str, ...]] = {
    "DS": ("nan", "inf", "-inf", "1e30", "-1", "0", "", "abc", "1,5", "1e-30"),
    "IS": ("-1", "0", "99999999999", "", "abc", "1.5", "7"),
    "UI": ("", "1.2.3", "1..2", "abc", "1.2.840.10008.5.1.4.1.1.2"),
    "DA": ("", "20241399", "abc", "19000101", "20240301", "20240401", "20240604", "20991231"),
    "CS": ("", "WRONG", "gy", "RELATIVE", "CT"),
    "TM": ("", "abc", "256199"),
}
_TEXT_VRS = frozenset(("LO", "SH", "LT", "ST", "PN", "UT", "UC"))
_SPOILT_NUMBERS = {"US": (0, 1, 3, 255, 65535), "UL": (0, 1, 2**31, 2**32 - 1)}
_SPOILT_FLOATS = (np.nan, np.inf, -1.0, 0.0, 1e30)
_OTHER_VRS = (b"OB", b"OW", b"SQ", b"UN", b"DS", b"IS", b"US", b"FD", b"LO", b"UI", b"AT", b"ZZ", b"\0\0")
_DECISIVE = frozenset(
    (
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
        *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
        *("PixelData", "NumberOfFrames", "SliceThickness", "SpacingBetweenSlices", "TransferSyntaxUID", "Modality"),
        *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
        *("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "SeriesDescription", "ContrastBolusAgent"),
        *("ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID", "ReferencedFrameOfReferenceSequence"),
        *("StructureSetROISequence", "ROIContourSequence", "ContourSequence", "ContourData", "ContourGeometricType"),
        *("ROINumber", "ReferencedROINumber", "ROIName", "NumberOfContourPoints", "RTROIInterpretedType"),
        *("DoseUnits", "DoseType", "DoseSummationType", "DoseGridScaling", "GridFrameOffsetVector"),
        *("ReferencedRTPlanSequence", "ReferencedStructureSetSequence", "DoseReferenceSequence"),
        *("DoseReferenceType", "TargetPrescriptionDose", "SegmentSequence", "SegmentNumber", "SegmentLabel"),
        *("SegmentationType", "ReferencedSegmentNumber", "PerFrameFunctionalGroupsSequence", "PlanePositionSequence"),
        *("SharedFunctionalGroupsSequence", "SegmentIdentificationSequence", "ReferencedSeriesSequence"),
    )
)  # elements on which a result depends
_SHARE_OF_DECISIVE = 0.65


def _pick(items: Sequence, rng: np.random.Generator):
    return items[int(rng.integers(len(items)))]


def _pick_element(found: Sequence[Element], rng: np.random.Generator) -> Element:
    """An element of a random path, so that a thousand contours do not hide the rest; more often a decisive one."""
    if rng.random() < _SHARE_OF_DECISIVE:
        found = [element for element in found if element.keyword in _DECISIVE] or found
    by_path: dict[tuple[str, str], list[Element]] = defaultdict(list)
    for element in found:
        by_path[element.path, element.vr].append(element)
    return _pick(by_path[_pick(sorted(by_path), rng)], rng)


def _place(data: bytes, rng: np.random.Generator) -> tuple[int, str]:
    """A byte of a random element of a DICOM file, of any byte of another file, and how to call it."""
    if data[128:132] != b"DICM":
        position = int(rng.integers(min(len(data), 400) if rng.random() < 0.5 else len(data)))
        return position, f"byte {position}"
    element = _pick_element(elements(data), rng)
    position = int(rng.integers(element.start, max(element.end, element.start + 1)))
    if rng.random() < 0.3:
        position = int(rng.integers(element.start, element.value))
    return position, f"byte {position} ({element.path or 'preamble'})"


# Bytes


def _flip_bits(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    places = [_place(bytes(data), rng) for _ in range(int(rng.integers(1, 4)))]
    for position, _ in places:
        data[position] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return f"bits flipped in {', '.join(name for _, name in places)}"


def _overwrite(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data, length = path.read_bytes(), int(rng.choice([1, 2, 8, 64, 512]))
    position, name = _place(data, rng)
    path.write_bytes((data[:position] + rng.bytes(length) + data[position + length :])[: len(data)])
    return f"{length} bytes overwritten at {name}"


def _zero(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data, length = path.read_bytes(), int(rng.choice([1, 4, 64, 512, 4096]))
    position, name = _place(data, rng)
    path.write_bytes((data[:position] + bytes(length) + data[position + length :])[: len(data)])
    return f"{length} bytes set to zero at {name}"


def _truncate(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = path.read_bytes()
    position, name = _place(data, rng)
    path.write_bytes(data[:position])
    return f"cut off at {name}"


def _remove(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data, length = path.read_bytes(), int(rng.choice([1, 2, 8, 64, 1000]))
    position, name = _place(data, rng)
    path.write_bytes(data[:position] + data[position + length :])
    return f"{length} bytes removed at {name}"


def _insert(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data, length = path.read_bytes(), int(rng.choice([1, 2, 8, 64, 1000]))
    position, name = _place(data, rng)
    path.write_bytes(data[:position] + rng.bytes(length) + data[position:])
    return f"{length} bytes inserted at {name}"


# Lengths, value representations, tags


def _length(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    element = _pick_element(elements(bytes(data)), rng)
    place = slice(element.length_at, element.length_at + element.length_size)
    old, most = int.from_bytes(data[place], "little"), 256**element.length_size - 1
    choices = {old + 2, old + 8, old * 2, old // 2, old - 2, 0, most, most - 1, most // 2 + 1, old + 1} - {old}
    new = _pick(sorted(value for value in choices if 0 <= value <= most), rng)
    data[place] = new.to_bytes(element.length_size, "little")
    path.write_bytes(data)
    return f"length of {element.path} {element.vr} from {old} to {new}"


def _value_representation(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    explicit = [e for e in elements(bytes(data)) if e.vr != "item" and e.value - e.start > 4 + e.length_size]
    if not explicit:
        return _length(path, others, rng)
    element, new = _pick_element(explicit, rng), _pick(_OTHER_VRS, rng)
    data[element.start + 4 : element.start + 6] = new
    path.write_bytes(data)
    return f"value representation of {element.path} from {element.vr} to {new!r}"


def _tag(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    found = elements(bytes(data))
    element, other = _pick_element(found, rng), _pick_element(found, rng)
    new = _pick((data[other.start : other.start + 4], rng.bytes(4), b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0"), rng)
    data[element.start : element.start + 4] = new
    path.write_bytes(data)
    return f"tag of {element.path} {element.vr} to {bytes(new).hex()}"


# Values


def _value(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = path.read_bytes()
    number_vrs = {*_SPOILT_VALUES, *_SPOILT_NUMBERS, "FD", "FL"}
    element = _pick_element([e for e in elements(data) if e.vr in number_vrs], rng)
    old = data[element.value : element.end]
    if element.vr in _SPOILT_NUMBERS:
        size = 2 if element.vr == "US" else 4
        new = int(_pick(_SPOILT_NUMBERS[element.vr], rng)).to_bytes(size, "little") + old[size:]
        shown = str(int.from_bytes(new[:size], "little"))
    elif element.vr in ("FD", "FL"):
        number = _pick(_SPOILT_FLOATS, rng)
        kind = "<f8" if element.vr == "FD" else "<f4"
        new, shown = np.array([number], dtype=kind).tobytes(), str(number)
        new += old[len(new) :]
    else:
        parts = old.decode("ascii").rstrip(" \0").split("\\")
        parts[int(rng.integers(len(parts)))] = _pick(_SPOILT_VALUES[element.vr], rng)
        new = "\\".join(parts).encode()
        shown = repr("\\".join(parts)[:40])
    path.write_bytes(replace_value(data, element, new))
    return f"{element.path} set to {shown}"


def _digit(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """One digit of a number, date or UID, which mostly stays plausible."""
    data = bytearray(path.read_bytes())
    element = _pick_element([e for e in elements(bytes(data)) if e.vr in ("DS", "IS", "DA", "UI")], rng)
    digits = [i for i in range(element.value, element.end) if chr(data[i]).isdigit()]
    if not digits:
        return _value(path, others, rng)
    position = _pick(digits, rng)
    data[position] = ord("0") + (data[position] - ord("0") + int(rng.integers(1, 10))) % 10
    path.write_bytes(data)
    return f"a digit of {element.path} changed at byte {position}"


def _text(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = path.read_bytes()
    element = _pick_element([e for e in elements(data) if e.vr in _TEXT_VRS], rng)
    new = _pick(("", "fuzz", "GTV 2", "Überweisung", "x" * 300), rng)
    path.write_bytes(replace_value(data, element, new.encode()))
    return f"{element.path} set to {new[:12]!r}"


def _multiplicity(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    data = path.read_bytes()
    element = _pick_element([e for e in elements(data) if e.vr in ("DS", "IS", "CS")], rng)
    parts = data[element.value : element.end].rstrip(b" \0").split(b"\\")
    if len(parts) > 1 and rng.random() < 0.5:
        parts.pop(int(rng.integers(len(parts))))
    else:
        parts.append(_pick(parts, rng))
    path.write_bytes(replace_value(data, element, b"\\".join(parts)))
    return f"{element.path} has {len(parts)} values"


def _delete(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """An element, a sequence or an item is gone."""
    data = path.read_bytes()
    found = elements(data)
    if rng.random() < 0.4:
        found = [e for e in found if e.vr == "item"] or found
    element = _pick_element(found, rng)
    path.write_bytes(replace(data, element.start, element.end, b"", element.parents))
    return f"{element.path} {element.vr} deleted"


def _double(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """An item is there twice, or an element where no item is."""
    data = path.read_bytes()
    found = elements(data)
    element = _pick_element([e for e in found if e.vr == "item"] or found, rng)
    whole = data[element.start : element.end]
    path.write_bytes(replace(data, element.end, element.end, whole, element.parents))
    return f"{element.path} {element.vr} doubled"


# Whole files


def _delete_file(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    path.unlink()
    return "file deleted"


def _double_file(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    path.with_name(f"0copy{path.suffix}").write_bytes(path.read_bytes())
    return "file there again under another name"


def _fill_file(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    size = path.stat().st_size
    content, name = _pick(((b"", "nothing"), (bytes(size), "zeros"), (rng.bytes(size), "noise")), rng)
    path.write_bytes(content)
    return f"file filled with {name}"


def _replace_file(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """Another file's content, more often one of the same kind."""
    same = [other for other in others if other.name == path.name or other.parent == path.parent]
    other = _pick(same if same and rng.random() < 0.7 else others, rng)
    path.write_bytes(other.read_bytes())
    return f"file replaced by {other.parent.parent.name}/{other.parent.name}/{other.name}"


def _no_file(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """A pipe, an endless link, a link to a device or a folder has the file's name."""
    path.unlink()
    kind = _pick(("pipe", "endless link", "device", "folder"), rng)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name if kind == "endless link" else "/dev/zero")
    return f"file replaced by a {kind}"


# NIfTI


def _nifti_field(path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    packed = path.suffix == ".gz"
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    header = np.frombuffer(bytes(data[: header_dtype.itemsize]), dtype=header_dtype).copy()
    name = str(_pick(header_dtype.names, rng))
    values = header[name].reshape(-1)
    place = int(rng.integers(len(values)))
    if values.dtype.kind == "f":
        values[place] = _pick((np.nan, np.inf, 0, -1, 1e30, float(values[place]) * 2, float(values[place]) + 5), rng)
    elif values.dtype.kind == "S":
        values[place] = rng.bytes(values.dtype.itemsize)
    else:
        limits = np.iinfo(values.dtype)
        values[place] = _pick((0, 1, -1 % limits.max, limits.max, limits.min, 4, 16, 64), rng)
    header[name] = values.reshape(header[name].shape)
    data[: header_dtype.itemsize] = header.tobytes()
    path.write_bytes(gzip.compress(bytes(data), compresslevel=1, mtime=0) if packed else bytes(data))
    return f"header field {name}[{place}] set to {str(values[place])[:12]!r}"


KINDS: dict[str, tuple[Damage, ...]] = {
    "bytes": (_flip_bits, _overwrite, _zero, _truncate, _remove, _insert),
    "lengths": (_length, _length, _value_representation, _tag),
    "values": (_value, _value, _digit, _text, _multiplicity, _delete, _double),
    "files": (_delete_file, _double_file, _fill_file, _replace_file, _no_file),
    "nifti": (
        *(_nifti_field, _nifti_field, _nifti_field, _flip_bits, _overwrite, _zero, _truncate, _remove, _insert),
        *(_delete_file, _fill_file, _replace_file, _no_file),
    ),
}
"""Kind → its ways; a way that stands twice is taken twice as often. ``nifti`` is all of them on the NIfTI cohort."""


def damage_file(kind: str, path: Path, others: Sequence[Path], rng: np.random.Generator) -> str:
    """Damage a file in one of the ways of a kind.

    Args:
        kind: one of ``KINDS``.
        path: the file; it must be no hard link to a file that is still needed.
        others: the other files of the cohort, undamaged.

    Returns:
        What was done.
    """
    return _pick(KINDS[kind], rng)(path, others, rng)
