"""What a comparison of K classes says in sentences: is the network better than the rules, and what is a part worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.evaluation.comparison.case_methods import PREVALENCE
from treatment_response.evaluation.comparison.case_statistics import value_of
from treatment_response.evaluation.comparison.variants import Variants
from treatment_response.metrics.bootstrap import difference, patient_bootstrap
from treatment_response.metrics.class_intervals import ALL_CLASSES, LOWER_IS_BETTER, METRIC_NAMES, class_metric
from treatment_response.metrics.class_scores import class_averages
from treatment_response.metrics.ordinal import far_misses
from treatment_response.metrics.thresholds import held_out_decisions, operating_point
from treatment_response.protocols import Protocol

_HALF = 0.495
"""An AUC below it is shown as less than 0.50."""
_ERRORS_IN_95 = 2 * 1.959964
"""Width of a 95 % interval in standard errors."""


def headlines(
    differences: Sequence[Mapping[str, Any]], variants: Variants, rules: Sequence[str], labels: Mapping[str, str]
) -> list[str]:
    """Whether the networks are better than every rule, in sentences; the reference network first.

    Args:
        differences: of `case_statistics.differences`. rules: methods that train no network.
        labels: rule → what readers see in the place of its name.
    """
    if not rules:
        return []
    missed = {network: _missed(differences, network, rules) for network in variants.networks}
    worse, unclear = ([labels.get(rule, rule) for rule in found] for found in missed.pop(variants.reference))
    sentences = []
    if worse:
        sentences.append(f"Worse than the rule: {variants.reference} is worse than {'; '.join(worse)}.")
    if unclear:
        sentences.append(f"Not shown to be better than the rule: {variants.reference} against {'; '.join(unclear)}.")
    if not (worse or unclear):
        sentences.append(f"{variants.reference} is better than every rule.")
    if missed:
        better = [network for network, found in missed.items() if not any(found)]
        sentences.append(f"Of the other {len(missed)} networks better than every rule: {', '.join(better) or 'none'}.")
    return sentences


def _missed(
    differences: Sequence[Mapping[str, Any]], network: str, rules: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The rules that are better than a network, and those that it is not shown to be better than."""
    better = {}
    for entry in differences:
        if network in (pair := (entry["method"], entry["minus"])):
            better[pair[0] if pair[1] == network else pair[1]] = entry["better"]
    worse = [rule for rule in rules if better.get(rule) == rule]
    return worse, [rule for rule in rules if better.get(rule, network) is None]


def worths(predictions: pd.DataFrame, classes: Classes, variants: Variants) -> list[dict[str, Any]]:
    """What each part is worth: the network with it minus the one without it, both trained, on the same patients.

    Args:
        predictions: of all methods.

    Returns:
        Per entry of `Variants.worth`: ``what, with, without, metric, interval`` (over patients; above 0 is worth
        something, whichever direction the metric has) and ``sentence``.
    """
    words = ("is shown to be worth something", "is not shown to be worth anything", "is shown to do harm")
    return [_pair(predictions, classes, what, pair, words) for what, pair in variants.worth.items()]


def leaks(
    predictions: pd.DataFrame, classes: Classes, variants: Variants, protocols: Mapping[str, Protocol]
) -> list[dict[str, Any]]:
    """How much better a protocol that leaks makes the same network look, on the same cases and patients.

    Args:
        predictions: of the networks, of every protocol. protocols: network → its protocol.

    Returns:
        Per entry of `Variants.leaks` as `worths`, and ``why``: what leaks, in a sentence. Above 0 the leak flatters.
    """
    words = ("is shown to flatter", "is not shown to flatter", "is shown to look worse")
    return [
        {**_pair(predictions, classes, what, pair, words), "why": protocols[pair[0]].leak}
        for what, pair in variants.leaks.items()
    ]


