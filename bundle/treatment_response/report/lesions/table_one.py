"""The paper's Table 1 with intervals, from a finished comparison, and its primary AUC over several comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.metrics.scores import ROLES
from treatment_response.report.lesions.comparisons import ComparisonInputs
from treatment_response.report.lesions.tables import METHOD_NAMES, METRIC_NAMES
from treatment_response.report.shown import Row, ShownTable, interval, spread

FINDINGS = ("response", "non-response")
BASELINE_NOTE = "“Size only” and “clinical only” look at no picture: what does not beat them has found nothing new."


def method_name(method: str) -> str:
    """A method's name for readers."""
    return METHOD_NAMES.get(method, method)


def roles_of(comparison: ComparisonInputs) -> list[str]:
    """The roles that were scored, the primary one first."""
    present = set(comparison.scores()["role"])
    return [role for role in reversed(ROLES) if role in present]


def primary_methods(comparison: ComparisonInputs) -> list[str]:
    """The methods that were scored in the primary role; those that see MRI 2 too are not among them."""
    scores = comparison.scores()
    return list(scores.loc[scores["role"] == roles_of(comparison)[0], "method"].drop_duplicates())


def table_one(comparison: ComparisonInputs, role: str, finding: str) -> ShownTable:
    """Methods in rows, each with the paper's values under its own; the six metrics and the Brier score in columns.

    A cell holds mean ± SD over the splits and, below, the estimate on each lesion's averaged prediction with its 95 %
    interval over patients.
    """
    scores = comparison.scores()
    mine = scores[(scores["role"] == role) & (scores["finding"] == finding)]
    paper: Mapping[str, Mapping[str, str]] = comparison.table["paper"]
    rows: list[Row] = []
    for method in mine["method"].drop_duplicates():
        part = mine[mine["method"] == method].set_index("score")
        cells = [_cell(part.loc[score]) if score in part.index else "" for score in METRIC_NAMES]
        rows.append((method_name(method), *cells))
        if method in paper and finding == "response":
            printed = [paper[method].get(score, "") for score in METRIC_NAMES]
            rows.append((f"the paper: {method_name(method)}", *printed))
    data = mine.assign(
        paper=[
            paper.get(m, {}).get(s, "") if finding == "response" else ""
            for m, s in zip(mine["method"], mine["score"], strict=True)
        ]
    )
    counts = f"{int(mine['lesions'].max())} lesions of {int(mine['patients'].max())} patients"
    notes = [
        f"Positive class: {finding}. Sensitivity is the share of {finding} lesions called so at P(response) "
        f"{'≥' if finding == 'response' else '<'} 0.5. The paper does not say which class its sensitivity refers to.",
        "First line: mean ± SD over the splits (trials in which the score is defined). Second line: each lesion’s "
        "predictions averaged over the trials, then a 95 % interval over resampled patients.",
        "Rows “the paper: …” hold its Table 1 as printed, for the method above them.",
        BASELINE_NOTE,
        *comparison.table["notes"],
    ]
    caption = f"Table 1, {ROLES[role]}; finding: {finding}; {counts}; {comparison.title}."
    name = f"{comparison.key}_table_1_{role}_{finding.replace('-', '_')}"
    return ShownTable(name, caption, ("method", *METRIC_NAMES.values()), rows, notes, data)


def overview_table(comparisons: Sequence[ComparisonInputs]) -> ShownTable | None:
    """The primary AUC of every method in several comparisons side by side; None for one."""
    if len(comparisons) < 2:
        return None
    methods = list(dict.fromkeys(method for one in comparisons for method in primary_methods(one)))
    # Comparisons of the same data, threshold and protocol have one title; their folders tell them apart.
    titles = [one.title for one in comparisons]
    heads = {one.key: one.title if titles.count(one.title) == 1 else f"{one.title} ({one.key})" for one in comparisons}
    parts = []
    for one in comparisons:
        scores = one.scores()
        mine = scores[
            (scores["role"] == roles_of(one)[0]) & (scores["finding"] == "response") & (scores["score"] == "auc")
        ]
        parts.append(mine.assign(comparison=heads[one.key]))
    data = pd.concat(parts, ignore_index=True)
    rows: list[Row] = []
    for method in methods:
        cells = []
        for one in comparisons:
            found = data[(data["comparison"] == heads[one.key]) & (data["method"] == method)]
            cells.append(interval(found.to_dict("records")[0]) if len(found) else "not run")
        rows.append((method_name(method), *cells))
    notes = [
        "AUC of the primary role, [95 % interval over patients]. Another threshold means other labels: columns differ "
        "in the question, not only in the answer.",
        *dict.fromkeys(note for one in comparisons for note in one.table["notes"]),
    ]
    caption = "AUC in every comparison, each lesion’s predictions averaged over the trials."
    return ShownTable("overview", caption, ("method", *heads.values()), rows, notes, data)


def _cell(row: Mapping[str, Any]) -> str:
    return f"{spread(row['mean'], row['sd'])}\n{interval(row)}"
