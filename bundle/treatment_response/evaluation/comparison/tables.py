"""A comparison as tables: for a spreadsheet, and on a screen."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from treatment_response.evaluation.comparison.statistics import SCORES
from treatment_response.evaluation.metrics import ROLES

PAPER = {
    "radiomics": {
        "sensitivity": "0.503 ± 0.271",
        "specificity": "0.745 ± 0.128",
        "accuracy": "0.696 ± 0.107",
        "auc": "0.748 ± 0.143",
        "precision": "0.344 ± 0.197",
        "f1": "0.389 ± 0.193",
    },
    "gradient": {
        "sensitivity": "0.779 ± 0.267",
        "specificity": "0.723 ± 0.133",
        "accuracy": "0.733 ± 0.112",
        "auc": "0.826 ± 0.111",
        "precision": "0.434 ± 0.186",
        "f1": "0.541 ± 0.187",
    },
    "cnn": {
        "sensitivity": "0.877 ± 0.045",
        "specificity": "0.738 ± 0.39",
        "accuracy": "0.807 ± 0.027",
        "auc": "0.844 ± 0.03",
        "precision": "0.771 ± 0.027",
        "f1": "0.820 ± 0.027",
    },
}
"""Table 1 of arXiv 2506.17536 as printed; the class counted as positive is not stated there."""


def notes(synthetic: bool, lesions: pd.DataFrame, protocol: str) -> list[str]:
    """What has to be said under every table."""
    rarer = int(lesions["label"].value_counts().min())
    found = [
        "Research use only.",
        f"{len(lesions)} lesions of {lesions['subject'].nunique()} patients, {rarer} of the rarer class: small "
        "differences cannot be told apart; read the intervals.",
        "mean ± SD is the spread over splits, not an interval; intervals resample patients (95 %).",
        "The paper's column is its Table 1 as printed: other patients, network scored on MRI 2 of lesions trained on.",
    ]
    if protocol == "A":
        found.append(
            "Protocol A: every lesion was trained on, nothing is held out; the trials differ in their seeds only."
        )
    if synthetic:
        found.append("Synthetic data. Rankings on synthetic data reflect its design.")
    return found


def csv_text(table: pd.DataFrame, said: Iterable[str]) -> str:
    """``table.csv``: the scores with the paper's column; the notes as comment lines that start with ``#``."""
    paper = [
        PAPER.get(method, {}).get(score, "") if finding == "response" else ""
        for method, score, finding in zip(table["method"], table["score"], table["finding"], strict=True)
    ]
    buffer = io.StringIO()
    table.assign(paper=paper).to_csv(buffer, index=False, float_format="%.6g")
    return buffer.getvalue() + "".join(f"# {note}\n" for note in said)


def show(content: Mapping[str, Any], table: pd.DataFrame, console: Console) -> None:
    """Print the scores for response per role, then differences, the leak and the null check, each with the notes."""
    said = "\n".join(content["notes"])
    for role in [role for role in reversed(ROLES) if role in set(table["role"])]:
        rows = table[(table["role"] == role) & (table["finding"] == "response")]
        shown = Table(
            "", show_lines=True, title=f"{ROLES[role]}, finding: response", caption=said, caption_justify="left"
        )
        methods = list(rows["method"].drop_duplicates())
        for method in methods:
            shown.add_column(f"{method}\nspread over splits\npatients' interval", no_wrap=True)
            if method in PAPER:
                shown.add_column("paper")
        for score in SCORES:
            cells = []
            for method in methods:
                row = rows[(rows["method"] == method) & (rows["score"] == score)].iloc[0]
                cells.append(f"{row['mean']:.3f} ± {row['sd']:.3f}\n{_interval(row)}")
                cells += [PAPER[method].get(score, "")] if method in PAPER else []
            shown.add_row("AUC" if score == "auc" else score, *cells)
        console.print(shown)
    if content["differences"] or content["leak"]:
        console.print(_differences(content, said))
    if content["null_check"]:
        console.print(_null(content, said))


def _differences(content: Mapping[str, Any], said: str) -> Table:
    shown = Table("AUC", "role", "patients' interval", "Nadeau–Bengio", caption=said, caption_justify="left")
    for entry in content["differences"]:
        second = entry.get("nadeau_bengio")
        name = f"{entry['method']} − {entry['minus']}"
        shown.add_row(name, entry["role"], _interval(entry["auc"]), _second(second) if second else "")
    for method, entry in content["leak"].items():
        shown.add_row(f"{method}: (i) − (ii)", "the leak", _interval(entry), "")
    return shown


def _null(content: Mapping[str, Any], said: str) -> Table:
    shown = Table(
        "shuffled labels", "mean AUC", "SE", "shuffles", "0.5 within 3 SE", caption=said, caption_justify="left"
    )
    words = {True: "yes", False: "NO", None: "not known"}
    for entry in content["null_check"]:
        numbers = ["" if entry[key] is None else f"{entry[key]:.3f}" for key in ("mean", "se")]
        shown.add_row(entry["method"], *numbers, str(entry["shuffles"]), words[entry["within_3_se"]])
    return shown


def _interval(row: Mapping[str, Any]) -> str:
    if row["estimate"] is None or pd.isna(row["estimate"]):
        return "undefined"
    return f"{row['estimate']:.3f} \\[{row['low']:.3f}, {row['high']:.3f}]"


def _second(entry: Mapping[str, Any]) -> str:
    if entry["p"] is None:
        return "undefined"
    return f"{entry['mean']:.3f} \\[{entry['low']:.3f}, {entry['high']:.3f}], p = {entry['p']:.2f}"
