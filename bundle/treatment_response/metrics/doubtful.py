"""Lesions whose follow-up is in doubt: how many there are, and how far the AUC could move with their labels.

They have no label, so no model learns from them and no score counts them. Leaving them out can bias every number.
Their count by lesions per patient therefore stands under every table. Where they are many, the AUC is given as a range:
with all of them as non-response, and with all of them as response.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatment_response.cohort.doubtful_counts import DoubtfulCounts, count_doubtful
from treatment_response.cohort.lesion import BASELINE
from treatment_response.cohort.splits import PERSON, person_of, persons_of
from treatment_response.metrics.bootstrap import auc, patient_bootstrap
from treatment_response.metrics.intervals import Interval, ends_text
from treatment_response.metrics.scores import EXTERNAL, HELD_OUT, lesion_averages

UNLABELLED_PREDICTIONS = "unlabelled_predictions.csv"
UNLABELLED_COLUMNS = ["subject", "lesion", "session", "role", "fold", "model", "method", "p_response"]
"""Of ``unlabelled_predictions.csv``; of one network's run without ``method``."""


@dataclass(frozen=True)
class AucRange:
    """The AUC with all doubtful lesions as non-response, and with all of them as response.

    Attributes:
        scored: how many doubtful lesions are in it. doubtful: how many the data set holds.
    """

    as_non_response: Interval
    as_response: Interval
    scored: int
    doubtful: int

    @property
    def span(self) -> str:
        """The smaller AUC to the larger one."""
        low, high = (interval.estimate for _, interval in self._ends())
        return f"{_number(low)} to {_number(high)}"

    @property
    def meaning(self) -> str:
        """What the two ends of `span` are."""
        low, high = (name for name, _ in self._ends())
        few = "" if self.scored == self.doubtful else f"; {self.scored} of {self.doubtful} scored"
        return f"doubtful lesions as {low} / as {high}{few}"

    @property
    def headline(self) -> str:
        """The range in a phrase."""
        return f"AUC {self.span} ({self.meaning})"

    def _ends(self) -> list[tuple[str, Interval]]:
        ends = [("non-response", self.as_non_response), ("response", self.as_response)]
        return ends[::-1] if self.as_response.estimate < self.as_non_response.estimate else ends

    @property
    def sentence(self) -> str:
        """The range with the interval of each end."""
        return (
            f"{self.headline}; 95 % intervals over patients: {_between(self.as_non_response)} as "
            f"non-response, {_between(self.as_response)} as response."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "span": self.span,
            "meaning": self.meaning,
            "headline": self.headline,
            "sentence": self.sentence,
            "as_non_response": self.as_non_response.as_dict(),
            "as_response": self.as_response.as_dict(),
            "doubtful_scored": self.scored,
        }


def doubtful_of(content: Mapping[str, Any]) -> DoubtfulCounts:
    """Count the lesions of a prepared data set.

    Args:
        content: of ``dataset.json``.
    """
    return count_doubtful(_persons(content["training"]), _persons(content.get("unlabelled", [])))


def doubtful_beside(lesions: pd.DataFrame, content: Mapping[str, Any]) -> DoubtfulCounts:
    """`doubtful_of` where the labelled lesions stand in a table.

    Args:
        lesions: rows of ``lesions.csv``. content: of ``dataset.json``.
    """
    return count_doubtful(persons_of(lesions).tolist(), _persons(content.get("unlabelled", [])))


def auc_range(
    predictions: pd.DataFrame, unlabelled: pd.DataFrame | None, counts: DoubtfulCounts, resamples: int = 2000
) -> AucRange | None:
    """The range of one method's primary AUC, each lesion's predictions averaged over the fitted models first.

    Args:
        predictions: rows of ``predictions.csv`` of one method.
        unlabelled: the same method's rows of ``unlabelled_predictions.csv``; None if there is no such file.
        counts: of the data set. resamples: of patients, for each interval.

    Returns:
        None where the doubtful lesions are too few for a range, or where none was held out.
    """
    if not counts.many or unlabelled is None or unlabelled.empty:
        return None
    averaged = lesion_averages(predictions.assign(fold=0))
    labelled = averaged[averaged["role"].isin([HELD_OUT, EXTERNAL])]
    if labelled.empty:
        return None
    means = {"p_response": "mean", **({PERSON: "first"} if PERSON in unlabelled else {})}
    doubtful = unlabelled.groupby(["subject", "lesion"], as_index=False, sort=True).agg(means)
    as_non_response, as_response = (
        patient_bootstrap(pd.concat([labelled, doubtful.assign(label=label)], ignore_index=True), auc(), n=resamples)
        for label in (0, 1)
    )
    return AucRange(as_non_response, as_response, len(doubtful), counts.doubtful)


def auc_ranges(
    predictions: pd.DataFrame, unlabelled: pd.DataFrame | None, counts: DoubtfulCounts, resamples: int = 2000
) -> dict[str, AucRange]:
    """Method → `auc_range`, in the order of the predictions; empty where there is none.

    Args:
        predictions, unlabelled: with the column ``method``.
    """
    if unlabelled is None:
        return {}
    found = {}
    for method in predictions["method"].drop_duplicates():
        own = unlabelled[unlabelled["method"] == method]
        if (value := auc_range(predictions[predictions["method"] == method], own, counts, resamples)) is not None:
            found[str(method)] = value
    return found


def doubtful_notes(counts: DoubtfulCounts, ranges: Mapping[str, AucRange]) -> list[str]:
    """What stands under a table: where doubtful lesions are many, the range of each method first.

    Args:
        ranges: method → its range.
    """
    return [*(f"{method}: {each.sentence}" for method, each in ranges.items()), counts.note]


def doubtful_content(counts: DoubtfulCounts, found: AucRange | None) -> dict[str, Any]:
    """What ``metrics.json`` of one network says of doubtful lesions."""
    return {**counts.as_dict(), "auc": None if found is None else found.as_dict()}


def _persons(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The person of each lesion of MRI 1."""
    return [person_of(sample) for sample in samples if sample["session"] == BASELINE]


def _between(interval: Interval) -> str:
    return ends_text(interval.low, interval.high, between=" to ")


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.2f}"
