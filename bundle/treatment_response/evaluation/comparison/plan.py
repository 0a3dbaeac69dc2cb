"""What is compared, how, and on what: checked before anything is run, and written down before anything is kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.dataset import dataset_digest, read_dataset
from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.configs import fingerprints
from treatment_response.evaluation.claim import claim
from treatment_response.evaluation.comparison.after_mri2 import check_after_mri2
from treatment_response.evaluation.comparison.external import TrainingData, read_training, with_training
from treatment_response.evaluation.comparison.measurements import feature_marks, measured_groups
from treatment_response.evaluation.comparison.method import Method
from treatment_response.evaluation.comparison.methods import AFTER_MRI_2, METHODS, check_methods, with_parts
from treatment_response.evaluation.comparison.splits import (
    FOLDS,
    Split,
    make_splits,
    read_lesions,
    read_unlabelled,
    seed_of,
    shuffled,
)
from treatment_response.metrics.doubtful import doubtful_of
from treatment_response.metrics.scores import EXTERNAL
from treatment_response.problems import DataProblem, Problem, check_least


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        methods: of `METHODS`. trials: how many splits. protocol: ``A`` or ``B``.
        threshold: loss of volume that counts as response; None keeps the data set's labels.
        least_icc: features whose ICC over small perturbations is lower are left out; 0 turns this filter off.
        shuffles: runs with shuffled labels, one repeat of the 5 folds each. seed: of the splits.
        epochs: of networks; None: what their configs say. shuffle_epochs: the same with shuffled labels.
        overlays: configs on top of every network's own.
        workers: processes with one thread each. cluster: address of a Dask scheduler whose workers run the trials
            instead; both change no number.
    """

    methods: tuple[str, ...]
    trials: int = 50
    protocol: str = "B"
    threshold: float | None = None
    least_icc: float = 0.75
    shuffles: int = 0
    seed: int = 0
    epochs: int | None = None
    shuffle_epochs: int | None = None
    overlays: tuple[str, ...] = ()
    workers: int = 2
    cluster: str | None = None

    def networks(self) -> dict[str, dict[str, Any]]:
        """Network → the overlays that make it and the epochs of its trials."""
        made = {method.name: method.training(self.overlays, self.epochs) for method in with_parts(self.methods)}
        return {name: training for name, training in made.items() if training is not None}


@dataclass(frozen=True)
class Plan:
    """A comparison that was checked and can be run.

    Attributes:
        settings: what is compared. dataset_dir, content: the data set. out: gets the files.
        lesions: with the labels of the threshold. unlabelled: those without a label, to be scored.
        splits: of the trials. nulls: with shuffled labels.
        networks: see `Comparison.networks`.
        notes: to stand under the tables.
        training: the data set that models are fitted on, for external validation; None where it is the same.
    """

    settings: Comparison
    dataset_dir: Path
    content: dict[str, Any]
    out: Path
    lesions: pd.DataFrame
    unlabelled: pd.DataFrame
    splits: list[Split]
    nulls: list[tuple[list[Split], pd.DataFrame]]
    networks: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = ()
    training: TrainingData | None = None

    @property
    def methods(self) -> list[Method]:
        """What is compared, in the order of the tables."""
        return [METHODS[name] for name in self.settings.methods]

    @property
    def run_methods(self) -> list[Method]:
        """What has to run: the methods and their parts."""
        return with_parts(self.settings.methods)

    @cached_property
    def groups(self) -> list[str]:
        """The groups of features that the methods need and the data set allows, see `measured_groups`."""
        return measured_groups(self.dataset_dir, [method.measured for method in self.run_methods])

    @property
    def fitted_and_scored(self) -> pd.DataFrame:
        """The lesions that the splits are of: for external validation those of both data sets."""
        return self.lesions if self.training is None else with_training(self.training, self.lesions)

    @property
    def protocol(self) -> str:
        """``A``, ``B`` or ``external``."""
        return self.settings.protocol if self.training is None else EXTERNAL

    @property
    def threshold(self) -> float | None:
        """Loss of volume that counts as response."""
        return self.settings.threshold or self.content.get("response_threshold")

    @property
    def doubtful(self) -> DoubtfulCounts:
        """How many lesions have no label."""
        return doubtful_of(self.content)


