"""The trials of a comparison: fitted and scored in parallel processes, each kept in a file of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from treatment_response.evaluation.comparison.methods import NETWORK, Tables
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.features.table import LESION_KEY
from treatment_response.problems import DataProblem, Problem
from treatment_response.stopping import end_workers, prepare_worker
from treatment_response.training.experiment import read_samples
from treatment_response.training.samples import MRI1, Samples

COLUMNS = ["method", "model", "role", "session", "subject", "lesion", "label", "p_response"]


def fit_and_score(method: str, split: Split, lesions: pd.DataFrame, features: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Fit a classical method on MRI 1 of the split's training lesions and score every role.

    Nothing of a held-out lesion reaches the fit: selection, scaling and imputation are inside what `build` returns.

    Args:
        features: session → table with the index ``(subject, lesion)``.

    Returns:
        Rows of ``predictions.csv``.

    Raises:
        DataProblem: a lesion has no row of features, or the fitting refuses the data.
    """
    from treatment_response.evaluation.classical import build  # slow to import, and only workers need it

    training = split.training(lesions)
    model = build(method, split.seed)
    with threadpool_limits(1):
        model.fit(_rows(features[MRI1], training, method), training["label"].to_numpy())
        parts = []
        for role, (session, rows) in split.roles(lesions).items():
            p = model.predict_proba(_rows(features[session], rows, method))[:, 1]
            part = rows[[*LESION_KEY, "label"]].assign(p_response=p, role=role, session=session)
            parts.append(part.assign(method=method, model=split.trial))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


@dataclass(frozen=True)
class TrialSet:
    """Trials on the same labels.

    Attributes:
        name: what the progress shows before a trial's number; empty for the true labels.
        splits, lesions: who is held out, and the lesions with their labels.
        folder: gets ``METHOD/trial_000.csv`` of classical methods and ``cnn/trial_000/`` of the network.
    """

    name: str
    splits: Sequence[Split]
    lesions: pd.DataFrame
    folder: Path

    def file(self, method: str, split: Split) -> Path:
        """Where a classical trial is kept, written whole or not at all."""
        return self.folder / method / f"trial_{split.trial:03d}.csv"


def run_classical(
    methods: Sequence[str],
    sets: Sequence[TrialSet],
    tables: Tables,
    workers: int = 2,
    console: Console | None = None,
) -> list[pd.DataFrame]:
    """Every trial of every classical method; what is there already is not computed again.

    Args:
        methods: of the keys of `tables`.
        workers: processes with one thread each; with 1 everything runs in this process.

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
        if workers <= 1:
            for method, each, split in waiting:
                _fit_to_file(method, split, each.lesions, tables[method], each.file(method, split))
                progress.advance(tasks[method])
        elif waiting:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare_worker) as pool:
                try:
                    futures = {
                        pool.submit(_fit_to_file, m, split, each.lesions, tables[m], each.file(m, split)): m
                        for m, each, split in waiting
                    }
                    for future in as_completed(futures):
                        future.result()
                        progress.advance(tasks[futures[future]])
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    end_workers()
                    raise
    return [
        pd.concat([_read(each.file(method, split)) for method in methods for split in each.splits], ignore_index=True)
        for each in sets
    ]


def run_network(
    sets: Sequence[TrialSet],
    dataset_dir: Path,
    epochs: int = 150,
    overlays: Sequence[str] = (),
    workers: int = 2,
    console: Console | None = None,
) -> list[pd.DataFrame]:
    """Every trial of the bundle's network, by the engine that cross-validation uses; resumed like there.

    Returns:
        The predictions of each set.
    """
    trials = {
        (each.folder, split.trial): Trial(
            f"{NETWORK} {each.name}{split.trial}",
            each.folder / NETWORK / f"trial_{split.trial:03d}",
            {
                "protocol": "B" if split.held_out else "A",
                "fold": 0,
                "seed": split.seed,
                "max_epochs": epochs,
                "dataset_dir": str(dataset_dir),
            },
            epochs,
        )
        for each in sets
        for split in each.splits
    }
    if not all(trial.finished() for trial in trials.values()):
        samples = read_samples(("train.json", *overlays), dataset_dir=str(dataset_dir))
        chosen = {
            trials[each.folder, split.trial].name: samples_of(samples, split, each.lesions)
            for each in sets
            for split in each.splits
        }
        run_trials(list(trials.values()), chosen, overlays, workers, console)
    return [
        pd.concat(
            [
                _read(trials[each.folder, split.trial].output_dir / "predictions.csv").assign(
                    method=NETWORK, model=split.trial
                )[COLUMNS]
                for split in each.splits
            ],
            ignore_index=True,
        )
        for each in sets
    ]


def samples_of(samples: Samples, split: Split, lesions: pd.DataFrame) -> Samples:
    """The samples with this split's held-out patients in fold 0, the others in fold 1, and these lesions' labels."""
    labels = {
        (subject, lesion): int(label)
        for subject, lesion, label in zip(lesions["subject"], lesions["lesion"], lesions["label"], strict=True)
    }
    rows = [
        replace(row, fold=0 if row.subject in split.held_out else 1, label=labels[row.subject, row.lesion])
        for row in samples.rows
    ]
    return Samples(samples.image, rows)


def _fit_to_file(
    method: str, split: Split, lesions: pd.DataFrame, features: dict[str, pd.DataFrame], file: Path
) -> None:
    table = fit_and_score(method, split, lesions, features)
    write_whole(file, table.to_csv(index=False, float_format="%.8g"))


def write_whole(file: Path, text: str) -> None:
    """Write a file so that it is there complete or not at all, whenever the process is killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _rows(features: pd.DataFrame, lesions: pd.DataFrame, method: str) -> pd.DataFrame:
    index = pd.MultiIndex.from_frame(lesions[LESION_KEY])
    missing = index[~index.isin(features.index)]
    if len(missing):
        subject, lesion = missing[0]
        what = f"there are no {method} features of this lesion"
        raise DataProblem(Problem(f"{subject} {lesion}", what, "prepare the data set again"))
    return features.loc[index]


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=dict.fromkeys(LESION_KEY, str), float_precision="round_trip")
