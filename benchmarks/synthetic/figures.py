"""Figures of the research on synthetic lesions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from treatment_response.evaluation.figures.style import GREEN, GREY, NON_RESPONSE, RESPONSE, new_figure


def learning_curve(table: pd.DataFrame, synthetic: bool) -> Figure:
    """AUC on one fixed test set against the number of training lesions, beside the ceiling of a slice model.

    Args:
        table: columns ``niche, lesions, auc, low, high, ceiling, ceiling_scope, test_lesions``.
    """
    figure = new_figure(7.4, 5.0, synthetic, "Learning curve")
    axes = figure.subplots()
    for (niche, rows), colour in zip(table.groupby("niche"), (RESPONSE, NON_RESPONSE, GREEN), strict=False):
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
