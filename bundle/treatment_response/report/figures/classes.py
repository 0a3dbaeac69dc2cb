"""How well K classes are told apart: decisions against the truth, and each class's ROC curve against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from treatment_response.class_colours import MOST_COLOURS, class_colour, colour_numbers
from treatment_response.classes import Classes
from treatment_response.metrics.intervals import Interval
from treatment_response.metrics.net_benefit import decision_curve
from treatment_response.metrics.roc import roc_band
from treatment_response.report.figures.style import GREY, finish_roc, method_style, new_figure


def decisions_figure(
    counts: Sequence[Sequence[int]], classes: Classes, title: str, cases: str, synthetic: bool
) -> Figure:
    """Counts of the true class against the decided one.

    Args:
        counts: ``(K, K)``, rows are the truth. title: whose decisions they are. cases: what is counted.
    """
    table = np.asarray(counts)
    side = 2.6 + 0.75 * len(classes.names)
    figure = new_figure(side + 1.0, side, synthetic, title)
    axes = figure.subplots()
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=max(table.max(), 1))
    for (row, column), count in np.ndenumerate(table):
        total = table[row].sum()
        share = f"\n{count / total:.0%}" if total else ""
        dark = count > table.max() / 2
        axes.text(column, row, f"{count}{share}", ha="center", va="center", color="white" if dark else "black")
    names = list(classes.names)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="decided (largest probability)", ylabel="true")
    figure.colorbar(image, ax=axes, label=cases, shrink=0.8)
    return figure


def class_roc_curves(
    rows: pd.DataFrame, classes: Classes, areas: Mapping[str, Interval], title: str, synthetic: bool
) -> Figure:
    """One ROC curve per class against the rest; the finding's has its band over patients.

    Args:
        rows: one per case, with ``label`` and the classes' columns.
        areas: class → interval of its AUC; a class without cases, or without others, has no curve.
    """
    figure = new_figure(6.6, 6.6, synthetic, title)
    axes = figure.subplots()
    numbered = zip(classes.names, classes.columns, colour_numbers(classes), strict=True)
    for label, (name, column, number) in enumerate(numbered):
        against_rest = rows.assign(label=(rows["label"] == label).astype(int))
        if against_rest["label"].nunique() < 2:
            continue
        band = roc_band(against_rest, score=column)
        line = "-" if number < MOST_COLOURS else method_style(number)[1]
        colour = _colour(number)
        axes.plot(band.fpr, band.tpr, line, color=colour, linewidth=2, label=f"{name}, AUC {areas[name]}")
        if name == classes.finding:
            axes.fill_between(band.grid, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
    finish_roc(axes, 8)
    return figure


def net_benefit_curve(rows: pd.DataFrame, classes: Classes, title: str, synthetic: bool) -> Figure:
    """Net benefit of acting on the probability of the finding, beside acting on everybody and on nobody.

    Args:
        rows: one per case, with ``label`` and the classes' columns.
    """
    finding = classes.names.index(classes.finding)
    curve = decision_curve(rows["label"] == finding, rows[classes.columns[finding]])
    figure = new_figure(6.6, 4.8, synthetic, title)
    axes = figure.subplots()
    colour = _colour(colour_numbers(classes)[finding])
    axes.plot(curve.thresholds, curve.model, color=colour, linewidth=2, label="act on the network's answer")
    axes.plot(curve.thresholds, curve.everybody, "--", color=GREY, linewidth=1.5, label="act on everybody")
    axes.axhline(0, color="black", linewidth=1, label="act on nobody")
    top = max(float(curve.model.max()), float(curve.everybody.max()))
    axes.set(xlim=(0, 1), ylim=(-0.25 * top - 0.05, 1.1 * top + 0.02))
    axes.set(xlabel=f"P({classes.finding}) from which on one would act", ylabel="net benefit (true positives per case)")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=8)
    return figure


def reliability_by_class(calibration: Mapping[str, Any], classes: Classes, title: str, synthetic: bool) -> Figure:
    """What was said of each class and how often it came, one panel per class.

    Args:
        calibration: of `calibration_by_class`; a class without cases has an empty panel.
    """
    count = len(classes.names)
    columns = min(count, 4)
    lines = -(-count // columns)
    figure = new_figure(2.7 * columns, 2.9 * lines + 0.8, synthetic, title)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for name, number, axes in zip(classes.names, colour_numbers(classes), panels, strict=False):
        axes.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.grid(color="#DDDDDD", linewidth=0.6)
        found = calibration[name]
        axes.set_title(f"{name}, error {found['error']:.2f}" if found else f"{name}: no cases", fontsize=10)
        if found:
            groups = found["reliability"]
            said, came = ([group[key] for group in groups] for key in ("predicted", "observed"))
            axes.plot(said, came, "o-", color=_colour(number), linewidth=1.5, markersize=5)
    for axes in panels[count:]:
        axes.set_axis_off()
    figure.supylabel("share that was of the class", fontsize=10)
    for axes in panels[-columns:]:
        axes.set_xlabel("mean P(class)")
    return figure


def _colour(number: int) -> str:
    """A class's colour; that of a method where there are more classes than colours."""
    return class_colour(number) if number < MOST_COLOURS else method_style(number)[0]
