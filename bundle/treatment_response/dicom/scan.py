"""Find the series, structure sets, doses and plans under a folder by their UIDs, whatever folders and files are called.

med-imagetools crawls and links too, but needs six more packages and leaves an index with patient ids beside the data.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date as Date
from pathlib import Path

from treatment_response.dicom.copies import Instances, owner, sort_instances
from treatment_response.dicom.discreet_paths import DiscreetPaths
from treatment_response.dicom.entries import DamagedFile, DicomIndex
from treatment_response.dicom.headers import header_date
from treatment_response.dicom.make_entries import (
    dose_entry,
    plan_entry,
    record_entry,
    segmentation_entry,
    series_entry,
    structure_set_entry,
)
from treatment_response.dicom.object_kinds import IMAGE_KINDS
from treatment_response.dicom.persons import persons
from treatment_response.dicom.read_header import Header, read_header, text
from treatment_response.dicom.regular_files import Listing, list_files
from treatment_response.problems import Problem
from treatment_response.processes import worker_pool

# Names of tables, texts, pictures and research formats that lie beside DICOM: not opened, not a problem.
_FOREIGN = re.compile(
    r"\.(csv|tsv|txt|md|json|xml|ya?ml|html?|pdf|xlsx?|docx?|png|jpe?g|gif|nii|gz|zip|tar|nrrd|mha|py|log|ini|inf|exe|bat)$"
    r"|^(\.|thumbs\.db$|desktop\.ini$|license$|readme$|dicomdir$)",
    re.IGNORECASE,
)
_GROUP = 64  # files that a process reads at a time
_WORTH_WORKERS = 16  # groups that take longer to read than processes take to start
_NOTHING_TO_DO = "nothing needs to be done"
_Series = tuple[str, str]  # patient and Series Instance UID


def scan_folder(root: Path, progress: Callable[[int, int], None] | None = None, workers: int = 1) -> DicomIndex:
    """Read the headers of all files under a folder and group them. Nothing is written, no pixel is decoded.

    Every element that later steps use is decoded here, and the structure of each file is checked to its last byte. Only
    where two files hold one SOP Instance UID are their pixels compared.

    Args:
        root: any folder.
        progress: called with (files done, files in all).
        workers: processes that read headers, where there are many files.

    Returns:
        The index. Files that cannot be used are ``damaged``; a damaged copy of a sound file is a note, a sound copy is
        one of ``copies``. The paths in messages are relative to ``root``, with parts that hold a patient's name or id
        replaced.
    """
    with _quiet():
        return _scan(root, progress, workers)


@contextmanager
def _quiet() -> Iterator[None]:
    """pydicom warns of values that are told here, or do no harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _scan(root: Path, progress: Callable[[int, int], None] | None, workers: int) -> DicomIndex:
    index = DicomIndex()
    listing = list_files(root)
    index.foreign += [path for path in listing.files if _FOREIGN.search(path.name)]
    headers = _read([path for path in listing.files if not _FOREIGN.search(path.name)], progress, workers)
    paths = DiscreetPaths(root, headers)
    _tell_listing(listing, index, paths)
    instances = sort_instances([header for header in headers if not header.fault])
    lost = _tell_damaged([header for header in headers if header.fault], instances, index, paths)
    _tell_copies(instances, index, paths)
    _tell_shared(instances, index)
    _tell_oddities([header for header in headers if not header.fault], index)
    _group(instances, lost, index, paths)
    index.damaged.sort(key=lambda damaged: damaged.path)
    return index


def _read(files: Sequence[Path], progress: Callable[[int, int], None] | None, workers: int) -> list[Header]:
    """The headers of the files, in their order, without those of files that only list others."""
    headers: list[Header] = []
    groups = [files[start : start + _GROUP] for start in range(0, len(files), _GROUP)]
    with ExitStack() as stack:
        several = workers > 1 and len(groups) > _WORTH_WORKERS
        pool = stack.enter_context(worker_pool(workers, [read_header.__module__])) if several else None
        found = pool.map(_read_group, groups) if pool else map(_read_group, groups)
        for done, group in enumerate(found, start=1):
            headers += group
            if progress is not None:
                progress(min(done * _GROUP, len(files)), len(files))
    return headers


def _read_group(files: Sequence[Path]) -> list[Header]:
    with _quiet():
        return [header for header in map(read_header, files) if header is not None]


def _tell_listing(listing: Listing, index: DicomIndex, paths: DiscreetPaths) -> None:
    for path, what in listing.passed_over:
        index.notes.append(Problem(f"file {paths(path)}", what, "put the file itself there if it is needed"))
    for path, what in listing.unreachable:
        problem = Problem(f"file {paths(path)}", what, "check the disk, the permissions and the link")
        index.damaged.append(DamagedFile(path, problem, kind="?"))


