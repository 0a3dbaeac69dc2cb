"""Find the series, structure sets, doses and plans under a folder by their UIDs, whatever folders and files are called.

med-imagetools crawls and links too, but needs six more packages and leaves an index with patient ids beside the data.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)

from treatment_response.dicom.entries import (
    DamagedFile,
    DicomIndex,
    DoseEntry,
    PlanEntry,
    SeriesEntry,
    StructureSetEntry,
)
from treatment_response.dicom.headers import fingerprint, has_contrast, header_date, identity, is_t1
from treatment_response.dicom.plan import prescriptions
from treatment_response.problems import Problem

# Names of tables, texts, pictures and research formats that lie beside DICOM: not opened, not a problem.
_FOREIGN = re.compile(
    r"\.(csv|tsv|txt|md|json|xml|ya?ml|html?|pdf|xlsx?|docx?|png|jpe?g|gif|nii|gz|zip|tar|nrrd|mha|py|log|ini|inf|exe|bat)$"
    r"|^(\.|thumbs\.db$|desktop\.ini$|license$|readme$|dicomdir$)",
    re.IGNORECASE,
)
_TAGS = [
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "PatientID", "PatientName"),
    *("PatientBirthDate", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesDescription"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionDateTime", "ContentDate", "ProtocolName"),
    *("ContrastBolusAgent", "ContrastBolusAgentSequence", "RepetitionTime", "EchoTime", "InversionTime"),
    *("AcquisitionContrast", "Manufacturer", "ManufacturerModelName", "StationName"),
    *("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames"),
    *("StructureSetLabel", "StructureSetDate", "ReferencedFrameOfReferenceSequence", "StructureSetROISequence"),
    *("DoseUnits", "DoseSummationType", "ReferencedRTPlanSequence", "ReferencedStructureSetSequence"),
    *("RTPlanLabel", "RTPlanDate", "DoseReferenceSequence"),
]

_UNDEFINED = 0xFFFFFFFF  # length of an element that ends with a delimiter


@dataclass(frozen=True)
class _Header:
    path: Path
    dataset: Dataset
    person: str = ""


class _Unusable(Exception):
    """Why a file cannot be used, as (what, remedy)."""


def scan_folder(root: Path, progress: Callable[[int, int], None] | None = None) -> DicomIndex:
    """Read the headers of all files under a folder and group them. Nothing is written, no pixel is decoded.

    Args:
        root: any folder.
        progress: called with (files done, files in all).

    Returns:
        The index. Files that cannot be used are its ``problems``; the paths in them are relative to ``root``, with
        parts that hold a patient's name or id replaced.
    """
    index = DicomIndex()
    paths = sorted(Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    headers: list[_Header] = []
    unusable: list[tuple[Path, str, str]] = []
    for done, path in enumerate(paths, start=1):
        if _FOREIGN.search(path.name):
            index.foreign.append(path)
        else:
            try:
                header = _read_header(path)
                if header is not None:
                    headers.append(header)
            except _Unusable as error:
                unusable.append((path, *error.args))
        if progress is not None:
            progress(done, len(paths))
    secrets = _secrets(headers)
    headers, repeated = _once(headers)
    for path, what, remedy in unusable:
        problem = Problem(f"file {_discreet(path.relative_to(root), secrets)}", what, remedy)
        index.damaged.append(DamagedFile(path, problem))
    for path, first in repeated:
        where = f"file {_discreet(path.relative_to(root), secrets)}"
        what = f"holds the same instance as {_discreet(first.relative_to(root), secrets)}, which was used"
        index.notes.append(Problem(where, what, "nothing needs to be done"))
    _group(_with_persons(headers), index)
    return index


def _read_header(path: Path) -> _Header | None:
    try:
        with _WatchedFile(io.FileIO(path)) as file:
            size = os.fstat(file.fileno()).st_size
            dataset = dcmread(file, stop_before_pixels=True, force=not _has_preamble(file), specific_tags=_TAGS)
            sop_class = str(dataset.get("SOPClassUID") or "")
            if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                return None
            complete = _is_complete(dataset, file, size)
    except OSError as error:
        raise _Unusable(
            f"cannot be read ({error.strerror or 'read error'})", "check the disk and the permissions"
        ) from None
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise _Unusable("is not DICOM, or is damaged", "export it again or remove it") from None
    if not sop_class or not dataset.get("SOPInstanceUID") or not dataset.get("SeriesInstanceUID"):
        if dataset.file_meta.get("MediaStorageSOPClassUID"):
            raise _Unusable("ends early: it is truncated", "export it again")
        raise _Unusable("is not DICOM", "remove it if it does not belong here, export it again if it does")
    if not complete:
        raise _Unusable("ends early: it is truncated", "export it again")
    return _Header(path, dataset)


class _WatchedFile(io.BufferedReader):
    """A file that notices when a read meets the end half-way: the parser takes that for a regular end."""

    cut_short = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and 0 < len(data) < size:
            self.cut_short = True
        return data


def _has_preamble(file: BinaryIO) -> bool:
    """Whether the file starts as DICOM part 10 says; old exports lack the preamble and are read all the same."""
    file.seek(128)
    magic = file.read(4)
    file.seek(0)
    return magic == b"DICM"


def _is_complete(dataset: Dataset, file: _WatchedFile, size: int) -> bool:
    """Whether the file holds all that it announces. ``file`` stands where reading the header stopped."""
    if file.cut_short or file.tell() > size:  # tell: an element that was skipped reaches beyond the end
        return False
    raw = (dataset.get_item(tag) for tag in dataset.keys())  # noqa: SIM118 (iterating the data set decodes its elements)
    if any(isinstance(e, RawDataElement) and e.length != _UNDEFINED and len(e.value or b"") < e.length for e in raw):
        return False
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    # A deflated file is inflated as a whole: if it were cut, reading it would have failed.
    if "Rows" not in dataset or syntax == DeflatedExplicitVRLittleEndian:
        return True
    if syntax is not None and syntax.is_compressed:
        return _fragments_end(file)
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("BitsAllocated") or 16) * frames * samples
    return size - file.tell() >= bits // 8


def _fragments_end(file: BinaryIO) -> bool:
    """Whether encapsulated pixel data, whose element starts here, reaches its sequence delimiter."""
    if len(file.read(12)) < 12:
        return False
    while len(header := file.read(8)) == 8:
        if header[:4] == b"\xfe\xff\xdd\xe0":
            return True
        if header[:4] != b"\xfe\xff\x00\xe0":
            return False
        file.seek(int.from_bytes(header[4:], "little"), os.SEEK_CUR)
    return False


def _secrets(headers: list[_Header]) -> set[str]:
    """Names and ids as they may occur in folder and file names."""
    words: set[str] = set()
    for header in headers:
        words.add(str(header.dataset.get("PatientID") or "").strip().lower())
        words.update(part.lower() for part in re.split(r"[\^ ,=]+", str(header.dataset.get("PatientName") or "")))
    return words - {""}


def _discreet(path: Path, secrets: set[str]) -> str:
    """A relative path without the parts that hold a patient's name or id."""
    parts = []
    for part in path.parts:
        low = part.lower()
        secret = any(low == word or Path(low).stem == word or (len(word) > 2 and word in low) for word in secrets)
        parts.append("…" + Path(part).suffix if secret else part)
    return "/".join(parts)


