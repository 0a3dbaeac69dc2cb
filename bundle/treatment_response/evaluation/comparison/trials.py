"""The trials of a comparison: fitted and scored in parallel processes, each kept in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from treatment_response.cases.samples import Samples
from treatment_response.evaluation.comparison.external import join_samples
from treatment_response.evaluation.comparison.fitting import COLUMNS, fit_to_file, unlabelled_file
from treatment_response.evaluation.comparison.methods import Tables
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.evaluation.engines.choice import open_engine
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.features.table import LESION_KEY
from treatment_response.metrics.doubtful import UNLABELLED_COLUMNS, UNLABELLED_PREDICTIONS
from treatment_response.training.experiment import read_samples


@dataclass(frozen=True)
class TrialSet:
    """Trials on the same labels.

    Attributes:
        name: what the progress shows before a trial's number; empty for the true labels.
        splits, lesions: who is held out, and the lesions with their labels.
        folder: gets ``METHOD/trial_000.csv`` of classical methods and ``NETWORK/trial_000/`` of networks.
        epochs: that networks are trained for.
        unlabelled: lesions without a label that are scored too; None for shuffled labels.
    """

    name: str
    splits: Sequence[Split]
    lesions: pd.DataFrame
    folder: Path
    epochs: int = 150
    unlabelled: pd.DataFrame | None = None

    def file(self, method: str, split: Split) -> Path:
        """Where a classical trial is kept, written whole or not at all."""
        return self.folder / method / f"trial_{split.trial:03d}.csv"

    def network_folder(self, network: str, split: Split) -> Path:
        """The run's folder of a network's trial."""
        return self.folder / network / f"trial_{split.trial:03d}"


def run_classical(
    methods: Sequence[str],
    sets: Sequence[TrialSet],
    tables: Tables,
    workers: int = 2,
    console: Console | None = None,
    cluster: str | None = None,
) -> list[pd.DataFrame]:
    """Every trial of every classical method; what is there already is not computed again.

    Args:
        methods: of the keys of `tables`.
        workers, cluster: where they run, see `open_engine`.

    Returns:
        The predictions of each set.

    Raises:
        DataProblem: from a trial; the others' results stay.
    """
    everything = [(method, each, split) for each in sets for method in methods for split in each.splits]
    waiting = [(method, each, split) for method, each, split in everything if not each.file(method, split).is_file()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        tasks = {}
        for method in methods:
            left = sum(name == method for name, _, _ in waiting)
            total = sum(len(each.splits) for each in sets)
            tasks[method] = progress.add_task(method, total=total, completed=total - left)
        if waiting:
            with open_engine(workers, cluster, writes=[each.folder for each in sets]) as engine:
                shared = {method: engine.share(tables[method]) for method in methods}
                calls = [
                    (m, split, each.lesions, shared[m], each.file(m, split).resolve(), each.unlabelled)
                    for m, each, split in waiting
                ]
                engine.run(fit_to_file, calls, done=lambda index: progress.advance(tasks[waiting[index][0]]))
    return [
        pd.concat([_read(each.file(method, split)) for method in methods for split in each.splits], ignore_index=True)
        for each in sets
    ]


def run_network(
    network: str,
    sets: Sequence[TrialSet],
    dataset_dir: Path,
    overlays: Sequence[str] = (),
    workers: int = 2,
    console: Console | None = None,
    cluster: str | None = None,
    scored_dir: Path | None = None,
) -> list[pd.DataFrame]:
    """Every trial of a network, by the engine that cross-validation uses; resumed like there.

    Args:
        network: its name as a method. overlays: configs on top of ``train.json`` that make it.
        workers, cluster: where its trials run, see `open_engine`.
        scored_dir: another data set whose lesions are scored, for external validation.

    Returns:
        The predictions of each set.
    """
    trials = {
        (each.folder, split.trial): Trial(
            f"{network} {each.name}{split.trial}",
            each.network_folder(network, split),
            {
                "protocol": "B" if split.held_out else "A",
                "fold": 0,
                "seed": split.seed,
                "max_epochs": each.epochs,
                "dataset_dir": str(dataset_dir.resolve()),
                # Nobody watches the curves and pictures of single trials.
                "val_interval": each.epochs,
                "picture_interval": 0,
            },
            each.epochs,
        )
        for each in sets
        for split in each.splits
    }
    if not all(trial.finished() for trial in trials.values()):
        samples = read_samples(("train.json", *overlays), dataset_dir=str(dataset_dir))
        if scored_dir is not None:
            scored = read_samples(("train.json", *overlays), dataset_dir=str(scored_dir))
            samples = join_samples(samples, scored)
        chosen = {
            trials[each.folder, split.trial].name: samples_of(samples, split, each.lesions, each.unlabelled)
            for each in sets
            for split in each.splits
        }
        run_trials(list(trials.values()), chosen, overlays, workers, console, cluster)
    return [
        pd.concat(
            [
                _read(trials[each.folder, split.trial].output_dir / "predictions.csv").assign(
                    method=network, model=split.trial
                )[COLUMNS]
                for split in each.splits
            ],
            ignore_index=True,
        )
        for each in sets
    ]


def unlabelled_predictions(methods: Sequence[str], trials: TrialSet) -> pd.DataFrame | None:
    """What finished trials said of the lesions without a label; None if they were given none.

    Args:
        methods: classical ones and networks.
    """
    parts = []
    for method in methods:
        for split in trials.splits:
            files = (
                unlabelled_file(trials.file(method, split)),
                trials.network_folder(method, split) / UNLABELLED_PREDICTIONS,
            )
            for file in (file for file in files if file.is_file()):
                found = _read(file).assign(method=method, model=split.trial, fold=split.fold)
                parts.append(found[UNLABELLED_COLUMNS])
    return pd.concat(parts, ignore_index=True) if parts else None


def samples_of(
    samples: Samples, split: Split, lesions: pd.DataFrame, unlabelled: pd.DataFrame | None = None
) -> Samples:
    """The samples with this split's held-out patients in fold 0, the others in fold 1, and these lesions' labels.

    Args:
        unlabelled: lesions without a label that are scored where they are held out; others are in fold 1, and nowhere.
    """
    labels = {
        (subject, lesion): int(label)
        for subject, lesion, label in zip(lesions["subject"], lesions["lesion"], lesions["label"], strict=True)
    }
    scored = {*labels}
    if unlabelled is not None:
        scored |= set(zip(unlabelled["subject"], unlabelled["lesion"], strict=True))
    rows = []
    for row in samples.rows:
        lesion = (row.subject, row.lesion)
        held_out = row.subject in split.held_out and lesion in scored
        rows.append(replace(row, fold=0 if held_out else 1, label=None if row.label is None else labels[lesion]))
    return Samples(samples.image, rows)


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=dict.fromkeys(LESION_KEY, str), float_precision="round_trip")
