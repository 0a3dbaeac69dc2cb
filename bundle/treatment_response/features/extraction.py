"""Features of every lesion of a prepared data set: in parallel, cached, and taken up again where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from treatment_response.features import gradients, radiomics
from treatment_response.features.cache import FeatureCache
from treatment_response.features.groups import GROUPS, check_groups, measured
from treatment_response.features.scans import OpenScan, Scan, dataset_scans
from treatment_response.features.table import FeatureTable, known_at
from treatment_response.features.workers import measure_all
from treatment_response.problems import DataProblem, Problem


def extract_dataset(
    dataset_dir: str | Path,
    sessions: Sequence[str],
    cache_dir: str | Path,
    processes: int = 2,
    groups: Sequence[str] = (gradients.GROUP, radiomics.RADIOMICS_GROUP),
    console: Console | None = None,
    unlabelled: Sequence[str] = (),
) -> FeatureTable:
    """Measure every lesion of a prepared data set in some sessions.

    What is finished is in the cache, so that a run that was stopped (Ctrl-C, SIGTERM, power) goes on from there, and a
    second run reads only. The same files and settings give the same numbers, however many processes there are.

    Args:
        dataset_dir: the prepared data set.
        sessions: ``ses-01`` and/or ``ses-02``.
        cache_dir: a folder of JSON files; it may serve several data sets.
        processes: one thread each.
        groups: of ``GROUPS``: ``gradient``, ``radiomics``, ``dose``.
        console: where the progress bar goes; none without it.
        unlabelled: sessions in which the lesions without a label are measured too.

    Returns:
        One row per lesion and session. Of a session without a dose, the features of ``dose`` are missing (NaN).

    Raises:
        DataProblem: unknown groups or sessions, no dose anywhere although ``dose`` is asked for, or lesions that cannot
            be measured: all of them are named, after the others were measured.
    """
    for session in (*sessions, *unlabelled):
        known_at(session)
    check_groups(groups)
    scans = dataset_scans(dataset_dir, sessions, unlabelled)
    if any(GROUPS[group].of_dose for group in groups) and not any(scan.dose for scan in scans):
        what = f"no session of {', '.join(sessions)} has a dose"
        raise DataProblem(Problem("data set", what, "prepare it with RTDOSE files, or leave dose features out"))
    return extract_scans(scans, cache_dir, processes, groups, console)


def extract_scans(
    scans: Sequence[Scan],
    cache_dir: str | Path,
    processes: int,
    groups: Sequence[str],
    console: Console | None,
) -> FeatureTable:
    """The features of the lesions of some scans; arguments and results as of `extract_dataset`."""
    FeatureCache(Path(cache_dir))  # told at once if it cannot be used
    work = [(scan, tuple(groups), Path(cache_dir)) for scan in scans]
    total = sum(len(scan.masks) for scan in scans)
    rows, problems = measure_all(measure_scan, work, total, "measuring lesions", processes, console)
    if problems:
        raise DataProblem(*sorted(problems, key=str))
    return FeatureTable.from_rows(rows, [feature for group in groups for feature in GROUPS[group].features])


def measure_scan(scan: Scan, groups: Sequence[str], cache_dir: Path) -> tuple[list[dict[str, Any]], list[Problem]]:
    """One row per lesion of a scan, from the cache where it is there; lesions that cannot be measured as problems."""
    cache, opened = FeatureCache(cache_dir), OpenScan(scan)
    rows, problems = [], []
    for lesion in scan.masks:
        try:
            values: dict[str, Any] = {"subject": scan.subject, "lesion": lesion, "session": scan.session}
            for name in groups:
                values |= measured(opened, lesion, name, cache)
            rows.append(values)
        except DataProblem as error:
            problems.append(error.problems[0])
    return rows, problems