def _tell_damaged(
    damaged: Sequence[Header], instances: Instances, index: DicomIndex, paths: DiscreetPaths
) -> dict[_Series, list[str]]:
    """Tell files that cannot be used. Returns what is wrong with images that no other file holds, by series."""
    sound: dict[str, list[Header]] = defaultdict(list)
    for header in (*instances.first, *(one for rivals in instances.rivals for one in rivals)):
        sound[header.sop_uid].append(header)
    lost: dict[_Series, list[str]] = defaultdict(list)
    for header in damaged:
        where = f"file {paths(header.path)}"
        twin = _twin(header, sound.get(header.sop_uid, []))
        if twin is not None:
            what = f"{header.fault}; the same instance is sound in another file, which was used"
            index.notes.append(Problem(where, what, _NOTHING_TO_DO))
            continue
        problem = Problem(where, header.fault, header.remedy)
        date = _date(header)
        index.damaged.append(DamagedFile(header.path, problem, header.patient_id, header.kind, date))
        if header.kind in IMAGE_KINDS and header.series_uid:
            lost[owner(header), header.series_uid].append(header.fault)
    return lost


def _twin(header: Header, sound: Sequence[Header]) -> Header | None:
    """The sound file of the same instance; where the patient of the damaged one is not known, of the only patient."""
    if not header.sop_uid:
        return None
    if header.patient_id:
        return next((other for other in sound if other.patient_id == header.patient_id), None)
    return sound[0] if len({owner(other) for other in sound}) == 1 else None


def _date(header: Header) -> Date | None:
    try:
        return header_date(header.dataset)
    except Exception:  # a damaged value fails anywhere inside the decoder
        return None


def _tell_copies(instances: Instances, index: DicomIndex, paths: DiscreetPaths) -> None:
    for copy, used in sorted(instances.repeated, key=lambda pair: pair[0].path):
        what = f"holds the same instance as {paths(used.path)}, which was used"
        index.copies.append(Problem(f"file {paths(copy.path)}", what, _NOTHING_TO_DO))


def _tell_shared(instances: Instances, index: DicomIndex) -> None:
    """Tell UIDs that the files of several patients share. Each patient keeps its own files."""
    headers = [*instances.first, *(rivals[0] for rivals in instances.rivals)]
    for word, uid in (("SOP Instance", lambda h: h.sop_uid), ("Series Instance", lambda h: h.series_uid)):
        owners: dict[str, set[str]] = defaultdict(set)
        for header in headers:
            owners[uid(header)].add(owner(header))
        shared = [names for names in owners.values() if len(names) > 1]
        if shared:
            what = f"{len(shared)} {word} UID(s) occur in files of several patient ids; each id keeps its own files"
            remedy = "check whether the ids are one person, and have UIDs made anew when data are anonymised"
            index.notes.append(Problem("UIDs", what, remedy))


def _tell_oddities(sound: Sequence[Header], index: DicomIndex) -> None:
    """Tell how many files have which oddity that spoils nothing."""
    for note, count in Counter(note for header in sound for note in header.notes).items():
        index.notes.append(Problem(f"{count} file{'s' if count > 1 else ''}", note, _NOTHING_TO_DO))


def _group(
    instances: Instances, lost: Mapping[_Series, Sequence[str]], index: DicomIndex, paths: DiscreetPaths
) -> None:
    headers = [*instances.first, *(one for rivals in instances.rivals for one in rivals)]
    headers.sort(key=lambda header: header.path)
    of_person = dict(zip(map(id, headers), persons(headers), strict=True))
    rivals = {id(one) for contents in instances.rivals for one in contents}
    images: dict[_Series, list[Header]] = defaultdict(list)
    others: Counter[str] = Counter()
    for header in headers:
        person, is_rival = of_person[id(header)], id(header) in rivals
        if header.kind == "RTSTRUCT":
            index.structure_sets.append(structure_set_entry(header, person, is_rival))
        elif header.kind == "SEG":
            index.segmentations.append(segmentation_entry(header, person, is_rival))
        elif header.kind in ("RTDOSE", "RTPLAN", "RTRECORD") and is_rival:
            what = "has the SOP Instance UID of another file and other content, so it is not known which one is right"
            problem = Problem(f"file {paths(header.path)}", what, "keep the right one only")
            date = header_date(header.dataset)
            index.damaged.append(DamagedFile(header.path, problem, header.patient_id, header.kind, date))
        elif header.kind == "RTDOSE":
            index.doses.append(dose_entry(header, person))
        elif header.kind == "RTPLAN":
            index.plans.append(plan_entry(header, person))
        elif header.kind == "RTRECORD":
            index.records.append(record_entry(header, person))
        elif "Rows" in header.dataset and text(header.dataset, "Modality") in IMAGE_KINDS:
            images[owner(header), header.series_uid].append(header)
        else:
            others[text(header.dataset, "Modality") or "?"] += 1
    for key, group in images.items():
        fault = _series_fault(group, rivals, lost.get(key, ()))
        index.series.append(series_entry(_once(group), of_person[id(group[0])], fault))
    index.others = dict(others)


def _series_fault(group: Sequence[Header], rivals: set[int], lost: Sequence[str]) -> str:
    if any(id(header) in rivals for header in group):
        return "holds images whose SOP Instance UID another file has with other content"
    if lost:
        return f"holds {len(lost)} image(s) that cannot be used: the first {lost[0]}"
    return ""


def _once(group: Sequence[Header]) -> list[Header]:
    """One header of each SOP Instance UID, in the order of the group."""
    return list({header.sop_uid: header for header in reversed(group)}.values())[::-1]
