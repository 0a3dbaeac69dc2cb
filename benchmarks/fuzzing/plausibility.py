"""Whether a damaged file is still a valid, plausible one, or whether a careful reader can see that it is damaged.

A file is plausible if it parses into the same tree of elements (tags, value representations, lengths, items), and if
nothing in the cohort contradicts the values that differ: another pixel, a point that stays near its contour, a position
within the tolerance of its series, another positive dose scaling, another text that is no identity. An ROI without its
first or last contour is plausible too. All else is structural damage: values that are no number or no date, counts that
do not fit, references that lead nowhere, one slice that differs from its series, files that do not parse or are gone.
"""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import header_dtype
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

PLANE_TOLERANCE_MM = 0.5
"""By which a point may leave the plane of its contour."""
REACH_MM = 30.0
"""By which one point may move within its plane, and a dose grid may move."""
POSITION_TOLERANCE_MM = 0.1
"""By which a slice may leave its place in the series."""
RATIO = 10.0
"""By which a scale may grow or shrink."""

_TEXTS = frozenset(("LO", "SH", "LT", "ST", "UT", "UC"))
_IDENTITY = "PatientID"
_SCALES = frozenset(("DoseGridScaling", "RescaleSlope", "TargetPrescriptionDose"))
_NEUTRAL_NIFTI = frozenset(
    (
        *("data_type", "db_name", "extents", "session_error", "regular", "dim_info", "slice_start", "slice_end"),
        *("intent_p1", "intent_p2", "intent_p3", "intent_code", "intent_name", "slice_code", "slice_duration"),
        *("toffset", "cal_max", "cal_min", "glmax", "glmin", "descrip", "aux_file"),
    )
)  # fields that say nothing about the voxels or their place


@dataclass(frozen=True)
class _Leaf:
    vr: str
    length: int
    value: bytes


def is_plausible(clean: bytes, path: Path, is_mask: bool = False) -> bool:
    """Whether a damaged file is valid and plausible.

    Args:
        clean: the file's bytes before the damage.
        path: the file after it; it may be gone, or be no file any more.
        is_mask: a NIfTI that holds a lesion; it must stay binary.
    """
    if path.is_symlink() or not path.is_file():
        return False
    damaged = path.read_bytes()
    if damaged == clean:
        return True
    if clean[128:132] == b"DICM":
        return _plausible_dicom(clean, damaged)
    return _plausible_nifti(clean, damaged, path.suffix == ".gz", is_mask)


