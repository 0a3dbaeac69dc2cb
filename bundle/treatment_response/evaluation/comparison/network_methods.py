"""Networks of the bundle as methods: each trial is a training run of ``train.json`` and its overlays.

What needs MONAI is imported where it is used, so that whoever reads a finished comparison does not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd

from treatment_response.cases.samples import Samples
from treatment_response.evaluation.comparison.external import join_samples
from treatment_response.evaluation.comparison.method import COLUMNS, Method, TrialRun, TrialSet, read_trial
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.metrics.doubtful import UNLABELLED_COLUMNS, UNLABELLED_PREDICTIONS


@dataclass(frozen=True)
class NetworkMethod(Method):
    """A network, trained and scored by the engine that cross-validation uses, and resumed like there.

    Attributes:
        overlays: configs on top of ``train.json`` that make it.
    """

    name: str
    overlays: tuple[str, ...] = ()

    def training(self, overlays: Sequence[str], epochs: int | None) -> dict[str, Any]:
        from treatment_response.configs import config_files, planned_epochs

        config_files(self.overlays, f"--methods {self.name}")
        configs = [*self.overlays, *overlays]
        config_files(configs)
        return {"overlays": configs, "epochs": epochs or planned_epochs(configs)}

    @classmethod
    def run_trials(cls, methods: Sequence[Self], run: TrialRun) -> None:
        for method in methods:
            method._run(run)

    def _run(self, run: TrialRun) -> None:
        from treatment_response.evaluation.trials import Trial, run_trials
        from treatment_response.training.experiment import read_samples

        overlays, epochs = run.networks[self.name]["overlays"], run.networks[self.name]["epochs"]
        trials, chosen = [], {}
        for trial_set in run.sets:
            trained_for = (trial_set.shuffled and run.shuffle_epochs) or epochs
            for split in trial_set.splits:
                overrides = {
                    "protocol": "B" if split.held_out else "A",
                    "fold": 0,
                    "seed": split.seed,
                    "max_epochs": trained_for,
                    "dataset_dir": str(run.dataset_dir.resolve()),
                    # Nobody watches the curves and pictures of single trials.
                    "val_interval": trained_for,
                    "picture_interval": 0,
                }
                name = f"{self.name} {trial_set.name}{split.trial}"
                trials.append(Trial(name, trial_folder(self, trial_set, split), overrides, trained_for))
                chosen[name] = (split, trial_set)
        if all(trial.finished() for trial in trials):
            return
        samples = read_samples(("train.json", *overlays), dataset_dir=str(run.dataset_dir))
        if run.scored_dir is not None:
            scored = read_samples(("train.json", *overlays), dataset_dir=str(run.scored_dir))
            samples = join_samples(samples, scored)
        of_trials = {
            name: samples_of(samples, split, trial_set.lesions, trial_set.unlabelled)
            for name, (split, trial_set) in chosen.items()
        }
        run_trials(trials, of_trials, overlays, run.workers, run.console, run.cluster)

    def predictions(self, trials: TrialSet) -> pd.DataFrame:
        tables = [
            read_trial(trial_folder(self, trials, split) / "predictions.csv").assign(
                method=self.name, model=split.trial
            )[COLUMNS]
            for split in trials.splits
        ]
        return pd.concat(tables, ignore_index=True)

    def unlabelled(self, trials: TrialSet) -> pd.DataFrame | None:
        tables = []
        for split in trials.splits:
            file = trial_folder(self, trials, split) / UNLABELLED_PREDICTIONS
            if file.is_file():
                table = read_trial(file).assign(method=self.name, model=split.trial, fold=split.fold)
                tables.append(table[UNLABELLED_COLUMNS])
        return pd.concat(tables, ignore_index=True) if tables else None

    def describe(self, least_icc: float, training: Mapping[str, Any] | None, features: float) -> dict[str, Any]:
        return {"config": "train.json", **(training or {})}


NETWORK_METHODS = {
    method.name: method for method in (NetworkMethod("cnn"), NetworkMethod("improved", ("improved.json",)))
}


def trial_folder(method: NetworkMethod, trials: TrialSet, split: Split) -> Path:
    """The run's folder of a network's trial."""
    return trials.folder / method.name / f"trial_{split.trial:03d}"


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
        lesion = (row.subject, row.case)
        held_out = row.subject in split.held_out and lesion in scored
        rows.append(replace(row, fold=0 if held_out else 1, label=None if row.label is None else labels[lesion]))
    return samples.with_rows(rows)
