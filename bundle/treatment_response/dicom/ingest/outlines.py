"""The outlines of one session: read from structure sets and segmentations, measured, and merged lesion by lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from treatment_response.cohort.labels import CONTOURING_SD_MM
from treatment_response.cohort.lesion import LesionScan
from treatment_response.dicom.entries import OutlineKind, StructureSetEntry
from treatment_response.dicom.ingest.names import normalise, select_targets
from treatment_response.dicom.measured_outline import MeasuredOutline, measure_contours, measure_mask
from treatment_response.dicom.outline_versions import Place, same_lesion, same_standing
from treatment_response.dicom.segmentations import read_segmentation
from treatment_response.dicom.structures import Roi, read_structure_set
from treatment_response.geometry import Volume, equivalent_diameter, outline_mask
from treatment_response.problems import DataProblem, Problem

_NOISE_SDS = 1.96 * np.sqrt(2.0)  # of the difference of two contourings, each with its own error


@dataclass(frozen=True)
class Outline:
    """One ROI of a structure set, or one segment, on a session's MR.

    Attributes:
        key: normalised name. name: as it stands in the file, for the key file alone.
        number: of the ROI or segment. source: SOP Instance UID of what holds it.
        target: whether it is a lesion by its name.
        contours: RAS mm ``(N, 3)`` each; of a segment the edges of its voxels.
        scan, place: what was measured; None unless it is a lesion that can be used.
        fault: why it cannot be used; empty if it can.
        empty: it is named and nothing is drawn.
    """

    key: str
    name: str
    number: int
    source: str
    target: bool
    contours: Sequence[np.ndarray] = ()
    scan: LesionScan | None = None
    place: Place | None = None
    fault: str = ""
    empty: bool = False


@dataclass
class SessionOutlines:
    """All outlines of one session.

    Attributes:
        lesions: by key, one outline per lesion: measured, faulty or empty.
        others: ROIs that are no lesion by their names.
        notes: what a reader has to know of them, each with the ROI's number, never its name.
        problems: faults of the files.
        unread: why some outlines of the session could not be read.
    """

    lesions: dict[str, Outline] = field(default_factory=dict)
    others: list[Outline] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def measured(self) -> dict[str, Outline]:
        """The lesions that can be used."""
        return {key: outline for key, outline in self.lesions.items() if outline.scan is not None}


def read_outlines(
    where: str, entries: Sequence[StructureSetEntry], image: Volume, frame_uid: str, roi: str | None
) -> SessionOutlines:
    """Read and merge the outlines of a session.

    Args:
        where: subject and session, for messages.
        entries: structure sets and segmentations, the one that counts most first.
        image: the session's MR. frame_uid: its frame of reference.
        roi: see :func:`treatment_response.dicom.ingest.names.select_targets`.
    """
    session = SessionOutlines()
    versions: list[tuple[StructureSetEntry, list[Outline]]] = []
    for number, entry in enumerate(entries, start=1):
        kind = "structure set" if entry.kind is OutlineKind.CONTOURS else "segmentation"
        place = f"{where} {kind}" + (f" {number} of {len(entries)}" if len(entries) > 1 else "")
        try:
            if entry.kind is OutlineKind.CONTOURS:
                outlines = _structure_set(entry, image, frame_uid, roi, place, session)
            else:
                outlines = _segmentation(entry, image, roi, place, session)
        except DataProblem as error:
            session.problems += error.problems
            session.unread += [problem.what for problem in error.problems]
            continue
        session.others += [outline for outline in outlines if not outline.target]
        versions.append((entry, _each_name_once(outlines, place, session)))
    _merge(versions, where, session)
    return session


def _structure_set(
    entry: StructureSetEntry, image: Volume, frame_uid: str, roi: str | None, place: str, session: SessionOutlines
) -> list[Outline]:
    structure_set = read_structure_set(entry, place)
    session.problems += structure_set.problems
    session.unread += [problem.what for problem in structure_set.problems]
    rois = structure_set.rois
    targets = set(select_targets((one.name for one in rois), roi)[0])
    return [_roi(one, entry, one.name in targets, image, frame_uid, place, session) for one in rois]


def _roi(
    roi: Roi,
    entry: StructureSetEntry,
    target: bool,
    image: Volume,
    frame_uid: str,
    place: str,
    session: SessionOutlines,
) -> Outline:
    outline = Outline(normalise(roi.name), roi.name, roi.number, entry.sop_uid, target, roi.contours)
    where = f"{place} ROI number {roi.number}"
    if roi.frame_uid and frame_uid and roi.frame_uid != frame_uid:
        return replace(outline, contours=(), fault="it is on another frame of reference")
    if roi.is_empty or (roi.only_points and not target):
        return replace(outline, empty=True)
    if target:
        session.problems += [Problem(where, problem.what, problem.remedy) for problem in roi.problems]
        session.notes += [f"{where}: {note}" for note in roi.notes]
    if roi.problems:
        return replace(outline, fault=f"its ROI {roi.problems[0].what}")
    if not target:
        return outline
    try:
        return _measured(outline, measure_contours(roi.contours, image), where, session)
    except ValueError as error:
        fault = f"cannot be measured: {error}"
        session.problems.append(Problem(where, fault, "draw it on parallel slices"))
        return replace(outline, fault=fault)


def _segmentation(
    entry: StructureSetEntry, image: Volume, roi: str | None, place: str, session: SessionOutlines
) -> list[Outline]:
    segments = read_segmentation(entry.path, image, place)
    targets = set(select_targets((one.label for one in segments), roi)[0])
    outlines = []
    for segment in segments:
        contours = [points for _, points in outline_mask(segment.mask, image.affine)]
        target = segment.label in targets
        outline = Outline(normalise(segment.label), segment.label, segment.number, entry.sop_uid, target, contours)
        if not contours:
            outline = replace(outline, empty=True)
        elif target:
            where = f"{place} segment {segment.number}"
            outline = _measured(outline, measure_mask(segment.mask, image), where, session)
        outlines.append(outline)
    if any(outline.scan for outline in outlines):
        session.notes.append(f"{place}: its outlines are voxels, so volumes are counted voxels, no planimetry")
    return outlines


def _measured(outline: Outline, measured: MeasuredOutline, where: str, session: SessionOutlines) -> Outline:
    session.notes += [f"{where}: {note}" for note in measured.notes]
    scan = LesionScan(measured.mask, measured.volume_mm3, measured.area_mm2)
    centre, radius = _centre(measured.mask, outline.contours), equivalent_diameter(measured.volume_mm3) / 2
    return replace(outline, scan=scan, place=Place(centre, radius, measured.mask))


def _centre(mask: Volume, contours: Sequence[np.ndarray]) -> np.ndarray:
    """Centre in RAS mm: of the mask, or of the contours' points where the mask is empty."""
    filled = np.argwhere(mask.array)
    return mask.to_world(filled).mean(axis=0) if len(filled) else np.concatenate(list(contours)).mean(axis=0)