def _pair(
    predictions: pd.DataFrame, classes: Classes, what: str, pair: tuple[str, str], words: tuple[str, str, str]
) -> dict[str, Any]:
    """The primary metric of one network minus that of another on the same cases; above 0 the first looks better.

    Args:
        words: for an interval above 0, one that holds 0, and one below.
    """
    name = classes.primary_metric
    one, other = class_metric(name, classes), class_metric(name, classes, "_other")
    first, second = (class_averages(predictions[predictions["method"] == each], classes) for each in pair)
    keys = [key for key in first if key not in (*classes.columns, "role", "session")]
    both = first.merge(second, on=keys, suffixes=("", "_other"))
    signed = (other, one) if name in LOWER_IS_BETTER else (one, other)
    interval = patient_bootstrap(both, difference(*signed))
    said = words[0] if interval.low > 0 else words[2] if interval.high < 0 else words[1]
    ends = f"{interval.low:+.3f} to {interval.high:+.3f}"
    return {
        "what": what,
        "with": pair[0],
        "without": pair[1],
        "metric": name,
        "interval": interval.as_dict(),
        "sentence": f"{what[0].upper()}{what[1:]} {said}: {METRIC_NAMES[name]} of {pair[0]} minus {pair[1]} "
        f"is {interval.estimate:+.3f} ({ends} over patients).",
    }


def far_misses_of(
    predictions: pd.DataFrame, classes: Classes, networks: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Network → its `far_misses`; empty for classes without an order."""
    if not classes.order:
        return {}
    return {
        name: far_misses(class_averages(predictions[predictions["method"] == name], classes), classes)
        for name in networks
    }


def prevalence_note(table: pd.DataFrame) -> list[str]:
    """Why the classes' shares have an AUC below one half, where they have; else nothing.

    Args:
        table: of `case_statistics.score_table`.
    """
    own = table[(table["method"] == PREVALENCE) & (table["class"] == ALL_CLASSES) & (table["score"] == "auc")]
    if own.empty or not own["estimate"].iloc[0] < _HALF:
        return []
    area = own["estimate"].iloc[0]
    return [
        f"{PREVALENCE} has an AUC of {area:.2f} over all patients, below 0.5, though it knows nothing. "
        "A fold that holds more of a class out leaves less of it for training, so its share is the lower the more of "
        "the held-out patients have it. Inside each fold all get one number, and the AUC is 0.5."
    ]


def seeds_spread(
    predictions: pd.DataFrame, classes: Classes, folds: int, networks: Sequence[str]
) -> list[dict[str, Any]]:
    """The primary metric of each network by the seed of its weights, pooled over the folds.

    Args:
        predictions: of trials on the data set's own folds, of which `folds` are a repeat.

    Returns:
        Per network ``method, values`` (one per repeat), ``mean, sd`` (None for one repeat), and ``share_of_error``:
        that SD over the standard error over patients of the mean of the repeats' predictions.
    """
    score = class_metric(classes.primary_metric, classes)
    found = []
    for network in networks:
        own = predictions[predictions["method"] == network]
        values = [value_of(score, rows) for _, rows in own.groupby(own["model"] // folds)]
        series = pd.Series(values)
        spread = float(series.std(ddof=1)) if len(values) > 1 else None
        share = None
        if spread is not None:
            interval = patient_bootstrap(class_averages(own, classes), score)
            error = (interval.high - interval.low) / _ERRORS_IN_95
            share = spread / error if error > 0 else None
        seeds = {"values": values, "mean": float(series.mean()), "sd": spread, "share_of_error": share}
        found.append({"method": network, **seeds})
    return found


def operating_points(predictions: pd.DataFrame, classes: Classes, fold_of: Mapping[str, int]) -> dict[str, Any]:
    """Method → sensitivity and specificity for the finding, each fold at the threshold of the other folds' patients.

    Args:
        predictions: of all methods. fold_of: subject → fold of the data set.
    """
    points = {}
    for method, own in predictions.groupby("method", sort=False):
        averaged = class_averages(own, classes)
        decided = held_out_decisions(averaged.assign(fold=averaged["subject"].map(fold_of)), classes)
        if decided is not None:
            points[str(method)] = operating_point(decided, classes)
    return points
