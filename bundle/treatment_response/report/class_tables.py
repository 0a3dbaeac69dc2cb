"""Tables of a report on any classes: spread over folds, calibration, recalls of every method, leaks, far misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.class_calibration import CALIBRATION_WORDS
from treatment_response.metrics.class_intervals import ALL_CLASSES, METRIC_NAMES, spread_over_models
from treatment_response.metrics.ordinal import far_misses, far_words
from treatment_response.report.case_inputs import CaseComparisonInputs, CaseReportInputs
from treatment_response.report.shown import Row, ShownTable, interval, mean_and_sd, number

MOST_MISSES = 40
"""Cases that a page lists; the CSV has all."""


def folds_table(inputs: CaseReportInputs, notes: Sequence[str]) -> ShownTable:
    """Each score inside each fold: mean ± SD, median and the values; without rows for one fitted network."""
    rows: list[Row] = []
    if inputs.predictions is not None and inputs.primary is not None and "model" in inputs.predictions:
        own = inputs.predictions[inputs.predictions["role"] == inputs.primary[0]]
        found = spread_over_models(own, inputs.classes) if own["model"].nunique() > 1 else {}
        primary = inputs.classes.primary_metric
        for name in sorted(found, key=lambda score: score != primary):
            one = found[name]
            values = ", ".join(number(value) for value in one["values"])
            rows.append((METRIC_NAMES[name], mean_and_sd(one), number(one["median"]), values))
    said = "A spread over folds is no interval: folds share training patients. A median over folds never stands alone."
    heads = ("", "mean ± SD", "median", "each fold")
    return ShownTable("network_folds", "The network, fold by fold", heads, rows, (*notes, said))


def calibration_table(calibration: Mapping[str, Any], cases: str, notes: Sequence[str]) -> ShownTable:
    """Slope, intercept and error of each class's probability.

    Args:
        calibration: of `calibration_by_class`.
    """
    rows: list[Row] = []
    for name, found in calibration.items():
        if found is None:
            rows.append((name, f"no {cases} of the class, or of others", "", ""))
        else:
            rows.append(
                (name, interval(found["slope"]), interval(found["intercept"], sign=True), number(found["error"], 3))
            )
    heads = ("class against the rest", "slope", "intercept, slope 1", "error")
    title = "Calibration of the network, class by class"
    return ShownTable("network_calibration", title, heads, rows, (*notes, CALIBRATION_WORDS))


def far_misses_table(inputs: CaseReportInputs, notes: Sequence[str]) -> ShownTable | None:
    """Cases of the worst class that the network calls much better; None for classes without an order."""
    if inputs.primary is None or not inputs.classes.order or len(inputs.classes.order) < 3:
        return None
    found = far_misses(inputs.primary[1], inputs.classes)
    worst = inputs.classes.order[-1]
    total = int((inputs.primary[1]["label"] == inputs.classes.names.index(worst)).sum())
    rows = [
        (one["subject"], one["case"], one["called"], number(one["p_called"]), number(one["p_truth"]))
        for one in found[:MOST_MISSES]
    ]
    left = [f"The other {len(found) - MOST_MISSES} are in the CSV."] if len(found) > MOST_MISSES else []
    title = f"{far_words(inputs.classes)}: {len(found)} of {total} {inputs.words.cases}"
    heads = ("subject", inputs.words.case, "called", "P(called)", f"P({worst})")
    return ShownTable("far_misses", title, heads, rows, (*notes, *left), pd.DataFrame(found) if found else None)


def recalls_table(one: CaseComparisonInputs, notes: Sequence[str]) -> ShownTable:
    """The primary metric of every method, over patients and over folds, and the recall of each class."""
    scores, classes = pd.DataFrame(one.table["scores"]), one.table["classes"]
    leaking = one.table.get("leaking", [])
    primary = classes["primary_metric"]
    rows: list[Row] = []
    if len(classes["names"]) > 2 and "median" in scores:
        for method, mine in scores[~scores["method"].isin(leaking)].groupby("method", sort=False):
            cell = {(row["class"], row["score"]): row for row in mine.to_dict("records")}
            overall = cell[ALL_CLASSES, primary]
            recalls = [number(cell[name, "recall"]["estimate"]) for name in classes["names"]]
            spread = (mean_and_sd(overall), number(overall["median"]))
            rows.append((one.label(method), interval(overall), *spread, *recalls, str(int(overall["cases"]))))
    heads = ("method", METRIC_NAMES[primary], "mean ± SD over splits", "median")
    recall_heads = [f"recall {name}" for name in classes["names"]]
    said = "Chance is one over the number of classes. The rules are what a network must beat."
    title = "Rules and networks: the primary metric and each class"
    return ShownTable(f"{one.key}_recalls", title, (*heads, *recall_heads, "n"), rows, (*notes, said))


def leaks_table(one: CaseComparisonInputs, notes: Sequence[str]) -> ShownTable:
    """What each leak is worth, between the scores of the two protocols; without rows where none was measured."""
    scores = pd.DataFrame(one.table["scores"])
    rows: list[Row] = []
    for leak in one.table.get("leaks", []):
        overall = scores[(scores["class"] == ALL_CLASSES) & (scores["score"] == leak["metric"])].set_index("method")
        first, second = (interval(overall.loc[leak[side]].to_dict()) for side in ("with", "without"))
        worth = interval(leak["interval"], digits=3, sign=True)
        rows.append((leak["what"], f"{first}\n{leak['with']}", f"{second}\n{leak['without']}", worth))
    said = "The same cases, scored by networks of both protocols; above 0 the leak makes the network look better."
    why = dict.fromkeys(leak["why"] for leak in one.table.get("leaks", []))
    heads = ("leak", "with it", "without it", "difference over patients, 95 %")
    title = "What the leaks of the published protocol are worth"
    return ShownTable(f"{one.key}_leaks", title, heads, rows, (*notes, *why, said))
