"""Features of every lesion of a prepared data set: in parallel, cached, and taken up again where it was stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from treatment_response.cohort.dataset import load_datalist
from treatment_response.cohort.layout import dose_path, read_volume, same_grid
from treatment_response.features import gradients, radiomics
from treatment_response.features.cache import FeatureCache, hash_of
from treatment_response.features.intensity import scale_to_head
from treatment_response.features.table import Feature, FeatureTable, known_at
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem
from treatment_response.stopping import end_workers

REVISION = 1
"""Raise it when the code of a group gives other values than before: what was cached is measured again."""
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pyradiomics", "PyWavelets")


@dataclass(frozen=True)
class Scan:
    """One session of one patient: its files.

    Attributes:
        masks: lesion → mask file.
        dose: None without a dose in this session.
    """

    subject: str
    session: str
    image: Path
    masks: dict[str, Path]
    dose: Path | None


class OpenScan:
    """A scan whose image and dose are read when they are first needed, once for all of its lesions."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.where = f"{scan.subject} {scan.session}"

    @cached_property
    def image(self) -> Volume:
        """The MR, air 0 and head tissue 100."""
        return scale_to_head(read_volume(self.scan.image, self.where), self.where)

    @cached_property
    def dose(self) -> Volume:
        """The dose in Gy."""
        assert self.scan.dose is not None
        return read_volume(self.scan.dose, f"{self.where} dose")

    def mask(self, lesion: str) -> Volume:
        """A lesion's mask.

        Raises:
            DataProblem: it does not lie on the image's grid.
        """
        mask = read_volume(self.scan.masks[lesion], f"{self.where} {lesion}")
        if not same_grid(mask, self.image):
            what = "the mask does not lie on the image's grid"
            raise DataProblem(Problem(f"{self.where} {lesion}", what, "put the mask on the image's own grid"))
        return mask


@dataclass(frozen=True)
class Group:
    """A group of features that is measured lesion by lesion.

    Attributes:
        features: what it gives, in order.
        settings: all that decides the values besides the images; part of the cache's key.
        of_dose: measured on the dose instead of the MR; without a dose the values are missing.
        measure: from an open scan and a lesion's id to the values by name.
    """

    features: tuple[Feature, ...]
    settings: dict[str, Any]
    of_dose: bool
    measure: Callable[[OpenScan, str], dict[str, float]]


GROUPS = {
    gradients.GROUP: Group(
        gradients.FEATURES,
        {
            "step_mm": gradients.STEP_MM,
            "large_mm3": gradients.LARGE_LESION_MM3,
            "margins_mm": [gradients.MARGIN_LARGE_MM, gradients.MARGIN_SMALL_MM],
        },
        False,
        lambda scan, lesion: gradients.gradient_features(scan.image, scan.mask(lesion).array, f"{scan.where} {lesion}"),
    ),
    radiomics.RADIOMICS_GROUP: Group(
        radiomics.RADIOMICS_FEATURES,
        radiomics.RADIOMICS,
        False,
        lambda scan, lesion: radiomics.radiomic_features(scan.image, scan.mask(lesion).array, f"{scan.where} {lesion}"),
    ),
    radiomics.DOSE_GROUP: Group(
        radiomics.DOSE_FEATURES,
        radiomics.DOSIOMICS,
        True,
        lambda scan, lesion: radiomics.dosiomic_features(scan.dose, scan.mask(lesion), f"{scan.where} {lesion}"),
    ),
}


def extract_dataset(
    dataset_dir: str | Path,
    sessions: Sequence[str],
    cache_dir: str | Path,
    processes: int = 2,
    groups: Sequence[str] = (gradients.GROUP, radiomics.RADIOMICS_GROUP),
    console: Console | None = None,
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

    Returns:
        One row per lesion and session. Of a session without a dose, the features of ``dose`` are missing (NaN).

    Raises:
        DataProblem: unknown groups or sessions, no dose anywhere although ``dose`` is asked for, or lesions that cannot
            be measured: all of them are named, after the others were measured.
    """
    for session in sessions:
        known_at(session)
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        what = f"unknown feature group {', '.join(unknown)}" if unknown else "no feature group was chosen"
        raise DataProblem(Problem("groups", what, f"choose from {', '.join(GROUPS)}"))
    scans = dataset_scans(dataset_dir, sessions)
    if any(GROUPS[group].of_dose for group in groups) and not any(scan.dose for scan in scans):
        what = f"no session of {', '.join(sessions)} has a dose"
        raise DataProblem(Problem("data set", what, "prepare it with RTDOSE files, or leave dose features out"))
    FeatureCache(Path(cache_dir))  # told at once if it cannot be used
    work = [(scan, tuple(groups), Path(cache_dir)) for scan in scans]
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    columns = (TextColumn("measuring lesions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task("lesions", total=sum(len(scan.masks) for scan in scans))

        def take(result: tuple[list[dict[str, Any]], list[Problem]]) -> None:
            rows.extend(result[0])
            problems.extend(result[1])
            progress.advance(task, len(result[0]) + len(result[1]))

        if processes <= 1:
            for item in work:
                take(measure_scan(*item))
        else:
            _in_processes(work, processes, take)
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
                values |= _measure_group(opened, lesion, name, cache)
            rows.append(values)
        except DataProblem as error:
            problems.append(error.problems[0])
    return rows, problems


def _measure_group(scan: OpenScan, lesion: str, name: str, cache: FeatureCache) -> dict[str, float]:
    group = GROUPS[name]
    source = scan.scan.dose if group.of_dose else scan.scan.image
    if source is None:
        return {}
    for file in (source, scan.scan.masks[lesion]):
        if not file.is_file():
            raise DataProblem(
                Problem(f"{scan.where} {lesion}", f"{file.name} is missing", "prepare the data set again")
            )
    libraries = {library: version(library) for library in _LIBRARIES}
    key = hash_of(
        source,
        scan.scan.masks[lesion],
        group=name,
        revision=REVISION,
        settings=group.settings,
        libraries=libraries,
    )
    names = [feature.name for feature in group.features]
    values = cache.get(key, names)
    if values is None:
        values = group.measure(scan, lesion)
        cache.put(key, values)
    return values


def _in_processes(
    work: Sequence[tuple[Scan, tuple[str, ...], Path]], processes: int, take: Callable[[Any], None]
) -> None:
    # Plainly forked workers would inherit the threads of ITK and of the progress bar in an undefined state.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(processes, len(work)), mp_context=context, initializer=_one_thread) as pool:
        try:
            for future in as_completed([pool.submit(measure_scan, *item) for item in work]):
                take(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_workers()
            raise


def _one_thread() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends its workers
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def dataset_scans(dataset_dir: str | Path, sessions: Sequence[str]) -> list[Scan]:
    """The scans of some sessions of a prepared data set, in order."""
    root = Path(dataset_dir).resolve()
    scans: dict[tuple[str, str], Scan] = {}
    for sample in load_datalist(root, sessions):
        subject, session = sample["subject"], sample["session"]
        dose = root / dose_path(subject, session)
        new = Scan(subject, session, Path(sample["image"]), {}, dose if dose.is_file() else None)
        scans.setdefault((subject, session), new).masks[sample["lesion"]] = Path(sample["mask"])
    return [scans[key] for key in sorted(scans)]
