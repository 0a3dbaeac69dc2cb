"""Read the contours of a structure set."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from treatment_response.dicom.entries import StructureSetEntry
from treatment_response.geometry import enclosed_area, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_PLANE_TOLERANCE_MM = 0.5
_FARTHEST_MM = 10_000.0  # no scanner's coordinates reach so far
_SPECK_MM2 = 0.05  # half a small pixel: a click, not an outline
_WOUND_TWICE = 1.2  # small loops where a contour crosses itself are part of drawing
_SPECK = "speck"
# What can be wrong with a contour, and the remedy.
_FAULTS = {
    "text": ("has {contours} of {all} with coordinates that are no numbers", "export it again"),
    "cut": ("has {contours} of {all} whose coordinates are not a multiple of three", "export it again"),
    "count": ("has {contours} of {all} whose number of points is not the one that it states", "export it again"),
    "far": ("has {contours} of {all} with coordinates that are infinite or beyond 10 m", "export it again"),
    "unclosed": ("has {unclosed contours} (lines) of {all}", "close them in the planning system"),
    "bent": ("has {contours} of {all} that do not lie in a plane", "export planar contours"),
    "doubled": ("has {contours} of {all} that run along their outline twice", "export it again, or draw it anew"),
}


@dataclass(frozen=True)
class Roi:
    """One region of interest.

    Attributes:
        contours: closed planar contours, each ``(N, 3)`` RAS mm, first point not repeated; their XOR is the region.
        interpreted_type: RT ROI Interpreted Type (``GTV``, ``ORGAN``, …), empty if not given.
        frame_uid: frame of reference that its points are in.
        problems: what spoils it; contours that cannot be used are not in ``contours``.
        notes: what was left out or put together without harm, without subject: ``has 1 speck …``.
        contour_sop_uids: images that its contours refer to.
        is_empty: it is named and surely nothing was drawn; that is one of its problems too.
        only_points: all that it holds are single points, such as an isocentre; that is one of its problems too.
        generation: ROI Generation Algorithm (``MANUAL``, ``AUTOMATIC``, …), empty if not given.
    """

    name: str
    number: int
    contours: list[np.ndarray]
    interpreted_type: str = ""
    frame_uid: str = ""
    problems: tuple[Problem, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = ()
    contour_sop_uids: frozenset[str] = frozenset()
    is_empty: bool = False
    only_points: bool = False
    generation: str = ""


@dataclass(frozen=True)
class StructureSet:
    """The regions of one structure set, in the order of the file, and the series that they were drawn on.

    Attributes:
        problems: what is wrong with the set beside its regions' own problems: contours that belong to no region.
    """

    rois: list[Roi]
    referenced_series_uids: tuple[str, ...]
    frame_uid: str
    label: str = ""
    problems: tuple[Problem, ...] = ()


def read_structure_set(entry: StructureSetEntry | Path | Dataset, where: str | None = None) -> StructureSet:
    """Read all regions of a structure set.

    Contours belong to a region by its ROI Number alone. Several items of one number are put together, as some systems
    write one per slice. Regions that share a number have no contours, since it is not known whose they are.

    Args:
        entry: from ``scan_folder``, a file, or a data set that was read already.
        where: how to call the structure set in problems; None is its label.

    Returns:
        The regions. An empty or unclosed one is there with its ``problems``.

    Raises:
        DataProblem: the file is no structure set, or is damaged.
    """
    place = where or (entry.name if isinstance(entry, StructureSetEntry) else "structure set")
    try:
        dataset = entry if isinstance(entry, Dataset) else _read(entry)
        if dataset.get("SOPClassUID") != RTStructureSetStorage:
            raise ValueError
        rois, problems = _rois(dataset, place)
        series, frame = _references(dataset)
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(place, "is not a readable RT Structure Set", "export it again")) from None
    return StructureSet(rois, series, frame, str(dataset.get("StructureSetLabel") or "").strip(), problems)


def _read(entry: StructureSetEntry | Path) -> Dataset:
    return dcmread(entry.path if isinstance(entry, StructureSetEntry) else entry, force=True)


def _references(dataset: Dataset) -> tuple[tuple[str, ...], str]:
    series: dict[str, None] = {}
    frame_uid = str(dataset.get("FrameOfReferenceUID") or "")
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        frame_uid = str(frame.get("FrameOfReferenceUID") or "") or frame_uid
        for study in frame.get("RTReferencedStudySequence") or []:
            for item in study.get("RTReferencedSeriesSequence") or []:
                series[str(item.SeriesInstanceUID)] = None
    return tuple(series), frame_uid


def _rois(dataset: Dataset, where: str) -> tuple[list[Roi], tuple[Problem, ...]]:
    """All regions, and what is wrong with contours that belong to none."""
    items: dict[int, list[Dataset]] = defaultdict(list)
    for item in dataset.get("ROIContourSequence") or []:
        items[int(item.ReferencedROINumber)].append(item)
    observed = {int(item.ReferencedROINumber): item for item in dataset.get("RTROIObservationsSequence") or []}
    named = [(int(item.ROINumber), item) for item in dataset.StructureSetROISequence]
    times = Counter(number for number, _ in named)
    strays = {number: len(_contours(of_roi)) for number, of_roi in items.items() if number not in times}
    problems = tuple(
        Problem(
            where,
            f"holds {_count(strays[number], 'contour')} of ROI number {number}, and no ROI has this number",
            "export it again",
        )
        for number in sorted(strays)
    )
    rois = []
    for number, item in named:
        kind = str((observed.get(number) or Dataset()).get("RTROIInterpretedType") or "").strip()
        if times[number] > 1:
            what = f"shares its ROI number {number} with another ROI, so it is not known whose contours are whose"
            problem = Problem(f"{where} ROI number {number}", what, "export it with a number for each ROI")
            rois.append(Roi(_name(item, number), number, [], kind, _frame(item), (problem,)))
        else:
            rois.append(_roi(item, number, items[number], kind, where, any(strays.values())))
    return rois, problems


def _contours(items: list[Dataset]) -> list[Dataset]:
    return [contour for item in items for contour in item.get("ContourSequence") or []]


def _name(item: Dataset, number: int) -> str:
    return str(item.get("ROIName") or "").strip() or f"ROI {number}"


def _frame(item: Dataset) -> str:
    return str(item.get("ReferencedFrameOfReferenceUID") or "")


def _roi(item: Dataset, number: int, items: list[Dataset], interpreted_type: str, where: str, strays: bool) -> Roi:
    """One region.

    Args:
        items: of the ROI Contour Sequence that have its number.
        strays: the file holds contours of no region, which may be this one's.
    """
    place = f"{where} ROI number {number}"
    contours = _contours(items)
    read = [_points(contour) for contour in contours]
    usable = [points for points, fault in read if not fault]
    faults = Counter(fault for _, fault in read if fault)
    specks = faults.pop(_SPECK, 0)
    problems = [
        Problem(place, what.format(**_counts(faults[fault], len(contours))), remedy)
        for fault, (what, remedy) in _FAULTS.items()
        if faults[fault]
    ]
    notes = []
    if not contours and strays:
        what = "has no contours, while the file holds contours that belong to no ROI"
        problems.append(Problem(place, what, "export it again"))
    elif not contours:
        problems.append(Problem(place, "is empty", "draw it, or delete it from the structure set"))
    elif specks == len(contours):
        what = f"holds nothing but {_count(specks, 'speck')} (single points, or contours of no area)"
        problems.append(Problem(place, what, "draw it, or delete it from the structure set"))
    elif specks:
        notes.append(f"has {_count(specks, 'speck')} (single points, or contours of no area), which were dropped")
    with_contours = sum(bool(one.get("ContourSequence")) for one in items)
    if with_contours > 1:
        notes.append(f"has its contours in {with_contours} items, which were put together")
    images = frozenset(
        str(image.ReferencedSOPInstanceUID)
        for contour in contours
        for image in contour.get("ContourImageSequence") or []
        if image.get("ReferencedSOPInstanceUID")
    )
    empty = not contours and not strays
    return Roi(
        *(_name(item, number), number, usable, interpreted_type, _frame(item)),
        tuple(problems),
        tuple(notes),
        images,
        empty,
        0 < specks == len(contours),
        str(item.get("ROIGenerationAlgorithm") or "").strip().upper(),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _counts(faulty: int, contours: int) -> dict[str, str]:
    """What stands in the braces of ``_FAULTS``."""
    return {
        "contours": _count(faulty, "contour"),
        "unclosed contours": _count(faulty, "unclosed contour"),
        "all": str(contours),
    }


def _points(contour: Dataset) -> tuple[np.ndarray, str]:
    """Points ``(N, 3)`` in RAS mm, and what is wrong with the contour: a key of ``_FAULTS`` or ``_SPECK``."""
    nothing = np.empty((0, 3))
    try:
        coordinates = _coordinates(contour)
        stated = contour.get("NumberOfContourPoints")
        stated = None if stated is None else int(stated)
    except Exception:  # pydicom and its converters raise many kinds for text that is no number
        return nothing, "text"
    if coordinates.size % 3:
        return nothing, "cut"
    if stated is not None and stated != coordinates.size // 3:
        return nothing, "count"
    if not np.all(np.abs(coordinates) < _FARTHEST_MM):  # NaN is not smaller either
        return nothing, "far"
    points = _without_repeats(flip_lps_ras(coordinates.reshape(-1, 3)))
    if len(points) < 3:
        return nothing, _SPECK
    if str(contour.get("ContourGeometricType") or "CLOSED_PLANAR").strip().upper() not in _CLOSED:
        return nothing, "unclosed"
    if _out_of_plane(points) > _PLANE_TOLERANCE_MM:
        return nothing, "bent"
    area = enclosed_area(points)
    if _wound_area(points) > _WOUND_TWICE * area + _SPECK_MM2:
        return nothing, "doubled"
    return (points, "") if area >= _SPECK_MM2 else (nothing, _SPECK)


def _coordinates(contour: Dataset) -> np.ndarray:
    """The numbers of Contour Data, flat. Read from the file's bytes at once: pydicom checks each number for itself."""
    element = contour.get_item("ContourData") if "ContourData" in contour else None
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        words = element.value.rstrip(b" \0")
        return np.array(words.split(b"\\") if words else [], dtype=float)
    return np.array(contour.get("ContourData") or [], dtype=float).ravel()


def _without_repeats(points: np.ndarray) -> np.ndarray:
    """Points that differ from the next one; the first counts as following the last."""
    if len(points) < 2:
        return points
    return points[np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1) > 1e-6]


def _wound_area(points: np.ndarray) -> float:
    """Area in mm² where each part counts as often as the outline runs around it (Newell's formula)."""
    centred = points - points.mean(axis=0)
    return float(np.linalg.norm(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)) / 2)


def _out_of_plane(points: np.ndarray) -> float:
    """Largest distance in mm from the best-fitting plane."""
    centred = points - points.mean(axis=0)
    return float(np.abs(centred @ np.linalg.svd(centred, full_matrices=False)[2][2]).max())
