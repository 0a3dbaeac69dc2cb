"""What a system's network is compared with, and the network itself: probabilities of K classes, split by split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from treatment_response.cases.samples import Samples
from treatment_response.classes import Classes
from treatment_response.cohort.case import read_cases, with_case
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.evaluation.comparison.variants import NETWORK, slug
from treatment_response.metrics.class_scores import class_probabilities
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import Protocol

PREVALENCE, EACH, FEATURES, RADIOMICS = "prevalence", "each", "features", "radiomics"
VOLUME_RULES, VOLUMES = "volume-rules", "volumes"
CASE_METHODS = {
    PREVALENCE: "The classes' shares among the training cases, the same for every case; it decides the majority.",
    VOLUME_RULES: "Volumetric criteria on the enhancing tumour against the previous study, the baseline or the nadir.",
    VOLUMES: "A logistic regression on the logarithms of all volumes of these studies; the classes weigh the same.",
    EACH: "A logistic regression on one of the named columns alone; one method per column.",
    FEATURES: "A logistic regression on the named columns of the table of cases; gaps get the training median.",
    RADIOMICS: "Radiomic features inside each case's mask: filters, selection and a linear SVM; of two classes only, "
    "without the filter by ICC.",
    NETWORK: "The system's network, trained anew in every trial.",
}
"""Name → what it is, in the order of the tables. Of several variants of the network each is a method of its own."""
KEY = ["subject", "case"]


@dataclass(frozen=True)
class CaseTrials:
    """Trials on the same labels.

    Attributes:
        name: stands before a trial's number in the progress; empty for the true labels.
        splits: who is held out. cases: ``subject, case, label``, and ``person`` where there is one.
        folder: gets a folder per trial of the network.
    """

    name: str
    splits: Sequence[Split]
    cases: pd.DataFrame
    folder: Path


def check_case_methods(methods: Sequence[str], features: Sequence[str]) -> None:
    """Refuse methods that are none, or that do not go with the named columns.

    Raises:
        DataProblem: with what to name.
    """
    unknown = [name for name in methods if name not in CASE_METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        what = f"'{unknown[0]}' is no method for these classes" if unknown else "name at least one method, each once"
        raise DataProblem(Problem("--methods", what, f"choose from {', '.join(CASE_METHODS)}"))
    if bool({EACH, FEATURES} & set(methods)) != bool(features):
        what = "the methods features and each need columns" if not features else "no method of columns was asked for"
        raise DataProblem(Problem("--features", what, "name columns of the table of cases, and such a method"))


_NOT_BEFOREHAND = ("fold", "label", "label_source", "label_date_days", "person")
"""Columns that say who is held out, or what came of a case."""


def read_features(dataset_dir: Path, columns: Sequence[str], where: str = "--features") -> pd.DataFrame:
    """Some columns of a data set's table of cases, numbers or words, with the index ``(subject, case)``.

    Args:
        where: which option asked for them.

    Raises:
        DataProblem: a column is not there, or says what is known only afterwards.
    """
    table = read_cases(dataset_dir)
    if absent := [name for name in columns if name not in table]:
        there = ", ".join(name for name in map(str, table) if name not in (*_NOT_BEFOREHAND, *KEY))
        what = f"the table of cases has no column {', '.join(absent)}"
        raise DataProblem(Problem(where, what, f"choose from {there or 'none: it has no other columns'}"))
    values = table[list(columns)]
    if unfit := [name for name in columns if name in (*_NOT_BEFOREHAND, *KEY)]:
        what = f"{', '.join(unfit)} is nothing that is known of a case beforehand"
        raise DataProblem(Problem(where, what, "name other columns"))
    return values.set_index(pd.MultiIndex.from_frame(table[KEY])).sort_index()


def computed(features: pd.DataFrame, cases: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The columns that hold something of these cases, and sentences on those with gaps or with nothing."""
    own = features.loc[features.index.isin(pd.MultiIndex.from_frame(cases[KEY]))]
    lacking = {str(name): int(own[name].isna().sum()) for name in own}
    sentences = [
        f"{name}: not computed in this data set."
        if lacking[name] == len(own)
        else f"{name}: not computed for {lacking[name]} of {len(own)} cases, which get the training cases' median."
        for name in lacking
        if lacking[name]
    ]
    return features[[name for name in lacking if lacking[name] < len(own)]], sentences


def table_predictions(
    trials: CaseTrials,
    classes: Classes,
    method: str,
    role: str,
    features: pd.DataFrame | None,
    balanced: bool = False,
) -> pd.DataFrame:
    """The held-out predictions of a method that trains no network: rows of ``predictions.csv``.

    Args:
        method: its name. features: the columns that it looks at, from `read_features`; None: the classes' shares alone.
        balanced: whether the classes weigh the same in a regression, however many cases each has.

    Raises:
        DataProblem: a case has no row of features.
    """
    parts = []
    for split in trials.splits:
        training, held_out = split.training(trials.cases), split.held_out_lesions(trials.cases)
        if features is not None:
            p = _regression(features, training, held_out, len(classes.names), balanced)
        else:
            shares = np.bincount(training["label"], minlength=len(classes.names)) / len(training)
            p = np.tile(shares, (len(held_out), 1))
        columns = dict(zip(classes.columns, p.T, strict=True))
        parts.append(held_out.assign(method=method, model=split.trial, role=role, **columns))
    return pd.concat(parts, ignore_index=True)


