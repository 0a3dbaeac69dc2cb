"""From scores per lesion to means over patients, and the tables that a command prints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from treatment_response.cohort.splits import persons_of, with_persons
from treatment_response.evaluation.explanations.maps import CONTROL, MAP, PREDICTED
from treatment_response.evaluation.explanations.measures import FIXED, ExplanationMeasure, randomisation_measure
from treatment_response.evaluation.explanations.parts import PARTS
from treatment_response.explain.target import TargetClass
from treatment_response.files import write_whole
from treatment_response.metrics.bootstrap import mean, patient_bootstrap
from treatment_response.metrics.intervals import ends_text

SUMMARY_COLUMNS = [
    "map", "kind", "measure", "mean", "low", "high", "patients", "lesions", "better", "chance", "about",
]  # fmt: skip
OF_THE_NICHE = ("pointing", "dice")
"""Their chance is the lesion's niche share."""


def measures_of(modules: Sequence[str]) -> list[ExplanationMeasure]:
    """All measures, in the order of the tables.

    Args:
        modules: of the network, from the head down.
    """
    return [*FIXED.values(), *(randomisation_measure(n, modules) for n in range(1, len(modules) + 1))]


def summarise(
    scores: pd.DataFrame,
    measures: Sequence[ExplanationMeasure],
    niche_share: Mapping[tuple[str, str], float],
    persons: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Mean over patients of each patient's mean, with a patient-bootstrap interval.

    Args:
        scores: columns ``SCORE_COLUMNS``; lesions without a value are left out, per map and measure.
        niche_share: (subject, lesion) → chance of the pointing game and of Dice.
        persons: subject → person, from `cohort.splits.persons_in`.

    Returns:
        ``SUMMARY_COLUMNS``, by measure, maps before controls.
    """
    order = {measure.id: position for position, measure in enumerate(measures)}
    known = {measure.id: measure for measure in measures}
    rows = []
    defined = with_persons(scores.dropna(subset="value"), persons or {})
    for (name, kind, measure_id), part in defined.groupby(["map", "kind", "measure"], sort=False):
        measure = known[str(measure_id)]
        interval = patient_bootstrap(part, mean("value", measure.scale))
        chance = measure.chance
        if measure_id in OF_THE_NICHE:
            share = part.assign(value=[niche_share[key] for key in zip(part["subject"], part["lesion"], strict=True)])
            chance = float(share.groupby(persons_of(share))["value"].mean().mean())
        rows.append(
            (name, kind, measure_id, interval.estimate, interval.low, interval.high, interval.patients, interval.n,
             measure.better, chance, measure.about)
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
    rank = pd.DataFrame({"measure": table["measure"].map(order), "control": table["kind"] == CONTROL})
    return table.loc[rank.sort_values(["measure", "control"], kind="stable").index].reset_index(drop=True)


def descriptions(measures: Sequence[ExplanationMeasure]) -> dict[str, dict[str, str]]:
    """What ``explanations.json`` says of each measure, by its id."""
    return {m.id: {"title": m.shown, "group": m.group, "source": m.source} for m in measures}


def write_tables(out: Path, scores: pd.DataFrame, summary: pd.DataFrame, content: Mapping[str, Any]) -> None:
    """Write ``scores.csv``, ``summary.csv`` and ``explanations.json``, and remove the parts that they are made of."""
    write_whole(out / "scores.csv", scores.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "summary.csv", summary.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "explanations.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(out / PARTS)


def show(summary: pd.DataFrame, content: Mapping[str, Any], console: Console) -> None:
    """Print one table per group of measures: maps for non-response and the predicted class, and the plain controls.

    The rest (response, reversed maps, other forms of a measure) is in ``summary.csv``.

    Args:
        summary: from `summarise`. content: of ``explanations.json``.
    """
    shown = summary[~summary["measure"].str.endswith(("empty", "_p05", "_z_shifted"))]
    groups: dict[str, list[str]] = {}
    for measure in shown["measure"].unique():
        groups.setdefault(content["measures"][measure]["group"], []).append(measure)
    other = (f" for {TargetClass.RESPONSE.label}", " for either class")
    hidden = shown["map"].str.endswith(other) | shown["map"].str.startswith("reversed ")
    hidden |= (shown["kind"] == CONTROL) & shown["map"].str.endswith(f" for {PREDICTED}")
    for group, measures in groups.items():
        part = shown[shown["measure"].isin(measures)]
        visible = part[~hidden[part.index]]
        table = Table("map or control", *(content["measures"][measure]["title"] for measure in measures), title=group)
        for kind in (MAP, CONTROL):
            for name, of_map in visible[visible["kind"] == kind].groupby("map", sort=False):
                cells = {
                    row["measure"]: f"{row['mean']:.2f} [{ends_text(row['low'], row['high'])}]"
                    for row in of_map.to_dict("records")
                }
                table.add_row(str(name), *(cells.get(measure, "") for measure in measures))
            table.add_section()
        first = part.drop_duplicates("measure").set_index("measure")
        table.add_row("better", *(first["better"][measure] or "–" for measure in measures))
        chances = first["chance"].map(lambda value: "–" if pd.isna(value) else f"{value:.2f}")
        table.add_row("chance", *(chances[measure] for measure in measures))
        console.print(table)
    for note in content["notes"]:
        console.print(note)
