"""A comparison on a screen of 100 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from treatment_response.classes import classes_of
from treatment_response.evaluation.comparison.pairs import shown_pairs
from treatment_response.evaluation.comparison.run import Result
from treatment_response.evaluation.comparison.statistics import SCORES, higher_of
from treatment_response.evaluation.comparison.tables import PAPER, RESEARCH, SYNTHETIC
from treatment_response.evaluation.training_gap import GAP_PARTS
from treatment_response.metrics.class_intervals import ALL_CLASSES, METRIC_NAMES, metric_names
from treatment_response.metrics.intervals import ends_text
from treatment_response.metrics.scores import ROLES

HEADINGS = {
    "sensitivity": "sens.",
    "specificity": "spec.",
    "accuracy": "acc.",
    "auc": "AUC",
    "precision": "prec.",
    "f1": "F1",
    "brier": "Brier",
}


def show(result: Result, console: Console) -> None:
    """Print the scores for response per role, then differences, training gaps, the null check and the notes.

    Where many lesions have no label, each method's range of the AUC comes first.
    """
    table, content = result
    said = _said(content)
    if content["doubtful"]["auc"]:
        console.print(_ranges(content["doubtful"], said), "")
    for number, role in enumerate(role for role in reversed(ROLES) if role in set(table["role"])):
        rows = table[(table["role"] == role) & (table["finding"] == "response")]
        console.print(_scores(ROLES[role], rows, said, paper=number == 0), "")
    console.print(_calibration(content, said), "")
    if content["differences"]:
        console.print(_differences(content, said), "")
    if content["training_gap"]:
        console.print(_training_gaps(content, said), "")
    if content["null_check"]:
        console.print(_null(content, said), "")
    for note in content["notes"]:
        console.print(f"- {escape(note)}", highlight=False)


def show_cases(result: Result, console: Console) -> None:
    """Print the scores over all classes, the differences, the null check and the notes."""
    table, content = result
    said, primary = _said(content), content["classes"]["primary_metric"]
    if len(content["classes"]["names"]) > 2:
        console.print(_primary_and_recalls(table, content, said), "")
    else:
        console.print(_class_scores(table, content, said), "")
    if content["differences"]:
        paired = _table(f"Differences of {METRIC_NAMES[primary]}", said)
        for heading in ("", "patients, 95 %", "Nadeau–Bengio over the trials", "better"):
            paired.add_column(heading)
        shown_entries, left = shown_pairs(content["differences"])
        for entry in shown_entries:
            name, better = f"{entry['method']} − {entry['minus']}", entry["better"] or "no order shown"
            paired.add_row(name, _interval(entry["interval"]), _second(entry["nadeau_bengio"]), better)
        console.print(paired, *left, "")
    if content["null_check"]:
        console.print(_null(content, said), "")
    for note in content["notes"]:
        console.print(f"- {escape(note)}", highlight=False)


def _primary_and_recalls(table: pd.DataFrame, content: Mapping[str, Any], said: str) -> Table:
    """Of many classes: the primary metric of each method and the recall of each class; a file has the other scores."""
    names, primary = content["classes"]["names"], content["classes"]["primary_metric"]
    shown = _table(f"{content['role']}; all scores are in table.csv", said)
    shown.add_column("method")
    shown.add_column(f"{METRIC_NAMES[primary]}\n\\[patients, 95 %]", no_wrap=True)
    for heading in ("mean ± SD\nof splits", "median", *(f"recall\n{name}" for name in names)):
        shown.add_column(heading, no_wrap=True)
    for method, mine in table[~table["method"].isin(content["leaking"])].groupby("method", sort=False):
        row = {(one["class"], one["score"]): one for one in mine.to_dict("records")}
        overall = row[ALL_CLASSES, primary]
        spread = f"{_number(overall['mean'])} ± {_number(overall['sd'])}"
        recalls = [_number(row[name, "recall"]["estimate"]) for name in names]
        shown.add_row(str(method), _interval(overall), spread, _number(overall["median"]), *recalls)
    return shown


def _class_scores(table: pd.DataFrame, content: Mapping[str, Any], said: str) -> Table:
    """Every score over all classes, the primary one first."""
    primary = content["classes"]["primary_metric"]
    scores = sorted(metric_names(classes_of(content["classes"])), key=lambda name: name != primary)
    shown = _table(content["role"], said)
    shown.add_column("method", no_wrap=True)
    for score in scores:
        shown.add_column(
            f"{METRIC_NAMES[score]}{', primary' if score == primary else ''}\n\\[patients]\n± SD of splits"
        )
    overall = table[(table["class"] == ALL_CLASSES) & ~table["method"].isin(content["leaking"])]
    for method, mine in overall.groupby("method", sort=False):
        rows = {row["score"]: row for row in mine.to_dict("records")}
        cells = [
            f"{_interval(rows[score])}\n{_number(rows[score]['mean'])} ± {_number(rows[score]['sd'])}"
            for score in scores
        ]
        shown.add_row(str(method), *cells)
    return shown


def show_thresholds(results: Mapping[float, Result], console: Console) -> None:
    """Print the primary AUC of every method for several definitions of response."""
    first_table, first = next(iter(results.values()))
    shown = _table("AUC over patients, by loss of volume that counts as response", _said(first))
    shown.add_column("method")
    roles = {}
    for threshold, (table, _) in results.items():
        roles[threshold] = next(role for role in reversed(ROLES) if role in set(table["role"]))
        shown.add_column(f"{threshold:.0%}")
    primary = first_table[first_table["role"] == next(iter(roles.values()))]
    for method in primary["method"].drop_duplicates():
        cells: list[str] = []
        for threshold, (table, _) in results.items():
            mine = (table["method"] == method) & (table["role"] == roles[threshold]) & (table["score"] == "auc")
            cells.append(_interval(table[mine & (table["finding"] == "response")].iloc[0]))
        shown.add_row(method, *cells)
        ranges = [content["doubtful"]["auc"].get(method) for _, content in results.values()]
        if any(ranges):
            shown.add_row("  range", *("" if each is None else each["headline"] for each in ranges), style="bold")
    console.print(shown)
    console.print(f"- {escape(first['doubtful']['note'])}", highlight=False)


def _table(title: str, said: str) -> Table:
    return Table(
        title=title,
        caption=said,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _ranges(doubtful: Mapping[str, Any], said: str) -> Table:
    shown = _table("Headline: the AUC over patients as a range, since many lesions have no label", said)
    for heading in ("method", "range", "as non-response", "as response"):
        shown.add_column(heading)
    for method, each in doubtful["auc"].items():
        ends = [_interval(each[name]) for name in ("as_non_response", "as_response")]
        shown.add_row(method, escape(each["headline"]), *ends)
    return shown


def _scores(title: str, rows: pd.DataFrame, said: str, paper: bool) -> Table:
    shown = _table(f"{title}; finding: response", said)
    shown.add_column("method", no_wrap=True)
    shown.add_column("AUC\n\\[patients, 95 %]", no_wrap=True)
    for score in SCORES:
        shown.add_column(f"{HEADINGS[score]}\n± SD", no_wrap=True)
    for method in rows["method"].drop_duplicates():
        mine = rows[rows["method"] == method].set_index("score")
        cells = [f"{_number(mine.loc[score, 'mean'])}\n± {_number(mine.loc[score, 'sd'])}" for score in SCORES]
        shown.add_row(method, _interval(mine.loc["auc"], "\n"), *cells)
        if paper and method in PAPER:
            printed = [PAPER[method].get(score, "").replace(" ± ", "\n± ") for score in SCORES]
            shown.add_row("  paper", "", *printed, style="dim")
    return shown


def _differences(content: Mapping[str, Any], said: str) -> Table:
    shown = _table("Differences of AUC", said)
    for heading in ("", "role", "patients, 95 %", "Nadeau–Bengio over the trials", "higher"):
        shown.add_column(heading)
    for entry in content["differences"]:
        second = entry.get("nadeau_bengio")
        name = f"{entry['method']} − {entry['minus']}"
        higher = higher_of(entry) or "no order shown"
        shown.add_row(name, entry["role"], _interval(entry["auc"]), _second(second) if second else "", higher)
    return shown


def _training_gaps(content: Mapping[str, Any], said: str) -> Table:
    shown = _table("AUC, training minus held-out: (i) − (ii) in the same fitted models", said)
    for heading in ("method", "true labels", "shuffled labels", "what recognising a lesion is worth"):
        shown.add_column(heading)
    for method, gap in content["training_gap"].items():
        ends = ("not computed" if gap[name] is None else _interval(gap[name]) for name in GAP_PARTS)
        shown.add_row(method, *ends)
    return shown


def _calibration(content: Mapping[str, Any], said: str) -> Table:
    shown = _table("Calibration of single models, 95 % over patients", said)
    for heading in ("method", "slope", "intercept, slope 1", "Brier", "prevalence's"):
        shown.add_column(heading)
    for method, scores in content["calibration"].items():
        cells = [_interval(scores[name]) for name in ("slope", "intercept", "brier")]
        shown.add_row(method, *cells, _number(scores["brier_of_prevalence"]["estimate"]))
    return shown


def _null(content: Mapping[str, Any], said: str) -> Table:
    shown = _table("Shuffled labels: mean AUC ± SE, and whether 0.5 is within 3 SE", said)
    for heading in ("method", "inside each trial", "", "pooled over the trials", "", "shuffles", "shown before"):
        shown.add_column(heading)
    words = {True: "yes", False: "NO", None: "not known"}
    for entry in content["null_check"]:
        cells: list[str] = []
        for prefix in ("", "pooled_"):
            mean, se, fine = (entry[f"{prefix}{key}"] for key in ("mean", "se", "within_3_se"))
            cells += [f"{_number(mean)} ± {_number(se)}", words[fine]]
        shown.add_row(entry["method"], *cells, str(entry["shuffles"]), str(entry["earlier"]))
    return shown


def _said(content: Mapping[str, Any]) -> str:
    return f"{RESEARCH} {SYNTHETIC}" if content["synthetic"] else RESEARCH


def _number(value: Any) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.3f}"


def _interval(row: Mapping[Any, Any] | pd.Series, between: str = " ") -> str:
    if row["estimate"] is None or pd.isna(row["estimate"]):
        return "undefined"
    return f"{row['estimate']:.3f}{between}\\[{ends_text(row['low'], row['high'], '.3f')}]"


def _second(entry: Mapping[str, Any]) -> str:
    if entry["p"] is None:
        return "undefined"
    return f"{entry['mean']:.3f} \\[{entry['low']:.3f}, {entry['high']:.3f}], p {_p(entry['p'])}"


def _p(value: float) -> str:
    return "< 0.01" if value < 0.01 else f"= {value:.2f}"