def _regression(
    features: pd.DataFrame, training: pd.DataFrame, held_out: pd.DataFrame, classes: int, balanced: bool
) -> NDArray[np.float64]:
    """Probabilities ``(N, K)`` of a logistic regression; a class that nobody in training has gets 0."""
    fitted_on, scored = (_rows(features, cases) for cases in (training, held_out))
    numbers = [name for name in features if pd.api.types.is_numeric_dtype(features[name])]
    words = [name for name in features if name not in numbers]
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                numbers,
            ),
            ("words", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    weights = "balanced" if balanced else None
    model = make_pipeline(columns, LogisticRegression(max_iter=1000, class_weight=weights))
    model.fit(fitted_on, training["label"])
    p = np.zeros((len(held_out), classes))
    if not len(held_out):
        return p
    p[:, model.classes_] = model.predict_proba(scored)
    return p


def _rows(features: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    index = pd.MultiIndex.from_frame(cases[KEY])
    if len(missing := index[~index.isin(features.index)]):
        what = "the table of cases has no row of this case"
        subject, case = map(str, missing[0])
        raise DataProblem(Problem(f"{subject} {case}", what, "prepare the data set again"))
    return features.loc[index]


@dataclass(frozen=True)
class NetworkTrials:
    """The trials of a system's network: trainings of ``train.json`` and its overlays.

    Attributes:
        name: of the network in tables. settings: ids of the configs that it sets, with their values.
        dataset_dir: the data set. protocol: whose held-out role is scored.
        overlays: configs on top of ``train.json``. epochs, shuffle_epochs: with true and with shuffled labels.
        workers, cluster: where they run, see `open_engine`.
    """

    name: str
    settings: Mapping[str, Any]
    dataset_dir: Path
    protocol: Protocol
    overlays: Sequence[str]
    epochs: int
    shuffle_epochs: int
    workers: int
    cluster: str | None

    def run(self, sets: Sequence[CaseTrials], console: Console | None) -> None:
        """Train and score what is not finished.

        Raises:
            DataProblem: from a trial; the others' results stay.
        """
        from treatment_response.evaluation.cross_validation import read_protocol_samples
        from treatment_response.evaluation.trials import Trial, run_trials

        made: dict[str, tuple[Trial, Callable[[Samples], Samples]]] = {}
        for trials in sets:
            epochs = self.shuffle_epochs if trials.name else self.epochs
            for split in trials.splits:
                overrides = {
                    **self.settings,
                    "protocol": self.protocol.name,
                    "fold": 0,
                    "seed": split.seed,
                    "max_epochs": epochs,
                    "dataset_dir": str(self.dataset_dir.resolve()),
                    # Nobody watches the curves, pictures and maps of single trials, unless they choose the epoch.
                    "val_interval": 1 if self.protocol.chooses_epoch else epochs,
                    "picture_interval": 0,
                    "explanation": None,
                }
                name = f"{self.name} {trials.name}{split.trial}"
                trial = Trial(name, self.folder(trials, split), overrides, epochs)
                made[name] = trial, partial(samples_of, split=split, cases=trials.cases)
        if all(trial.finished() for trial, _ in made.values()):
            return
        samples = read_protocol_samples(self.overlays, self.protocol, self.dataset_dir, **self.settings)
        of_trials = {name: of_trial(samples) for name, (_, of_trial) in made.items()}
        run_trials([trial for trial, _ in made.values()], of_trials, self.overlays, self.workers, console, self.cluster)

    def folder(self, trials: CaseTrials, split: Split) -> Path:
        """The run's folder of a trial."""
        return trials.folder / slug(self.name) / f"trial_{split.trial:03d}"

    def predictions(self, trials: CaseTrials, classes: Classes) -> pd.DataFrame:
        """The held-out predictions of finished trials: rows of ``predictions.csv``."""
        parts = []
        for split in trials.splits:
            file = self.folder(trials, split) / "predictions.csv"
            table = with_case(pd.read_csv(file, dtype=dict.fromkeys(KEY, str), float_precision="round_trip"))
            table = table[table["role"] == self.protocol.roles[-1].name]
            columns = dict(zip(classes.columns, class_probabilities(table, classes).T, strict=True))
            found = table[[*KEY, "label", "role"]].assign(method=self.name, model=split.trial, **columns)
            parts.append(trials.cases.drop(columns="label").merge(found, on=KEY))
        return pd.concat(parts, ignore_index=True)


def samples_of(samples: Samples, split: Split, cases: pd.DataFrame) -> Samples:
    """The samples with this split's held-out cases in fold 0, the others in fold 1, and these cases' labels."""
    labels: Mapping[tuple[str, str], int] = {
        (subject, case): int(label)
        for subject, case, label in zip(cases["subject"], cases["case"], cases["label"], strict=True)
    }
    rows = [
        replace(row, fold=0 if split.holds(row.subject, row.case) else 1, label=labels.get((row.subject, row.case)))
        for row in samples.rows
    ]
    return samples.with_rows(rows)
