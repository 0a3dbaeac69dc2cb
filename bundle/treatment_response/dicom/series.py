"""Read an MR series into a volume: classic slices or enhanced multi-frame, in any order, orientation and encoding."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from treatment_response.dicom.entries import SeriesEntry
from treatment_response.dicom.image_plane import is_grid
from treatment_response.dicom.pixels import PixelsUnusable, decoded
from treatment_response.dicom.read_object import ObjectUnusable, read_object
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

# What tells volumes apart that share one series, most telling first.
_SPLITTERS = (
    *("EchoTime", "EffectiveEchoTime", "TemporalPositionIdentifier", "TemporalPositionIndex", "InversionTime"),
    *("DiffusionBValue", "FlipAngle", "ComplexImageComponent", "ImageType", "StackID", "AcquisitionNumber"),
    *("TriggerTime", "SeriesNumber"),
)
_SAME_PLACE_MM = 0.01
_SPACING_TOLERANCE = 0.05  # share of the slice distance: positions are rounded by some exporters, never by more
_LINE_TOLERANCE_MM = 0.1
MAX_SERIES_BYTES = 2 << 30
"""Decoded bytes of all images of a series."""


@dataclass
class _Frame:
    """One slice: values ``(rows, columns)``, LPS position of its first pixel's centre, direction cosines, spacing."""

    pixels: np.ndarray
    position: np.ndarray
    orientation: np.ndarray  # (6,): along a row, down a column
    spacing: tuple[float, float]  # between rows, between columns
    rescale: tuple[float, float]
    signed: bool
    marks: dict[str, str] = field(default_factory=dict)


def read_series(entry: SeriesEntry | Path, where: str | None = None) -> Volume:
    """Read the one volume of a series.

    Args:
        entry: from ``scan_folder``, or a folder (or file) that holds nothing but the series.
        where: how to call the series in problems; None is its modality and description.

    Returns:
        ``(I, J, K)``: I along a pixel row, J down the rows, K across the slices in the direction row × column. int16
        where the values are integers that fit, else float32 after rescale slope and intercept. The slice distance
        comes from the positions, never from Slice Thickness.

    Raises:
        DataProblem: a fault that the scan told, missing slices, mixed orientations, sizes or signs, a single slice,
            several volumes in the series, pixel data that cannot be decoded, are too large or are all one value.
    """
    volumes = read_volumes(entry, where)
    if len(volumes) > 1:
        what = f"holds {len(volumes)} volumes at the same slice positions ({'; '.join(volumes)})"
        raise _problem(entry, where, what, "export the contrast T1 volume as a series of its own")
    return next(iter(volumes.values()))


def read_volumes(entry: SeriesEntry | Path, where: str | None = None) -> dict[str, Volume]:
    """Read all volumes of a series that has several at the same positions: echoes, time points, magnitude and phase.

    Returns:
        What tells a volume apart (``EchoTime 12.0``; empty if it is the only one) → volume; see :func:`read_series`.
    """
    if isinstance(entry, SeriesEntry) and entry.fault:
        raise _problem(entry, where, entry.fault, "export the complete series again")
    try:
        return {name: _stack(group) for name, group in _split(_all_frames(_paths(entry))).items()}
    except (_CannotRead, PixelsUnusable, ObjectUnusable) as error:
        raise _problem(entry, where, *error.args) from None


class _CannotRead(Exception):
    """Why a series cannot be read, as (what, remedy)."""


def _problem(entry: SeriesEntry | Path, where: str | None, what: str, remedy: str) -> DataProblem:
    name = where or (entry.name if isinstance(entry, SeriesEntry) else "series")
    return DataProblem(Problem(name, what, remedy))


def _paths(entry: SeriesEntry | Path) -> list[Path]:
    if isinstance(entry, SeriesEntry):
        return [path for path, _ in entry.files]
    if entry.is_file():
        return [entry]
    return sorted(Path(folder) / name for folder, _, names in os.walk(entry) for name in names)