def make_plan(dataset_dir: Path, out: Path, settings: Comparison) -> Plan:
    """Check everything that can be checked before anything is run or written.

    Raises:
        DataProblem: the data set or a setting cannot be used.
    """
    _check_settings(settings)
    content = read_dataset(dataset_dir)
    lesions = read_lesions(dataset_dir, settings.threshold)
    if settings.protocol == "A" and not lesions["has_mri2"].any():
        what = "protocol A scores MRI 2, and no lesion has one"
        raise DataProblem(Problem("data set", what, "use --protocol B, or prepare MRI 2"))
    unlabelled = read_unlabelled(content)
    splits = make_splits(lesions, settings.trials, settings.protocol, settings.seed, unlabelled)
    nulls = []
    for shuffle in range(settings.shuffles):
        dealt = shuffled(lesions, shuffle)
        try:
            nulls.append((make_splits(dealt, FOLDS, "B", shuffle), dealt))
        except DataProblem as error:
            what = f"shuffle {shuffle} cannot be run ({error.problems[0].what})"
            raise DataProblem(Problem("--shuffle-labels", what, error.problems[0].remedy)) from None
    later = _later(settings)
    notes: tuple[str, ...] = ()
    if later:
        said = [check_after_mri2(dataset_dir, rows, drawn, later) for drawn, rows in ((splits, lesions), *nulls)]
        notes = tuple(dict.fromkeys(said))
    return Plan(
        settings, dataset_dir, content, out, lesions, unlabelled, splits, nulls, settings.networks(), notes=notes
    )


def make_external_plan(training_dir: Path, dataset_dir: Path, out: Path, settings: Comparison) -> Plan:
    """The plan of an external validation: one split, whose held-out patients are all of `dataset_dir`.

    Args:
        training_dir: the prepared data set that models are fitted on. dataset_dir: the one that is scored.
        settings: ``trials`` are not used: one model per method is fitted.

    Raises:
        DataProblem: a data set or a setting cannot be used.
    """
    _check_settings(settings)
    if settings.shuffles or settings.protocol != "B":
        what = "external validation has neither shuffles nor another protocol than B"
        raise DataProblem(Problem("--external", what, "leave --shuffle-labels and --protocol out"))
    training = read_training(training_dir, dataset_dir, settings.threshold, _later(settings))
    content, lesions = read_dataset(dataset_dir), read_lesions(dataset_dir, settings.threshold)
    unlabelled = read_unlabelled(content)
    split = Split(0, seed_of(settings.seed), tuple(sorted({*lesions["subject"], *unlabelled["subject"]})))
    made = settings.networks()
    return Plan(settings, dataset_dir, content, out, lesions, unlabelled, [split], [], made, training=training)


def _later(settings: Comparison) -> list[str]:
    """The methods that see MRI 2 too."""
    return [method for method in settings.methods if method in AFTER_MRI_2]


def _check_settings(settings: Comparison) -> None:
    """Refuse what no data set could be compared with."""
    check_methods(settings.methods)
    check_least(
        ("--epochs", settings.epochs, 1),
        ("--shuffle-epochs", settings.shuffle_epochs, 1),
        ("--shuffle-labels", settings.shuffles, 0),
    )
    if not 0 <= settings.least_icc < 1:
        what = f"{settings.least_icc:g} is no ICC from 0 to below 1"
        raise DataProblem(Problem("--icc", what, "0.75 is usual; 0 turns the filter off"))
    if settings.shuffles and settings.protocol == "A":
        what = "the null check needs held-out patients, which protocol A has not"
        raise DataProblem(Problem("--shuffle-labels", what, "use --protocol B"))


def claim_folder(plan: Plan) -> None:
    """Write down what the trials in the folder are made with; more methods, trials and shuffles may be added.

    Raises:
        DataProblem: the folder was made otherwise.
    """
    settings = plan.settings
    networks = {
        name: {**made, "files": fingerprints(["train.json", *made["overlays"]])} for name, made in plan.networks.items()
    }
    shuffles = {name: settings.shuffle_epochs or made["epochs"] for name, made in networks.items() if plan.nulls}
    made = {
        "dataset": dataset_digest(plan.dataset_dir),
        "protocol": plan.protocol,
        "threshold": plan.threshold,
        "seed": settings.seed,
        "smallest ICC": settings.least_icc,
        "networks": networks,
        "feature setting": feature_marks(plan.groups, settings.least_icc),
        "epochs with shuffled labels": shuffles,
    }
    if plan.training is not None:
        made["training data set"] = dataset_digest(plan.training.dataset_dir)
    claim(plan.out / "comparison.json", made)
