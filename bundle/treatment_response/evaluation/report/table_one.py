"""The paper's Table 1 with intervals, from a finished comparison; differences, leak and null check beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.metrics import ROLES
from treatment_response.evaluation.report.results import ComparisonInputs
from treatment_response.evaluation.report.shown import Row, ShownTable, interval, known, number, spread
from treatment_response.evaluation.report.tables import METHOD_NAMES, METRIC_NAMES

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


def differences_table(comparison: ComparisonInputs) -> ShownTable | None:
    """AUC differences to the reference method on the same patients, with Nadeau and Bengio's second opinion."""
    order = {role: place for place, role in enumerate(roles_of(comparison))}
    entries = sorted(comparison.table["differences"], key=lambda entry: order.get(entry["role"], len(order)))
    if not entries:
        return None
    rows = [
        (
            f"{method_name(entry['method'])} − {method_name(entry['minus'])}",
            ROLES[entry["role"]],
            interval(entry["auc"], sign=True),
            _second(entry.get("nadeau_bengio")),
        )
        for entry in entries
    ]
    data = pd.DataFrame(
        [
            {key: entry[key] for key in ("method", "minus", "role")}
            | {key: entry["auc"][key] for key in ("estimate", "low", "high", "patients")}
            | {f"nadeau_bengio_{key}": value for key, value in (entry.get("nadeau_bengio") or {}).items()}
            for entry in entries
        ]
    )
    notes = [
        "Second column of numbers: corrected resampled t-interval over the trials (Nadeau and Bengio 2003). Where the "
        "two disagree, neither shows a difference. No correction for several comparisons was made.",
        *comparison.table["notes"],
    ]
    columns = ("AUC difference", "scored on", "95 % interval over patients", "Nadeau–Bengio 95 % interval")
    caption = f"Paired differences in AUC on the same lesions; {comparison.title}."
    return ShownTable(f"{comparison.key}_differences", caption, columns, rows, notes, data)


def leak_table(comparison: ComparisonInputs) -> ShownTable | None:
    """(i) − (ii): what scoring MRI 2 of the training lesions adds to the AUC of the same fitted models."""
    leaks: Mapping[str, Mapping[str, Any]] = comparison.table["leak"]
    if not leaks:
        return None
    rows = [(method_name(method), interval(entry, sign=True)) for method, entry in leaks.items()]
    data = pd.DataFrame(
        [
            {"method": m, **{key: entry[key] for key in ("estimate", "low", "high", "patients")}}
            for m, entry in leaks.items()
        ]
    )
    caption = f"What the leak is worth: AUC (i) − (ii) inside the same fitted models; {comparison.title}."
    columns = ("method", "(i) − (ii), 95 % interval over patients")
    return ShownTable(f"{comparison.key}_leak", caption, columns, rows, comparison.table["notes"], data)


def null_table(comparison: ComparisonInputs) -> ShownTable | None:
    """Mean AUC with labels dealt out anew, patient by patient: should be 0.5."""
    entries: Sequence[Mapping[str, Any]] = comparison.table["null_check"]
    if not entries:
        return None
    words = {True: "yes", False: "NO", None: "not known"}
    rows = [
        (
            method_name(entry["method"]),
            number(entry["mean"], 3),
            number(entry["se"], 3),
            str(entry["shuffles"]),
            words[entry["within_3_se"]],
        )
        for entry in entries
    ]
    columns = ("method", "mean AUC", "standard error", "shuffles", "0.5 within 3 SE")
    few = min(int(entry["shuffles"]) for entry in entries)
    notes = ["Labels were shuffled by patient with seeds fixed beforehand; AUC (iii) inside each trial, then the mean."]
    notes += [f"Only {few} shuffles: at least 20 make a check."] if few < 20 else []
    caption = f"Null check with shuffled labels; {comparison.title}."
    name = f"{comparison.key}_null_check"
    return ShownTable(
        name,
        caption,
        columns,
        rows,
        [*notes, *comparison.table["notes"]],
        pd.DataFrame(list(entries)),
    )


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


def _second(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "not applicable (trained on)"
    if not known(entry["p"]):
        return "undefined"
    return f"{interval(entry, centre='mean', sign=True)}, p = {entry['p']:.2f}"