def _once(headers: list[_Header]) -> tuple[list[_Header], list[tuple[Path, Path]]]:
    """Each SOP Instance once, and (path, path of the first) of those that came again."""
    first: dict[str, Path] = {}
    kept, repeated = [], []
    for header in headers:
        uid = str(header.dataset.SOPInstanceUID)
        if uid in first:
            repeated.append((header.path, first[uid]))
        else:
            first[uid] = header.path
            kept.append(header)
    return kept, repeated


def _group(headers: list[_Header], index: DicomIndex) -> None:
    images: dict[tuple[str, str], list[_Header]] = defaultdict(list)
    others: Counter[str] = Counter()
    for header in headers:
        dataset = header.dataset
        kind = dataset.SOPClassUID
        if kind == RTStructureSetStorage:
            index.structure_sets.append(_structure_set(header))
        elif kind == RTDoseStorage:
            index.doses.append(_dose(header))
        elif kind == RTPlanStorage:
            index.plans.append(_plan(header))
        elif "Rows" in dataset and dataset.get("Modality") in ("MR", "CT", "PT"):
            images[str(dataset.get("PatientID") or ""), str(dataset.SeriesInstanceUID)].append(header)
        else:
            others[str(dataset.get("Modality") or "?")] += 1
    index.series.extend(_series(group) for group in images.values())
    index.others = dict(others)


