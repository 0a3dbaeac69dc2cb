"""The page's section on scored explanations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatment_response.report.explanation_scores import Scores
from treatment_response.report.figures.scores import score_bars
from treatment_response.report.shown import Figures, Row, ShownTable, interval, known

SYNTHETIC_NOTE = "Synthetic data. Rankings on synthetic data reflect its design."
CONTROLS_NOTE = "Controls: what a map gets without the trained model. A map explains only what it adds over them."


@dataclass(frozen=True)
class ShownMaps:
    """Which of the scored maps the page shows: those for the finding.

    Attributes:
        finding: a class. others: the other classes, whose maps are in the CSV alone.
        cases: what is explained, and the column of the table that counts it.
    """

    finding: str
    others: Sequence[str]
    cases: str


def explanation_tables(scores: Scores, synthetic: bool, maps: ShownMaps) -> list[ShownTable]:
    """One table per group of measures (localisation, faithfulness, …): every map and control with its intervals.

    The page shows the maps for the finding; the CSV has all rows.
    """
    tables = []
    title = _titles(scores)
    for group, part in _groups(scores).items():
        shown = _shown(part, maps)
        measures = list(shown["measure"].drop_duplicates())
        rows: list[Row] = []
        for (name, kind), mine in shown.groupby(["map", "kind"], sort=False):
            cells = {row["measure"]: interval(row, centre="mean") for row in mine.to_dict("records")}
            rows.append((str(name), str(kind), *(cells.get(measure, "") for measure in measures)))
        about = [_measure_note(title[one], part[part["measure"] == one].iloc[0].to_dict()) for one in measures]
        count = f"{part[maps.cases].max():.0f} {maps.cases} of {part['patients'].max():.0f} patients"
        size = f"Up to {count}; means over patients."
        notes = [*about, CONTROLS_NOTE, size, *_whose(scores), "Research use only.", *scores.notes]
        notes += [SYNTHETIC_NOTE] if synthetic else []
        caption = f"Explanations, {group}: maps for {maps.finding}, mean over patients [95 % interval]."
        columns = ("map", "kind", *(title[measure] for measure in measures))
        name = f"explanations_{_slug(group)}"
        tables.append(ShownTable(name, caption, columns, rows, list(dict.fromkeys(notes)), part))
    return tables


def explanation_figures(scores: Scores, synthetic: bool, maps: ShownMaps) -> Figures:
    """One figure per group of measures."""
    figures: Figures = {}
    title = _titles(scores)
    for group, part in _groups(scores).items():
        shown = _shown(part, maps)
        figures[f"explanations_{_slug(group)}"] = (
            score_bars(shown.assign(measure=shown["measure"].map(title)), f"Explanations: {group}", synthetic),
            f"Scores of {group}: mean over patients with 95 % intervals, one panel per measure. Blue bars are the "
            f"model’s maps for {maps.finding}, grey bars controls; the dashed line is a map without information. What "
            "each measure means stands under its table.",
        )
    return figures


def _whose(scores: Scores) -> list[str]:
    """Whose maps they are: not always those of the network that the rest of the page is about."""
    model = scores.facts.get("model", {})
    other = [] if scores.own else ["These scores were made from other data than the cohort described above."]
    if model.get("network") is None:
        return other
    count, data_set = model.get("networks"), model.get("data_set")
    trained = f"{count} trained network{'' if count == 1 else 's'}"
    return [f"Maps of {model['network']} ({trained}), data set {data_set}.", *other]


def _groups(scores: Scores) -> dict[str, pd.DataFrame]:
    """Group of measures → its rows, in the order of the table; the JSON beside the table names the groups."""
    said = scores.facts.get("measures", {})
    group = scores.table["measure"].map(lambda measure: str(said.get(measure, {}).get("group", "scores")))
    return {str(name): part for name, part in scores.table.groupby(group, sort=False)}


def _titles(scores: Scores) -> dict[str, str]:
    """Measure → what readers see; the JSON beside the table has the words."""
    said = scores.facts.get("measures", {})
    return {str(one): str(said.get(one, {}).get("title", one)) for one in scores.table["measure"].unique()}


def _shown(part: pd.DataFrame, maps: ShownMaps) -> pd.DataFrame:
    """Rows for the page: one form of each measure, maps for the finding, controls that are no repetition of them."""
    other = tuple(f" for {name}" for name in (*maps.others, "either class", "the predicted class"))
    hidden = part["map"].str.endswith(other) | part["map"].str.startswith("reversed ")
    hidden |= part["measure"].str.endswith(("empty", "_p05", "_z_shifted"))
    kept = part[~hidden] if not hidden.all() else part
    return kept.assign(map=kept["map"].str.removesuffix(f" for {maps.finding}"))


def _measure_note(title: str, row: dict[Any, Any]) -> str:
    """What a measure is, which way is better and what chance gives."""
    better, chance = _text(row["better"]), _number(row["chance"])
    words = [f"{title}: {_text(row['about'])}"]
    words += [f"{better.capitalize()} is better."] if better else []
    words += [f"A map without information gets {chance:.2g}."] if chance is not None else []
    return " ".join(words)


def _number(value: Any) -> float | None:
    """A number that may be an empty cell."""
    found = pd.to_numeric(value, errors="coerce")
    return None if pd.isna(found) else float(found)


def _text(value: Any) -> str:
    """Words that may be an empty cell."""
    return str(value) if known(value) else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