def _each_name_once(outlines: Sequence[Outline], place: str, session: SessionOutlines) -> list[Outline]:
    """The lesions of one structure set; a name that two of them have names neither."""
    lesions: dict[str, Outline] = {}
    for outline in outlines:
        if not outline.target:
            continue
        if outline.key in lesions:
            where = f"{place} ROI number {outline.number}"
            session.problems.append(Problem(where, "has the name of another ROI", "give each lesion one name"))
            outline = replace(outline, scan=None, empty=False, fault="two ROIs of one session have this name")
        lesions[outline.key] = outline
    return list(lesions.values())


def _merge(versions: Sequence[tuple[StructureSetEntry, list[Outline]]], where: str, session: SessionOutlines) -> None:
    """One outline per lesion: that of the first structure set that holds it, by name or by place."""
    if len(versions) > 1:
        session.notes.append(
            f"{where}: {len(versions)} structure sets or segmentations are merged; of each lesion the approved outline "
            "counts, else the newest"
        )
    entries = {entry.sop_uid: entry for entry, _ in versions}
    unions = _unions(versions)
    for entry, outlines in versions:
        for outline in outlines:
            if (entry.sop_uid, outline.key) in unions:
                session.notes.append(
                    f"{where} ROI number {outline.number}: covers several lesions of another structure set; not used"
                )
                continue
            twin = _twin(outline, session.lesions)
            if twin is None:
                session.lesions[outline.key] = outline
            else:
                kept = session.lesions[twin]
                session.lesions[twin] = _of_two(kept, outline, entries[kept.source], entry, where, session)


def _twin(outline: Outline, lesions: Mapping[str, Outline]) -> str | None:
    """The key of the lesion that an outline of another structure set shows too."""
    if outline.key in lesions:
        return outline.key
    if outline.scan is None:
        return None
    return next(
        (key for key, other in lesions.items() if other.source != outline.source and _same(outline, other)), None
    )


def _unions(versions: Sequence[tuple[StructureSetEntry, list[Outline]]]) -> set[tuple[str, str]]:
    """Outlines, by source and key, that cover two or more lesions of one other structure set."""
    unions = set()
    for entry, outlines in versions:
        for outline in outlines:
            for other_entry, others in versions:
                covered = [one for one in others if other_entry is not entry and _same(outline, one)]
                if len(covered) > 1:
                    unions.add((entry.sop_uid, outline.key))
    return unions


def _same(one: Outline, other: Outline) -> bool:
    """Whether two outlines show one lesion."""
    if one.scan is None or other.scan is None or one.place is None or other.place is None:
        return False
    return same_lesion(one.place, other.place)


def _of_two(
    kept: Outline,
    other: Outline,
    kept_entry: StructureSetEntry,
    other_entry: StructureSetEntry,
    where: str,
    session: SessionOutlines,
) -> Outline:
    """The outline that counts of two versions of one lesion, and what has to be told of it."""
    place = f"{where} ROI number {kept.number}"
    tie = same_standing(kept_entry, other_entry)
    if kept.empty != other.empty:
        session.notes.append(f"{place}: is empty in one structure set and drawn in another one; the drawn one counts")
        return other if kept.empty else kept
    if kept.fault or other.fault or kept.empty:
        if bool(kept.fault) != bool(other.fault):
            session.notes.append(f"{place}: is faulty in one of several structure sets")
        return other if tie and other.fault else kept
    assert kept.scan is not None
    assert other.scan is not None
    if kept.key == other.key and not _same(kept, other):
        fault = "structure sets of one day use its name for different places"
        session.problems.append(Problem(place, fault, "give each lesion a name of its own"))
        return replace(kept, scan=None, fault=fault)
    noise = _NOISE_SDS * CONTOURING_SD_MM * max(kept.scan.area_mm2, other.scan.area_mm2)
    if abs(kept.scan.volume_mm3 - other.scan.volume_mm3) <= noise:
        return kept
    if kept_entry.rival and kept_entry.sop_uid == other_entry.sop_uid and tie:
        fault = "two files with one instance UID draw it differently"
        session.problems.append(Problem(place, fault, "keep the right one"))
        return replace(kept, scan=None, fault=fault)
    volumes = f"{kept.scan.volume_mm3:.0f} mm³ here, {other.scan.volume_mm3:.0f} mm³ in another structure set"
    which = "neither approval nor date tells which counts" if tie else "the approved or newer one counts"
    session.notes.append(f"{place}: its outlines differ beyond contouring noise ({volumes}); {which}")
    return kept
