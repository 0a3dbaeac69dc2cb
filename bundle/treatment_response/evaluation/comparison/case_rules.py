"""The methods of a comparison of cases that train no network, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.classes import Classes
from treatment_response.evaluation.comparison.case_methods import (
    CASE_METHODS,
    EACH,
    FEATURES,
    PREVALENCE,
    VOLUME_RULES,
    VOLUMES,
    CaseTrials,
    computed,
    read_features,
    table_predictions,
)
from treatment_response.evaluation.comparison.volume_rules import (
    RULES,
    VolumeRule,
    check_categories,
    not_computed,
    read_volumes,
    rule_answers,
    volume_columns,
    with_volumes,
)
from treatment_response.features.column_labels import column_label


@dataclass(frozen=True)
class CaseRule:
    """A method that trains no network.

    Attributes:
        name: in tables. meaning: what it is, for readers.
        predictions: of trials and ``role=``, rows of ``predictions.csv``; cases that it cannot answer for have none.
        candidates: how many features it may choose from; None: it fits none.
        label: what readers of a report see in the place of the name; empty: the name.
    """

    name: str
    meaning: str
    predictions: Callable[..., pd.DataFrame]
    candidates: int | None = None
    label: str = ""


def case_rules(
    methods: Sequence[str],
    features: Sequence[str],
    dataset_dir: Path,
    cases: pd.DataFrame,
    classes: Classes,
    labels: Mapping[str, str] | None = None,
) -> tuple[list[CaseRule], list[str]]:
    """The rules among some methods, and sentences on what is not computed for all cases.

    Args:
        methods: of `CASE_METHODS`. features: columns for ``features`` and ``each``. cases: that are compared.
        labels: of columns, that the data set brings.

    Raises:
        DataProblem: a column is not there, or the volume rules do not answer in these classes.
    """
    columns, sentences = computed(read_features(dataset_dir, features), cases)
    found: list[CaseRule] = []

    def add_regression(name: str, meaning: str, looked_at: pd.DataFrame | None, label: str = "") -> None:
        answers = partial(table_predictions, classes=classes, method=name, features=looked_at)
        found.append(CaseRule(name, meaning, answers, None if looked_at is None else looked_at.shape[1], label))

    for method in methods:
        if method == PREVALENCE:
            add_regression(method, CASE_METHODS[method], None)
        elif method == FEATURES:
            add_regression(method, CASE_METHODS[method], columns)
        elif method == EACH:
            for name in columns:
                label = f"{column_label(str(name), more=labels)} (alone)"
                add_regression(f"{name} alone", CASE_METHODS[method].split(";")[0] + ".", columns[[name]], label)
        elif method == VOLUME_RULES:
            rules, gaps = _volume_rules(dataset_dir, cases, classes)
            found += rules
            sentences += gaps
        elif method == VOLUMES:
            rules, gaps = _volume_regression(dataset_dir, cases, classes)
            found += rules
            sentences += gaps
    return found, sentences


def _volume_rules(dataset_dir: Path, cases: pd.DataFrame, classes: Classes) -> tuple[list[CaseRule], list[str]]:
    """A rule that can answer for no case is left out, and the sentence says so."""
    check_categories(classes, f"--methods {VOLUME_RULES}")
    volumes = read_volumes(dataset_dir, [name for rule in RULES for name in rule.columns])
    found: list[CaseRule] = []
    by_count: dict[int, list[str]] = {}
    for rule in RULES:
        answered = len(rule_answers(cases, classes, rule, volumes))
        by_count.setdefault(answered, []).append(rule.name)
        if answered:
            answers = partial(_from_volumes, classes=classes, rule=rule, volumes=volumes)
            found.append(CaseRule(rule.name, rule.meaning, answers))
    gaps = [not_computed(names, answered, len(cases)) for answered, names in by_count.items()]
    return found, [sentence for sentences in gaps for sentence in sentences]


def _from_volumes(
    trials: CaseTrials, role: str, classes: Classes, rule: VolumeRule, volumes: pd.DataFrame
) -> pd.DataFrame:
    answers = rule_answers(trials.cases, classes, rule, volumes)
    parts = [
        split.held_out_lesions(answers).assign(method=rule.name, model=split.trial, role=role)
        for split in trials.splits
    ]
    return pd.concat(parts, ignore_index=True)


def _volume_regression(dataset_dir: Path, cases: pd.DataFrame, classes: Classes) -> tuple[list[CaseRule], list[str]]:
    """On logarithms of 1 + mm³, so that a linear model sees ratios; of cases with all volumes alone."""
    volumes = read_volumes(dataset_dir, volume_columns())
    answered = len(with_volumes(cases, volumes))
    sentences = not_computed([VOLUMES], answered, len(cases))
    if not answered:
        return [], sentences
    answers = partial(_from_log_volumes, classes=classes, volumes=volumes.apply(np.log1p))
    return [CaseRule(VOLUMES, CASE_METHODS[VOLUMES], answers, volumes.shape[1])], sentences


def _from_log_volumes(trials: CaseTrials, role: str, classes: Classes, volumes: pd.DataFrame) -> pd.DataFrame:
    known = replace(trials, cases=with_volumes(trials.cases, volumes)[list(trials.cases)])
    return table_predictions(known, classes, VOLUMES, role, volumes, balanced=True)
