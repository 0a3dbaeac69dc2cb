"""A folder of DICOM as a cohort of patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from treatment_response.cohort.pipeline import Cohort, subject_ids
from treatment_response.dicom.entries import DicomIndex, Entry
from treatment_response.dicom.ingest.clinical import ClinicalFacts, read_clinical
from treatment_response.dicom.ingest.patient import DicomPatient
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.dicom.scan import scan_folder
from treatment_response.problems import DataProblem, Problem

AnyEntry = TypeVar("AnyEntry", bound=Entry)
PLANIMETRY = "planimetry of the contours"


def ingest_folder(
    root: Path,
    settings: IngestSettings,
    follow_up_days: tuple[int, int] = (60, 135),
    clinical: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Find the patients of a folder. Only headers are read; the folder is never written to.

    Args:
        root: any folder, with any names of folders and files.
        clinical: table with prescriptions, see :func:`treatment_response.dicom.ingest.clinical.read_clinical`.
        progress: called with files done and files in all.

    Raises:
        DataProblem: the folder is missing, or holds no MR series.
    """
    if not root.is_dir():
        raise DataProblem(Problem("DICOM_DIR", "is no folder", "name the folder that holds the DICOM files"))
    facts, told = read_clinical(clinical) if clinical else ({}, [])
    index = scan_folder(root, progress)
    problems = [str(problem) for problem in told]
    key: dict[str, str] = {}
    for number, problem in enumerate(index.problems, start=1):
        # Paths can carry names, so the report numbers the files; the key file says which is which.
        anonymous = f"file F{number:03d}"
        key[f"F{number:03d}"] = problem.where.removeprefix("file ")
        problems.append(str(Problem(anonymous, problem.what, f"{problem.remedy} (--key FILE lists its path)")))
    if not any(entry.modality == "MR" for entry in index.series):
        what = "holds no MR series that can be read"
        raise DataProblem(Problem("DICOM_DIR", what, "name a folder with MR and RTSTRUCT files"), *index.problems[:20])
    originals = sorted({entry.patient_id for entry in (*index.series, *index.structure_sets)})
    ids = subject_ids(originals)
    unknown = set(facts) - set(originals)
    if unknown:
        what = f"names {len(unknown)} patient(s) that are not among the files"
        problems.append(str(Problem("clinical table", what, "check its patient_id column")))
    sources = _patients(index, ids, settings, follow_up_days, facts)
    key.update({subject: original for original, subject in ids.items()})
    more: dict[str, Any] = {**asdict(settings), "roi": settings.roi or "names that clinics give to lesions"}
    if index.notes:
        more["repeated_files"] = (
            f"{len(index.notes)} files hold an instance that another file holds; each was used once"
        )
    return Cohort(sources, "DICOM", PLANIMETRY, problems, more, key)


def _patients(
    index: DicomIndex,
    ids: dict[str, str],
    settings: IngestSettings,
    follow_up_days: tuple[int, int],
    facts: dict[str, ClinicalFacts],
) -> list[DicomPatient]:
    series = _by_patient(index.series)
    structure_sets = _by_patient(index.structure_sets)
    doses = _by_patient(index.doses)
    plans = _by_patient(index.plans)
    return [
        DicomPatient(
            subject,
            tuple(series[original]),
            tuple(structure_sets[original]),
            tuple(doses[original]),
            tuple(plans[original]),
            settings,
            follow_up_days,
            facts.get(original, ClinicalFacts()).prescriptions,
            facts.get(original, ClinicalFacts()).treatment,
        )
        for original, subject in sorted(ids.items(), key=lambda item: item[1])
    ]


def _by_patient(entries: Sequence[AnyEntry]) -> defaultdict[str, list[AnyEntry]]:
    grouped: defaultdict[str, list[AnyEntry]] = defaultdict(list)
    for entry in entries:
        grouped[entry.patient_id].append(entry)
    return grouped
