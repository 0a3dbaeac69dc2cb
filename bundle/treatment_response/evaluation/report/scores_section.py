"""The page's sections on scored explanations and on the ablation."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from treatment_response.evaluation.figures.scores import ablation_bars, score_bars
from treatment_response.evaluation.report.results import Scores
from treatment_response.evaluation.report.shown import Figures, Row, ShownTable, interval, known

SYNTHETIC_NOTE = "Synthetic data. Rankings on synthetic data reflect its design."
CONTROLS_NOTE = "Controls: what a map gets without the trained model. A map explains only what it adds over them."


def explanation_tables(scores: Scores, synthetic: bool) -> list[ShownTable]:
    """One table per measure: every map and control with its interval, and a sentence on what the measure means."""
    tables = []
    for measure, part in scores.table.groupby("measure", sort=False):
        first = part.iloc[0]
        better, chance, about = _text(first["better"]), _number(first["chance"]), _text(first["about"])
        rows = [
            (
                str(row["map"]),
                str(row["kind"]),
                interval(row, centre="mean"),
                f"{row['patients']:.0f}",
                f"{row['lesions']:.0f}",
            )
            for row in part.to_dict("records")
        ]
        notes = [about] if about else []
        notes += [f"{better.capitalize()} is better."] if better else []
        notes += [f"A map without information gets {chance:g}."] if chance is not None else []
        notes += [CONTROLS_NOTE] if (part["kind"] == "control").any() else []
        notes += ["Research use only.", *scores.notes, *([SYNTHETIC_NOTE] if synthetic else [])]
        columns = ("map", "kind", "mean over patients [95 % interval]", "patients", "lesions")
        name = f"explanations_{_slug(str(measure))}"
        tables.append(ShownTable(name, f"Explanations: {measure}", columns, rows, list(dict.fromkeys(notes)), part))
    return tables


def explanation_figures(scores: Scores, synthetic: bool) -> Figures:
    """One figure per measure."""
    figures: Figures = {}
    for measure, part in scores.table.groupby("measure", sort=False):
        first = part.iloc[0]
        better, about = _text(first["better"]), _text(first["about"])
        figures[f"explanations_{_slug(str(measure))}"] = (
            score_bars(part, str(measure), better, _number(first["chance"]), synthetic),
            f"{measure}: {about} Blue bars are maps of the model, grey bars controls; lines are 95 % intervals over "
            "patients.",
        )
    return figures


def ablation_table(scores: Scores, synthetic: bool) -> ShownTable:
    """Every design with its AUC, its difference to the reference, the share of the gap closed, and its maps' AUC."""
    rows: list[Row] = []
    for row in scores.table.to_dict("records"):
        rows.append(
            (
                str(row["design"]),
                str(row["niche"]),
                str(row["changed"]) if known(row["changed"]) else "",
                interval(row, centre="auc"),
                interval(_triple(row, "difference"), centre="estimate", sign=True) if known(row["difference"]) else "",
                f"{row['gap_closed']:.0%}" if known(row.get("gap_closed")) else "",
                interval(_triple(row, "cam", "cam_auc")) if known(row.get("cam_auc")) else "",
            )
        )
    columns = (
        "design",
        "niche",
        "changed",
        "AUC [95 % interval]",
        "difference",
        "share of the gap to the ceiling closed",
        "AUC of its map against the niche",
    )
    counts = scores.table.iloc[0]
    size = [f"{counts['lesions']:.0f} lesions of {counts['patients']:.0f} patients."] if "lesions" in counts else []
    notes = [*size, "Research use only.", *scores.notes, *([SYNTHETIC_NOTE] if synthetic else [])]
    caption = "What each part of the stronger design brings to the prediction and to its maps."
    return ShownTable("ablation", caption, columns, rows, notes, scores.table)


def ablation_figure(scores: Scores, synthetic: bool) -> Figures:
    """AUC of every design, per kind of niche."""
    ceilings = scores.facts.get("ceilings", {})
    flat = {str(niche): value for niche, value in ceilings.items() if isinstance(value, int | float)}
    caption = (
        "AUC of every design, one panel per kind of niche, with 95 % intervals over patients. The dashed line is the "
        "best that a model of the slice could do."
    )
    return {"ablation": (ablation_bars(scores.table, flat, synthetic), caption)}


def _triple(row: Mapping[Hashable, Any], prefix: str, centre: str | None = None) -> dict[str, Any]:
    return {"estimate": row[centre or prefix], "low": row.get(f"{prefix}_low"), "high": row.get(f"{prefix}_high")}


def _number(value: Any) -> float | None:
    """A number that may be an empty cell."""
    found = pd.to_numeric(value, errors="coerce")
    return None if pd.isna(found) else float(found)


def _text(value: Any) -> str:
    """Words that may be an empty cell."""
    return str(value) if known(value) else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
