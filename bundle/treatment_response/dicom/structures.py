"""Read the contours of a structure set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from treatment_response.dicom.entries import StructureSetEntry
from treatment_response.geometry import flip_lps_ras
from treatment_response.problems import DataProblem, Problem

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_PLANE_TOLERANCE_MM = 0.5


@dataclass(frozen=True)
class Roi:
    """One region of interest.

    Attributes:
        contours: closed planar contours, each ``(N, 3)`` RAS mm, first point not repeated; their XOR is the region.
        interpreted_type: RT ROI Interpreted Type (``GTV``, ``ORGAN``, …), empty if not given.
        frame_uid: frame of reference that its points are in.
        problems: what is wrong with it; contours that cannot be used are not in ``contours``.
    """

    name: str
    number: int
    contours: list[np.ndarray]
    interpreted_type: str = ""
    frame_uid: str = ""
    problems: tuple[Problem, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return any(p.what == "is empty" for p in self.problems)


@dataclass(frozen=True)
class StructureSet:
    """The regions of one structure set, in the order of the file, and the series that they were drawn on."""

    rois: list[Roi]
    referenced_series_uids: tuple[str, ...]
    frame_uid: str
    label: str = ""


def read_structure_set(entry: StructureSetEntry | Path | Dataset, where: str | None = None) -> StructureSet:
    """Read all regions of a structure set.

    Args:
        entry: from ``scan_folder``, a file, or a data set that was read already.
        where: how to call the structure set in problems; None is its label.

    Returns:
        The regions. An empty or unclosed one is there with its ``problems``.

    Raises:
        DataProblem: the file is no structure set, or is damaged.
    """
    name = where or (entry.name if isinstance(entry, StructureSetEntry) else "structure set")
    try:
        dataset = entry if isinstance(entry, Dataset) else _read(entry)
        if dataset.get("SOPClassUID") != RTStructureSetStorage:
            raise ValueError
        drawn = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or []}
        observed = {int(item.ReferencedROINumber): item for item in dataset.get("RTROIObservationsSequence") or []}
        rois = []
        for item in dataset.StructureSetROISequence:
            number = int(item.ROINumber)
            contours = (drawn.get(number) or Dataset()).get("ContourSequence") or []
            kind = str((observed.get(number) or Dataset()).get("RTROIInterpretedType") or "").strip()
            rois.append(_roi(item, number, list(contours), kind, name))
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(name, "is not a readable RT Structure Set", "export it again")) from None
    series, frame = _references(dataset)
    return StructureSet(rois, series, frame, str(dataset.get("StructureSetLabel") or "").strip())


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


def _roi(item: Dataset, number: int, contours: list[Dataset], interpreted_type: str, where: str) -> Roi:
    name = str(item.get("ROIName") or "").strip() or f"ROI {number}"
    place = f"{where}, ROI '{name}'"
    usable, unclosed, bent, cut = [], 0, 0, 0
    for contour in contours:
        coordinates = np.array(contour.get("ContourData") or [], dtype=float)
        if coordinates.size % 3:
            cut += 1
            continue
        points = _without_repeats(flip_lps_ras(coordinates.reshape(-1, 3)))
        closed = str(contour.get("ContourGeometricType") or "CLOSED_PLANAR").strip().upper() in _CLOSED
        if not closed or len(points) < 3:
            unclosed += 1
        elif _out_of_plane(points) > _PLANE_TOLERANCE_MM:
            bent += 1
        else:
            usable.append(points)
    problems = []
    if not contours:
        problems.append(Problem(place, "is empty", "draw it, or delete it from the structure set"))
    if unclosed:
        what = f"has {unclosed} unclosed contour{'s' if unclosed > 1 else ''} (points or lines) of {len(contours)}"
        problems.append(Problem(place, what, "close them in the planning system"))
    if bent:
        what = f"has {bent} contour{'s' if bent > 1 else ''} of {len(contours)} that do not lie in a plane"
        problems.append(Problem(place, what, "export planar contours"))
    if cut:
        what = f"has {cut} contour{'s' if cut > 1 else ''} of {len(contours)}"
        what += " whose coordinates are not a multiple of three"
        problems.append(Problem(place, what, "export it again"))
    frame_uid = str(item.get("ReferencedFrameOfReferenceUID") or "")
    return Roi(name, number, usable, interpreted_type, frame_uid, tuple(problems))


def _without_repeats(points: np.ndarray) -> np.ndarray:
    """Points that differ from the next one; the first counts as following the last."""
    if len(points) < 2:
        return points
    return points[np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1) > 1e-6]


def _out_of_plane(points: np.ndarray) -> float:
    """Largest distance in mm from the best-fitting plane."""
    centred = points - points.mean(axis=0)
    return float(np.abs(centred @ np.linalg.svd(centred, full_matrices=False)[2][2]).max())