def _plausible_dicom(clean: bytes, damaged: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before, after = dict(_leaves(clean)), dict(_leaves(damaged))
    except Exception:  # a damaged file can fail anywhere inside the parser
        return False
    if before.keys() != after.keys():
        return any(shorter == after for shorter in _without_an_end(before))
    modality = before["Modality"].value.decode().strip()
    for path, old in before.items():
        new = after[path]
        if not _same_form(old, new) or (old.value != new.value and not _plausible_value(path, modality, old, new)):
            return False
    pixels = [leaves["PixelData"].value for leaves in (before, after) if "PixelData" in leaves]
    return pixels[:1] == pixels[1:] or _decodes(damaged)


def _leaves(data: bytes) -> Iterator[tuple[str, _Leaf]]:
    """Each element by its path, with the numbers of the items around it."""
    dataset = dcmread(io.BytesIO(data), force=True)
    yield from _walk(dataset.file_meta, "meta.")
    yield from _walk(dataset, "")


def _walk(dataset: Dataset, prefix: str) -> Iterator[tuple[str, _Leaf]]:
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        path = prefix + (keyword_for_tag(tag) or f"{int(tag):08X}")
        vr = raw.VR or dictionary_VR(tag)
        if vr == "SQ":
            items = dataset[tag].value
            yield path, _Leaf(vr, len(items), b"")
            for number, item in enumerate(items):
                yield from _walk(item, f"{path}.{number}.")
        elif isinstance(raw, RawDataElement):
            yield path, _Leaf(vr, raw.length, raw.value or b"")
        else:
            yield path, _Leaf(vr, 0, repr(raw.value).encode())


def _same_form(old: _Leaf, new: _Leaf) -> bool:
    """Whether two elements have one value representation and length; texts and decimals need only be whole."""
    if old.vr == new.vr and new.vr in (*_TEXTS, "DS"):
        return new.length == len(new.value)
    return (old.vr, old.length, len(old.value)) == (new.vr, new.length, len(new.value))


def _without_an_end(leaves: dict[str, _Leaf]) -> Iterator[dict[str, _Leaf]]:
    """The same file without the first, and without the last, contour of each ROI."""
    for sequence in [path for path in leaves if path.rpartition(".")[2] == "ContourSequence"]:
        count = leaves[sequence].length
        for gone in (0, count - 1):
            out = {sequence: _Leaf("SQ", count - 1, b"")}
            for path, leaf in leaves.items():
                if not path.startswith(f"{sequence}."):
                    out.setdefault(path, leaf)
                    continue
                number, _, rest = path.removeprefix(f"{sequence}.").partition(".")
                if int(number) != gone:
                    out[f"{sequence}.{int(number) - (int(number) > gone)}.{rest}"] = leaf
            yield out


def _plausible_value(path: str, modality: str, old: _Leaf, new: _Leaf) -> bool:
    keyword = path.rpartition(".")[2]
    if keyword == "PixelData":
        return True  # whether it can be decoded is looked at afterwards
    if old.vr in _TEXTS:
        return keyword != _IDENTITY and _is_text(new.value)
    if keyword not in ("ContourData", "ImagePositionPatient", "RescaleIntercept", *_SCALES):
        return False
    before, after = _numbers(old.value), _numbers(new.value)
    if after is None or before is None or before.shape != after.shape:
        return False
    if keyword in _SCALES:
        return bool((after > 0).all() and np.abs(np.log(after / before)).max() <= np.log(RATIO))
    moved = np.abs(after - before)
    if keyword == "ContourData":  # all outlines of the cohort are axial
        off_plane = moved[2::3].max()
        return bool(off_plane <= PLANE_TOLERANCE_MM and moved.max() <= REACH_MM)
    return bool(moved.max() <= (POSITION_TOLERANCE_MM if modality in ("MR", "SEG") else REACH_MM))


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").rstrip(" \0").isprintable()
    except UnicodeDecodeError:
        return False


def _numbers(value: bytes) -> np.ndarray | None:
    try:
        numbers = np.array([float(part) for part in value.decode("ascii").rstrip(" \0").split("\\")])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _decodes(data: bytes) -> bool:
    """Whether the pixels can be decoded without a complaint, and are not all the same."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = dcmread(io.BytesIO(data)).pixel_array
    except Exception:  # decoders fail in many ways
        return False
    return bool(pixels.min() < pixels.max())


def _plausible_nifti(clean: bytes, damaged: bytes, packed: bool, is_mask: bool) -> bool:
    if packed:
        try:
            clean, damaged = gzip.decompress(clean), gzip.decompress(damaged)
        except (OSError, EOFError, zlib.error):
            return False
    size = header_dtype.itemsize
    if len(damaged) != len(clean):
        return False
    before, after = (np.frombuffer(data[:size], dtype=header_dtype)[()] for data in (clean, damaged))
    differing = {name for name in header_dtype.names if before[name].tobytes() != after[name].tobytes()}
    if not differing <= _NEUTRAL_NIFTI:
        return False
    kind = {2: np.uint8, 4: np.int16}[int(before["datatype"])]
    voxels = np.frombuffer(damaged[int(before["vox_offset"]) :], dtype=kind)
    if is_mask:
        return bool(np.isin(voxels, (0, 1)).all() and voxels.any())
    return bool(voxels.min() < voxels.max())
