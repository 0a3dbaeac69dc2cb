"""Radiomics beside a system's network: the lesion of each case on one image, measured and fitted as PULSAR's are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from treatment_response.classes import Classes
from treatment_response.cohort.case import read_cases
from treatment_response.cohort.splits import persons_of
from treatment_response.configs import read_configs
from treatment_response.evaluation.classical import build
from treatment_response.evaluation.comparison.case_methods import CASE_METHODS, KEY, RADIOMICS, CaseTrials
from treatment_response.evaluation.comparison.case_rules import CaseRule
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.extraction import extract_scans
from treatment_response.features.radiomics import RADIOMICS_GROUP
from treatment_response.features.scans import case_scans
from treatment_response.problems import DataProblem, Problem
from treatment_response.processes import for_each

_SOURCE = "lesion_source"
_BY = {"mask": "outlined by somebody", "subtraction": "found as new enhancement by subtraction"}
_LEAST_OF_A_CLASS = 4
"""Cases of a class that must have a lesion, so that every training half of an inner fold has some."""


def check_radiomics(classes: Classes) -> None:
    """Refuse classes that the linear SVM cannot tell apart.

    Raises:
        DataProblem: there are not two.
    """
    if len(classes.names) != 2:
        what = f"radiomics tells two classes apart, and the data set has {len(classes.names)}"
        raise DataProblem(Problem("--methods", what, f"leave out {RADIOMICS}"))


def measure_radiomics(
    dataset_dir: Path,
    content: Mapping[str, Any],
    cases: pd.DataFrame,
    overlays: Sequence[str],
    cache_dir: Path,
    workers: int,
    console: Console | None,
) -> tuple[pd.DataFrame | None, list[str]]:
    """The features of every case with a lesion, and what has to be said of them.

    Args:
        content: of ``dataset.json``. cases: that are compared.
        overlays: the system's configs; the image is their ``map_image``, else the first of a case.
        cache_dir: keeps what was measured.

    Returns:
        A table with the index ``(subject, case)`` of the cases that have a lesion; None where too few have one.

    Raises:
        DataProblem: a lesion cannot be measured; all of them are named.
    """
    wanted = set(cases[KEY].itertuples(index=False, name=None))
    entries = [one for one in content["training"] if (one["subject"], one.get("case")) in wanted and "mask" in one]
    with_lesion = pd.MultiIndex.from_tuples([(one["subject"], one["case"]) for one in entries], names=KEY)
    labels = cases.set_index(KEY)["label"].reindex(with_lesion)
    count = f"{len(cases) - len(entries)} of {len(cases)} cases without a lesion"
    if labels.nunique() < 2 or labels.value_counts().min() < _LEAST_OF_A_CLASS:
        return None, [f"{RADIOMICS}: not computed, for too few cases have the mask of a lesion ({count})."]
    image = read_configs(["train.json", *overlays]).config.get("map_image") or next(iter(entries[0]["images"]))
    scans = case_scans(dataset_dir, entries, image)
    values = extract_scans(scans, cache_dir, workers, [RADIOMICS_GROUP], console).values.droplevel("session")
    values.index = values.index.set_names(KEY)
    said = (
        f"{RADIOMICS}: {values.shape[1]} features of the lesion on the image '{image}'{_lesions(dataset_dir, wanted)}."
    )
    if len(entries) < len(cases):
        said += f" Not computed for {count}: nothing is fitted on them, and they are scored as the training median."
    return values, [said]


def _lesions(dataset_dir: Path, wanted: set[tuple[str, str]]) -> str:
    """Where the lesions come from, if the table of cases says so."""
    table = read_cases(dataset_dir)
    if _SOURCE not in table:
        return ""
    own = table[[key in wanted for key in table[KEY].itertuples(index=False, name=None)]]
    counts = Counter(own[_SOURCE].dropna())
    return "; " + ", ".join(f"{count} {_BY.get(str(source), str(source))}" for source, count in counts.items())


def radiomics_rule(
    dataset_dir: Path,
    content: Mapping[str, Any],
    cases: pd.DataFrame,
    classes: Classes,
    overlays: Sequence[str],
    cache_dir: Path,
    workers: int,
    console: Console | None,
) -> tuple[list[CaseRule], list[str]]:
    """The method, if enough cases have a lesion, and what has to be said of it; see `measure_radiomics`."""
    values, said = measure_radiomics(dataset_dir, content, cases, overlays, cache_dir, workers, console)
    if values is None:
        return [], said
    answers = partial(radiomics_predictions, classes=classes, features=values, workers=workers, console=console)
    return [CaseRule(RADIOMICS, CASE_METHODS[RADIOMICS], answers, values.shape[1])], said


def radiomics_predictions(
    trials: CaseTrials, role: str, classes: Classes, features: pd.DataFrame, workers: int, console: Console | None
) -> pd.DataFrame:
    """The held-out predictions of the radiomics model: rows of ``predictions.csv``.

    Nothing of a held-out patient, or of a case without a lesion, reaches the fit.

    Args:
        features: of `measure_radiomics`.
    """
    fit = partial(_fitted, cases=trials.cases, features=features)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None, transient=True) as bar:
        task = bar.add_task(f"{RADIOMICS} {trials.name}".strip(" ,"), total=len(trials.splits))
        found = for_each(fit, trials.splits, workers, [__name__], lambda done, _: bar.update(task, completed=done))
    parts = []
    for split, p in zip(trials.splits, found, strict=True):
        probabilities = dict(zip(classes.columns, (1 - p, p), strict=True))
        held_out = split.held_out_lesions(trials.cases)
        parts.append(held_out.assign(method=RADIOMICS, model=split.trial, role=role, **probabilities))
    return pd.concat(parts, ignore_index=True)


def _fitted(split: Split, cases: pd.DataFrame, features: pd.DataFrame) -> NDArray[np.float64]:
    """P(second class) of the held-out cases of a split, ``(N,)``."""
    training, held_out = split.training(cases), split.held_out_lesions(cases)
    training = training[pd.MultiIndex.from_frame(training[KEY]).isin(features.index)]
    with threadpool_limits(1):
        model = build(RADIOMICS_GROUP, split.seed)
        model.fit(_rows(features, training), training["label"].to_numpy())
        p: NDArray[np.float64] = model.predict_proba(_rows(features, held_out))[:, 1]
    return p


def _rows(features: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The features of some cases, with the person as ``subject``; of cases without a lesion they are missing."""
    rows = features.reindex(pd.MultiIndex.from_frame(cases[KEY]))
    rows.index = pd.MultiIndex.from_arrays([persons_of(cases), cases["case"]], names=KEY)
    return rows
