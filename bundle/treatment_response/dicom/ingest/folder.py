"""A folder of DICOM as a cohort of patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from treatment_response.cohort.pipeline import Cohort, subject_ids, total_size
from treatment_response.dicom.entries import DamagedFile, DicomIndex, Entry, OutlineKind, SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.clinical import ClinicalFacts, read_clinical, unmatched_ids
from treatment_response.dicom.ingest.patient import DicomPatient
from treatment_response.dicom.ingest.sessions import Unusable
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.studies_over_time import by_patient, is_patient_id
from treatment_response.problems import DataProblem, Problem

PLANIMETRY = "planimetry of the contours"
UNKNOWN_KIND = "?"
OUTLINE_KINDS = tuple(str(kind) for kind in OutlineKind)


def ingest_folder(
    root: Path,
    settings: IngestSettings,
    follow_up_days: tuple[int, int] = (60, 135),
    clinical: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> Cohort:
    """Find the patients of a folder. Only headers are read; the folder is never written to.

    Args:
        root: any folder, with any names of folders and files.
        clinical: table with prescriptions, see :func:`treatment_response.dicom.ingest.clinical.read_clinical`.
        progress: called with files done and files in all.
        workers: processes that read headers.

    Raises:
        DataProblem: the folder is missing, or holds no MR series.
    """
    if not root.is_dir():
        raise DataProblem(Problem("DICOM_DIR", "is no folder", "name the folder that holds the DICOM files"))
    facts, told = read_clinical(clinical) if clinical else ({}, [])
    index = scan_folder(root, progress, workers)
    problems = [str(problem) for problem in told]
    key: dict[str, str] = {}
    problems += _told_of_files([*index.problems, *index.notes], key)
    if not any(entry.modality == "MR" for entry in index.series):
        what = "holds no MR series that can be read"
        raise DataProblem(Problem("DICOM_DIR", what, "name a folder with MR and RTSTRUCT files"), *index.problems[:20])
    entries: list[Entry] = [*index.series, *index.structure_sets, *index.segmentations]
    nameless = sum(not is_patient_id(entry.patient_id) for entry in entries)
    if nameless:
        what = f"{nameless} series and structure sets have no patient id, or one like 'anonymous': left out"
        problems.append(str(Problem("DICOM_DIR", what, "give each patient an id of its own")))
    stated = {*(entry.patient_id for entry in entries), *(damaged.patient_id for damaged in index.damaged)}
    originals = {original for original in stated if is_patient_id(original)}
    ids = subject_ids(sorted(originals))
    problems += map(str, unmatched_ids(facts, originals))
    sources = _patients(index, ids, settings, follow_up_days, facts)
    key.update({subject: original for original, subject in ids.items()})
    more: dict[str, Any] = {**asdict(settings), "roi": settings.roi or "names that clinics give to lesions"}
    if index.copies:
        more["repeated_files"] = (
            f"{len(index.copies)} files hold an instance that another file holds; each was used once"
        )
    same, placeholder = _same_person(entries, ids)
    if placeholder:
        what = "all patients have one name and birth date, taken for a placeholder: it is not known who is who"
        problems.append(str(Problem("DICOM_DIR", what, "see that no patient has two ids")))
    size = total_size(path for one in index.series if one.modality == "MR" for path, _ in one.files)
    return Cohort(sources, "DICOM", PLANIMETRY, problems, more, key, same, size)


def _told_of_files(problems: Sequence[Problem], key: dict[str, str]) -> list[str]:
    """Problems of files, one line for all files with the same one.

    Paths can carry names, so the report numbers the files, and ``key`` gets which is which for the key file.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    told = []
    for problem in problems:
        if problem.where.startswith("file "):
            groups.setdefault((problem.what, problem.remedy), []).append(problem.where.removeprefix("file "))
        else:
            told.append(str(problem))
    for (what, remedy), paths in groups.items():
        numbers = [f"F{number:03d}" for number in range(len(key) + 1, len(key) + len(paths) + 1)]
        key.update(zip(numbers, paths, strict=True))
        where = f"file {numbers[0]}" if len(numbers) == 1 else f"files {numbers[0]} to {numbers[-1]}"
        told.append(str(Problem(where, what, f"{remedy} (--key FILE lists the path)")))
    return told


def _patients(
    index: DicomIndex,
    ids: dict[str, str],
    settings: IngestSettings,
    follow_up_days: tuple[int, int],
    facts: dict[str, ClinicalFacts],
) -> list[DicomPatient]:
    series = by_patient(index.series)
    outlines = by_patient([*index.structure_sets, *index.segmentations])
    doses = by_patient(index.doses)
    plans = by_patient(index.plans)
    owners = {original: _folders(entries) for original, entries in series.items()}
    return [
        DicomPatient(
            subject,
            tuple(series[original]),
            tuple(outlines[original]),
            tuple(doses[original]),
            tuple(plans[original]),
            settings,
            follow_up_days,
            facts.get(original, ClinicalFacts()),
            (
                *(_unusable(one, subject) for one in index.damaged if one.patient_id == original),
                *_astray(original, subject, series[original], [*index.structure_sets, *index.segmentations]),
            ),
            sum(original in _owners(one, owners) for one in index.damaged),
            sum({original} == _owners(one, owners) for one in index.damaged),
        )
        for original, subject in sorted(ids.items(), key=lambda item: item[1])
    ]


def _unusable(damaged: DamagedFile, subject: str) -> Unusable:
    """A damaged file of a known patient, for the patient's own problems."""
    kind = "file" if damaged.kind in ("", UNKNOWN_KIND) else f"{damaged.kind} file"
    problem = Problem(f"{subject} {kind}", damaged.problem.what, damaged.problem.remedy)
    return Unusable(problem, damaged.date, damaged.kind in (*OUTLINE_KINDS, UNKNOWN_KIND))


def _folders(entries: Sequence[SeriesEntry]) -> set[Path]:
    return {folder for entry in entries for path, _ in entry.files for folder in path.parents}


def _owners(damaged: DamagedFile, owners: Mapping[str, set[Path]]) -> set[str]:
    """Patients whose outlines a damaged file of unknown content may have been, by the folder that it lies in.

    The nearest folder above it that holds series decides.
    """
    if damaged.kind != UNKNOWN_KIND or damaged.patient_id:
        return set()
    nearest = next((folder for folder in damaged.path.parents if any(folder in own for own in owners.values())), None)
    return {original for original, own in owners.items() if nearest in own}


def _astray(
    original: str, subject: str, series: Sequence[SeriesEntry], outlines: Sequence[StructureSetEntry]
) -> list[Unusable]:
    """Outlines that name a series of this patient and have another patient id, or none."""
    dates = {entry.series_uid: entry.date for entry in series}
    found = []
    for entry in outlines:
        uid = next((uid for uid in entry.referenced_series_uids if uid in dates), None)
        if uid is not None and entry.patient_id != original:
            what = "refers to an MR of this patient and has another patient id, or none"
            problem = Problem(f"{subject} outlines", what, "correct the id in the file")
            found.append(Unusable(problem, dates[uid], True))
    return found


def _same_person(entries: Sequence[Entry], ids: Mapping[str, str]) -> tuple[list[tuple[str, ...]], bool]:
    """Groups of subjects with one name and birth date; and whether all subjects share one, so that it says nothing."""
    groups: dict[str, set[str]] = {}
    for entry in entries:
        if entry.person_known and entry.patient_id in ids:
            groups.setdefault(entry.person, set()).add(ids[entry.patient_id])
    if len(ids) > 2 and any(len(group) == len(ids) for group in groups.values()):
        return [], True
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1], False
