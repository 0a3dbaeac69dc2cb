"""Figures of the research on synthetic lesions."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from treatment_response.report.figures.scores import bars
from treatment_response.report.figures.style import BLUE, GREEN, GREY, VERMILLION, new_figure


def learning_curve(table: pd.DataFrame) -> Figure:
    """AUC on one fixed test set against the number of training lesions, beside the ceiling of a slice model.

    Args:
        table: columns ``niche, lesions, auc, low, high, ceiling, ceiling_scope, test_lesions``.
    """
    figure = new_figure(7.4, 5.0, True, "Learning curve")
    axes = figure.subplots()
    for (niche, rows), colour in zip(table.groupby("niche"), (BLUE, VERMILLION, GREEN), strict=False):
        ordered = rows.sort_values("lesions")
        reach = np.abs(np.stack([ordered["auc"] - ordered["low"], ordered["high"] - ordered["auc"]]))
        axes.errorbar(
            ordered["lesions"],
            ordered["auc"],
            yerr=reach,
            fmt="o-",
            capsize=4,
            color=colour,
            label=f"{niche} niche, network",
        )
        axes.axhline(
            float(ordered["ceiling"].iloc[0]), color=colour, linestyle="--", label=f"{niche} niche, ceiling (c)"
        )
    sizes = sorted(table["lesions"].unique())
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [str(s) for s in sizes])
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    tests = int(table["test_lesions"].iloc[0])
    axes.set(
        xlabel="training lesions",
        ylabel=f"AUC on {tests} other lesions, MRI 1\n[95 % interval over patients]",
        ylim=(0.4, 1.0),
    )
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def ablation_bars(ablation: pd.DataFrame, ceiling: float) -> Figure:
    """One panel per kind of niche: AUC of every design with its interval, and the ceiling.

    Args:
        ablation: columns ``niche, design, auc, low, high``.
        ceiling: AUC that no slice model can beat, the same for every kind of niche.
    """
    niches = list(ablation["niche"].drop_duplicates())
    most = max((ablation["niche"] == niche).sum() for niche in niches)
    figure = new_figure(1.5 + 4.6 * len(niches), 1.8 + 0.34 * most, True, "What each part of the design brings")
    for axes, niche in zip(np.atleast_1d(figure.subplots(1, len(niches), sharey=False)), niches, strict=True):
        rows = ablation[ablation["niche"] == niche].iloc[::-1]
        bars(axes, rows, "auc", [BLUE] * len(rows))
        axes.set_yticks(np.arange(len(rows)), [textwrap.fill(str(name), 30) for name in rows["design"]], fontsize=8)
        axes.axvline(0.5, color=GREY, linestyle=":", linewidth=1.2)
        axes.axvline(ceiling, color=VERMILLION, linestyle="--", linewidth=1.2)
        axes.set_title(f"{niche} niche\n(dotted: coin toss, dashed: ceiling {ceiling:.2f})", fontsize=9)
        axes.set(xlim=(min(0.4, float(rows["low"].min()) - 0.02), 1.0))
        axes.set(xlabel="AUC, 95 % interval over patients", ylabel="design")
    return figure