def _all_frames(paths: Sequence[Path]) -> list[_Frame]:
    frames: list[_Frame] = []
    size = 0
    for path in paths:
        for frame in _frames(path):
            size += frame.pixels.nbytes
            if size > MAX_SERIES_BYTES:
                what = f"holds more than {MAX_SERIES_BYTES >> 20} MB of pixels in {len(paths)} files"
                raise _CannotRead(what, "export the contrast T1 volume as a series of its own")
            frames.append(frame)
    if not frames:
        raise _CannotRead("holds no images", "export it again")
    return frames


def _frames(path: Path) -> Iterator[_Frame]:
    dataset = read_object(path)
    pixels = decoded(dataset)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups:
        if len(groups) != len(pixels):
            raise _CannotRead(f"has {len(pixels)} frames and describes {len(groups)}", "export it again")
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        for index, own in enumerate(groups):
            yield _frame(pixels[index], [*_macros(own), *_macros(shared), dataset])
    elif len(pixels) == 1:
        yield _frame(pixels[0], [dataset])
    else:
        raise _CannotRead("is multi-frame without positions of its frames", "export it as single slices")


def _macros(group: Dataset) -> list[Dataset]:
    """The items of a functional group: each sequence in it has one."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _frame(pixels: np.ndarray, sources: Sequence[Dataset]) -> _Frame:
    def first(keyword: str) -> object:
        try:
            return next(
                (s[keyword].value for s in sources if keyword in s and s[keyword].value not in (None, "")), None
            )
        except Exception:  # a damaged value fails anywhere inside the decoder
            raise _CannotRead(f"has images whose {keyword} cannot be decoded", "export it again") from None

    position, orientation, spacing = (
        first(keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    if position is None or orientation is None or spacing is None:
        what = "has images without position, orientation or pixel spacing"
        raise _CannotRead(what, "leave out screenshots and derived images, or export the original series")
    place, axes, steps = (np.array(value, dtype=float) for value in (position, orientation, spacing))
    if not is_grid(place, axes, steps):
        what = "has images whose position, orientation or pixel spacing is none"
        raise _CannotRead(what, "have the series corrected, or export the original one")
    slope, intercept = first("RescaleSlope"), first("RescaleIntercept")
    rescale = (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))  # type: ignore[arg-type]
    if not np.isfinite(rescale).all() or rescale[0] == 0:
        what = f"has rescale slope {rescale[0]:g} and intercept {rescale[1]:g}, expected finite numbers and a slope"
        raise _CannotRead(what, "export it again")
    return _Frame(
        pixels,
        place,
        axes,
        (float(steps[0]), float(steps[1])),
        rescale,
        bool(first("PixelRepresentation")),
        {key: str(value) for key in _SPLITTERS if (value := first(key)) is not None},
    )


def _normal(frame: _Frame) -> np.ndarray:
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return normal / np.linalg.norm(normal)


def _split(frames: list[_Frame]) -> dict[str, list[_Frame]]:
    """Frames by volume, each sorted along the normal, each position once."""
    first = frames[0]
    if any(np.abs(f.orientation - first.orientation).max() > 1e-3 for f in frames):
        remedy = "leave out localizers and reformats, or export each orientation as its own series"
        raise _CannotRead("mixes slices of different orientations", remedy)
    if any(
        f.pixels.shape != first.pixels.shape or not np.allclose(f.spacing, first.spacing, rtol=1e-3) for f in frames
    ):
        what = "mixes slices of different sizes or pixel spacings"
        raise _CannotRead(what, "export each as its own series")
    if len({frame.signed for frame in frames}) > 1:
        raise _CannotRead("mixes slices of signed and unsigned values", "export it again")
    frames = _without_copies(frames)
    places = 1 + sum(not _same_place(one, other) for one, other in pairwise(frames))
    if len(frames) == places:
        return {"": frames}
    keys: list[str] = []
    for key in _SPLITTERS:
        if len({frame.marks.get(key) for frame in frames}) == 1:
            continue
        groups = _grouped(frames, [*keys, key])
        # What differs from slice to slice (a trigger time, a counter) makes groups that hold few places: no volumes.
        if min(map(len, groups.values())) <= places / 2:
            continue
        if not any(_doubled(group) for group in groups.values()):
            return groups
        keys.append(key)
    what = "has different images at the same slice position, and no echo, time or acquisition number tells them apart"
    raise _CannotRead(what, "export each volume as its own series")


def _grouped(frames: list[_Frame], keys: list[str]) -> dict[str, list[_Frame]]:
    groups: dict[str, list[_Frame]] = defaultdict(list)
    for frame in frames:
        groups[", ".join(f"{key} {frame.marks.get(key, 'none')}" for key in keys)].append(frame)
    return dict(groups)


def _without_copies(frames: list[_Frame]) -> list[_Frame]:
    """Frames in order along the normal, without those that were sent twice (same place and pixels, another UID)."""
    normal = _normal(frames[0])
    kept: list[_Frame] = []
    for frame in sorted(frames, key=lambda frame: float(frame.position @ normal)):
        if not any(np.array_equal(other.pixels, frame.pixels) for other in _at_place_of(frame, kept)):
            kept.append(frame)
    return kept


def _at_place_of(frame: _Frame, kept: list[_Frame]) -> Iterator[_Frame]:
    for other in reversed(kept):
        if not _same_place(other, frame):
            return
        yield other


def _same_place(one: _Frame, other: _Frame) -> bool:
    return bool(np.abs(one.position - other.position).max() < _SAME_PLACE_MM)


def _doubled(frames: list[_Frame]) -> bool:
    return any(_same_place(one, other) for one, other in pairwise(frames))


def _stack(frames: list[_Frame]) -> Volume:
    """Slices of one volume, in order, as an array with its affine."""
    if len(frames) < 2:
        raise _CannotRead("has a single slice, expected a volume", "export the whole series")
    positions = np.array([frame.position for frame in frames])
    _check_distances(positions @ _normal(frames[0]))
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    stray = np.abs(positions - positions[0] - np.arange(len(frames))[:, None] * step).max()
    if stray > max(_LINE_TOLERANCE_MM, _SPACING_TOLERANCE * float(np.linalg.norm(step))):
        raise _CannotRead(f"has slices that lie up to {stray:.2f} mm beside the line of the others", "export it again")
    row, column = frames[0].orientation[:3], frames[0].orientation[3:]
    affine = np.eye(4)
    directions = np.stack([row * frames[0].spacing[1], column * frames[0].spacing[0], step])
    affine[:3, :3] = flip_lps_ras(directions).T
    affine[:3, 3] = flip_lps_ras(positions[0])
    return Volume(_values(frames), affine)


def _check_distances(along: np.ndarray) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > _SPACING_TOLERANCE * usual + _SAME_PLACE_MM)
    if odd.size == 0:
        return
    steps = gaps / usual
    whole = np.abs(steps - np.rint(steps)) < 0.1
    if np.all(whole[odd]) and np.all(steps[odd] > 1.5):
        missing = int(np.rint(steps[odd] - 1).sum())
        count = f"{missing} slice{'s' if missing > 1 else ''} of {len(along) + missing}"
        what = f"misses {count} (the first after slice {odd[0] + 1})"
        raise _CannotRead(what, "export the complete series")
    what = f"has slices {gaps.min():.2f} to {gaps.max():.2f} mm apart, expected one distance"
    raise _CannotRead(what, "export the complete series, or resample it to even slices")


def _values(frames: list[_Frame]) -> np.ndarray:
    """``(columns, rows, slices)``: int16 if all values are integers in its range, else float32."""
    stored = np.stack([frame.pixels.T for frame in frames], axis=2)
    rescale = np.array([frame.rescale for frame in frames])
    if np.all(rescale == (1.0, 0.0)):
        limits = np.iinfo(np.int16)
        fits = stored.dtype.kind in "iu" and limits.min <= stored.min() and stored.max() <= limits.max
        values = stored.astype(np.int16 if fits else np.float32)
    else:
        with np.errstate(over="ignore"):
            values = (stored * rescale[:, 0] + rescale[:, 1]).astype(np.float32)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _CannotRead("has values that are too large after its rescale slope", "export it again")
    if low == high:
        raise _CannotRead(f"holds the value {float(low):g} only, expected an image", "export it again")
    return values
