"""Bars with intervals: features that were chosen, how right explanations are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from treatment_response.metrics.intervals import estimable
from treatment_response.report.figures.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, new_figure

GROUP_COLOURS = {
    "size": GREY,
    "clinical": "#999933",
    "gradient": BLUE,
    "radiomics": "#E69F00",
    "dose": GREEN,
    "delta": PURPLE,
}
CONTROL = "#BBBBBB"
SHOWN_FEATURES = 12
PANELS = 3
"""Panels in a row: wide enough to read in print."""


def importance_bars(
    importances: pd.DataFrame, names: Mapping[str, str], methods: Mapping[str, str], synthetic: bool
) -> Figure:
    """One panel per method: the features chosen most often over the trials, coloured by group.

    Args:
        importances: columns ``method, feature, group, chosen, weight``; `chosen` in [0, 1].
        names: feature → words. methods: method → words, in the order of the panels.
    """
    parts = {
        method: importances[importances["method"] == method].nlargest(SHOWN_FEATURES, "chosen", keep="first")
        for method in methods
    }
    heights = [0.27 * len(part) + 0.75 for part in parts.values()]
    figure = new_figure(9.6, 0.9 + sum(heights), synthetic, "Features that the models chose")
    grid = figure.subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, (method, part) in zip(grid, parts.items(), strict=True):
        rows = part.iloc[::-1]
        y = np.arange(len(rows))
        axes.barh(y, rows["chosen"], color=[GROUP_COLOURS.get(group, GREY) for group in rows["group"]], height=0.72)
        axes.set_yticks(y, [names.get(name, name) for name in rows["feature"]], fontsize=8)
        for at, chosen, weight in zip(y, rows["chosen"], rows["weight"], strict=True):
            if pd.notna(weight):
                axes.text(chosen + 0.01, at, f"{weight:+.2f}", va="center", fontsize=7.5)
        axes.set(xlim=(0, 1.12), title=methods[method], ylabel="feature")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(
            "share of trials in which it was chosen; number: mean weight, + speaks for response", fontsize=8
        )
    present = [group for group in GROUP_COLOURS if group in set(importances["group"])]
    handles = [Patch(color=GROUP_COLOURS[group], label=group) for group in present]
    grid[0].legend(handles=handles, fontsize=8, loc="lower right", title="group", title_fontsize=8)
    return figure


def score_bars(scores: pd.DataFrame, title: str, synthetic: bool) -> Figure:
    """One panel per measure: mean over patients for every map and control, with 95 % intervals.

    Args:
        scores: columns ``map, kind ("map" or "control"), measure, mean, low, high, better, chance``; ``better`` is
            "higher", "lower" or empty, ``chance`` a number (drawn as a line) or missing.
        title: what the measures have in common.
    """
    names, measures = list(scores["map"].drop_duplicates()), list(scores["measure"].drop_duplicates())
    columns = min(PANELS, len(measures))
    rows = -(-len(measures) // columns)
    figure = new_figure(3.4 + 2.7 * columns, 1.0 + (1.1 + 0.21 * len(names)) * rows, synthetic, title)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in grid[len(measures) :]:
        axes.set_visible(False)
    place = {name: len(names) - 1 - number for number, name in enumerate(names)}
    for number, (axes, measure) in enumerate(zip(grid, measures, strict=False)):
        mine = scores[scores["measure"] == measure]
        y = [place[name] for name in mine["map"]]
        bars(axes, mine, "mean", [BLUE if kind == "map" else CONTROL for kind in mine["kind"]], y)
        axes.axvline(0, color="black", linewidth=0.8)
        chance, better = mine["chance"].iloc[0], mine["better"].iloc[0]
        if pd.notna(chance):
            axes.axvline(float(chance), color=VERMILLION, linestyle="--", linewidth=1.2)
        direction = f"\n({better} is better)" if isinstance(better, str) and better else ""
        axes.set_xlabel(f"{measure}{direction}", fontsize=9)
        axes.set_ylabel("map" if number % columns == 0 else "")
        axes.tick_params(labelsize=8)
        axes.set_yticks(list(place.values()), [textwrap.fill(name, 44) for name in place], fontsize=8)
    return figure


def bars(axes: Axes, rows: pd.DataFrame, value: str, colours: Sequence[str], y: Sequence[int] | None = None) -> None:
    """Bars with intervals, from below in the rows' order or at the heights `y`."""
    centre = rows[value].to_numpy(dtype=float)
    low, high = rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float)
    shown = [estimable(*ends) for ends in zip(low, high, strict=True)]
    reach = np.where(shown, np.abs(np.stack([centre - low, high - centre])), np.nan)
    heights = np.arange(len(rows)) if y is None else np.asarray(y)
    axes.barh(heights, np.nan_to_num(centre), xerr=reach, color=colours, ecolor="black", capsize=2, height=0.7)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