def _patient_id(dataset: Dataset) -> str:
    return str(dataset.get("PatientID") or "").strip()


def _with_persons(headers: list[_Header]) -> list[_Header]:
    """Headers with fingerprints. A name or birth date that one system leaves out is taken from the patient's others."""
    names: dict[str, set[str]] = defaultdict(set)
    births: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        name, birth = identity(header.dataset)
        names[_patient_id(header.dataset)].update({name} - {""})
        births[_patient_id(header.dataset)].update({birth} - {""})
    out = []
    for header in headers:
        patient_id = _patient_id(header.dataset)
        name, birth = identity(header.dataset)
        person = fingerprint(name or _only(names[patient_id]), birth or _only(births[patient_id]))
        out.append(replace(header, person=person))
    return out


def _only(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else ""


def _shared(header: _Header) -> dict:
    dataset = header.dataset
    return {
        "patient_id": _patient_id(dataset),
        "person": header.person,
        "study_uid": str(dataset.get("StudyInstanceUID") or ""),
        "series_uid": str(dataset.SeriesInstanceUID),
        "frame_uid": str(dataset.get("FrameOfReferenceUID") or ""),
        "date": header_date(dataset),
        "description": str(dataset.get("SeriesDescription") or "").strip(),
        "person_known": False,
    }


def _series(group: list[_Header]) -> SeriesEntry:
    # A date or an agent that is missing in the first instance may stand in another one.
    header = next((h for h in group if header_date(h.dataset) is not None), group[0])
    dataset = header.dataset
    contrast = [has_contrast(header.dataset) for header in group]
    maker = (str(dataset.get(keyword) or "").strip() for keyword in ("Manufacturer", "ManufacturerModelName"))
    return SeriesEntry(
        **_shared(header),
        modality=str(dataset.get("Modality") or ""),
        sop_class_uid=str(dataset.SOPClassUID),
        contrast=next((value for value in contrast if value is not None), None),
        t1=is_t1(dataset),
        scanner=" ".join(word for word in maker if word),
        station=str(dataset.get("StationName") or "").strip(),
        files=tuple((header.path, str(header.dataset.SOPInstanceUID)) for header in group),
    )


def _reference(dataset: Dataset, sequence: str) -> str:
    items = dataset.get(sequence) or []
    return str(items[0].get("ReferencedSOPInstanceUID") or "") if items else ""


def _structure_set(header: _Header) -> StructureSetEntry:
    dataset = header.dataset
    shared = _shared(header)
    series: list[str] = []
    images: set[str] = set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        shared["frame_uid"] = str(frame.get("FrameOfReferenceUID") or "") or shared["frame_uid"]
        for study in frame.get("RTReferencedStudySequence") or []:
            for item in study.get("RTReferencedSeriesSequence") or []:
                series.append(str(item.get("SeriesInstanceUID") or ""))
                images.update(str(i.get("ReferencedSOPInstanceUID")) for i in item.get("ContourImageSequence") or [])
    rois = dataset.get("StructureSetROISequence") or []
    return StructureSetEntry(
        **shared,
        path=header.path,
        sop_uid=str(dataset.SOPInstanceUID),
        label=str(dataset.get("StructureSetLabel") or "").strip(),
        referenced_series_uids=tuple(dict.fromkeys(uid for uid in series if uid)),
        referenced_sop_uids=frozenset(images),
        roi_names=tuple(str(roi.get("ROIName") or "").strip() for roi in rois),
    )


def _dose(header: _Header) -> DoseEntry:
    dataset = header.dataset
    return DoseEntry(
        **_shared(header),
        path=header.path,
        sop_uid=str(dataset.SOPInstanceUID),
        units=str(dataset.get("DoseUnits") or "").strip().upper(),
        summation=str(dataset.get("DoseSummationType") or "").strip().upper(),
        plan_uid=_reference(dataset, "ReferencedRTPlanSequence"),
        structure_set_uid=_reference(dataset, "ReferencedStructureSetSequence"),
    )


def _plan(header: _Header) -> PlanEntry:
    dataset = header.dataset
    return PlanEntry(
        **_shared(header),
        path=header.path,
        sop_uid=str(dataset.SOPInstanceUID),
        label=str(dataset.get("RTPlanLabel") or "").strip(),
        structure_set_uid=_reference(dataset, "ReferencedStructureSetSequence"),
        prescriptions=prescriptions(dataset),
    )
