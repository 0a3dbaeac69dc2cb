"""Several methods on the same lesions: ROC with bands, reliability, decision curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from treatment_response.metrics.roc import roc_band
from treatment_response.report.figures.style import GREY, method_style, new_figure

PANELS = 3
"""Panels in a row: wide enough to read in print."""


def roc_of_methods(lesions: Mapping[str, pd.DataFrame], captions: Mapping[str, str], synthetic: bool) -> Figure:
    """One panel per method: its ROC curve with the band over resampled patients, the others in grey.

    Args:
        lesions: method's name → one row per lesion with ``subject, label, p_response`` (averaged over trials).
        captions: method's name → its AUC in words.
        synthetic: whether the data are simulated.
    """
    bands = {name: roc_band(rows) for name, rows in lesions.items()}
    figure, panels = _panels(list(bands), 3.5, synthetic, "ROC of every method, finding: response")
    for number, (name, axes) in enumerate(panels.items()):
        for other, band in bands.items():
            if other != name:
                axes.plot(band.fpr, band.tpr, color="#CCCCCC", linewidth=0.8, zorder=1)
        band, colour = bands[name], method_style(number)[0]
        axes.fill_between(band.grid, band.low, band.high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(band.fpr, band.tpr, color=colour, linewidth=2)
        axes.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
        axes.set_title(f"{name}\n{captions[name]}", fontsize=9)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="1 − specificity", ylabel="sensitivity")
    return figure


def reliability_curves(
    curves: Mapping[str, Sequence[Mapping[str, float]]], captions: Mapping[str, str], synthetic: bool
) -> Figure:
    """One panel per method: share of response against mean predicted P(response), with n of each group.

    Args:
        curves: method's name → groups with ``n, predicted, observed``.
        captions: method's name → slope and Brier score in words.
    """
    figure, panels = _panels(list(curves), 3.5, synthetic, "Calibration: predicted and observed share of response")
    for number, (name, axes) in enumerate(panels.items()):
        colour = method_style(number)[0]
        predicted = [group["predicted"] for group in curves[name]]
        observed = [group["observed"] for group in curves[name]]
        axes.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
        axes.plot(predicted, observed, "o-", color=colour, linewidth=1.6, markersize=5)
        counts = ", ".join(f"{group['n']:.0f}" for group in curves[name])
        axes.text(0.97, 0.03, f"n from left: {counts}", transform=axes.transAxes, ha="right", fontsize=7.5)
        axes.set_title(f"{name}\n{captions[name]}", fontsize=9)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set(xlabel="predicted P(response), mean of group", ylabel="observed share of response")
    return figure


def decision_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]], synthetic: bool) -> Figure:
    """One panel per method: net benefit of acting on predicted non-response, beside acting on all and on none.

    Args:
        curves: method's name → points with ``threshold, net_benefit, low, high, act_on_all, advantage_low``.
    """
    figure, panels = _panels(list(curves), 3.5, synthetic, "Decision curves, finding: non-response")
    for number, (name, axes) in enumerate(panels.items()):
        points = pd.DataFrame(list(curves[name]))
        colour, t = method_style(number)[0], points["threshold"]
        axes.fill_between(t, points["low"].astype(float), points["high"].astype(float), color=colour, alpha=0.22)
        axes.plot(t, points["act_on_all"], color="black", linewidth=1.2, linestyle="--", label="act on all lesions")
        axes.axhline(0, color="black", linewidth=1.2, linestyle=":", label="act on none")
        axes.plot(t, points["net_benefit"], color=colour, linewidth=2, label=name)
        top = float(points["act_on_all"].max())
        bottom = -0.35 * top - 0.02
        helps = np.where(points["advantage_low"].astype(float) > 0, bottom + 0.03, np.nan)
        axes.plot(t, helps, color=colour, linewidth=4, marker="s", markersize=4, label="helps")
        axes.set_title(name, fontsize=9)
        axes.set(xlim=(0, 1), ylim=(bottom, 1.25 * top + 0.02))
        axes.set(xlabel="threshold: P(non-response) from which to act", ylabel="net benefit")
    axes.legend(fontsize=7, loc="upper right")
    return figure


def _panels(names: Sequence[str], side: float, synthetic: bool, title: str) -> tuple[Figure, dict[str, Axes]]:
    """A grid with one square panel per name; cells without a name stay empty."""
    columns = min(PANELS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(0.3 + side * columns, 0.9 + (side + 0.5) * rows, synthetic, title)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    panels = dict(zip(names, grid, strict=False))
    for axes in panels.values():
        axes.grid(color="#E3E3E3", linewidth=0.6)
        axes.tick_params(labelsize=8, color=GREY)
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
    return figure, panels
