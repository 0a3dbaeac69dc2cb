"""Training curves (the paper's Fig. 4B)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from treatment_response.report.figures.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, new_figure

LOSSES = {
    "loss": ("joint loss", "black", "-"),
    "reconstruction": ("reconstruction", GREEN, "-"),
    "classification": ("classification", PURPLE, "-"),
    "heldout_loss": ("joint loss, held-out patients", VERMILLION, "--"),
}
ACCURACIES = {
    "accuracy": ("training samples", BLUE, "-"),
    "heldout_accuracy": ("held-out patients", VERMILLION, "--"),
}


def training_curves(history: pd.DataFrame, synthetic: bool) -> Figure:
    """Loss and accuracy against the epoch.

    Args:
        history: a run's ``history.csv``; columns that it lacks (held-out ones in protocol A) are left out.
        synthetic: whether the data are simulated.
    """
    figure = new_figure(11, 4.0, synthetic, "Training (Fig. 4B)")
    left, right = figure.subplots(1, 2)
    for axes, curves in ((left, LOSSES), (right, ACCURACIES)):
        for column, (name, colour, style) in curves.items():
            if column in history and history[column].notna().any():
                rows = history[history[column].notna()]
                axes.plot(rows["epoch"], rows[column], style, color=colour, label=name, linewidth=1.4)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.legend(fontsize=8)
    left.set(xlabel="epoch", ylabel="loss", title="Loss", ylim=(0, None))
    right.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    right.set(xlabel="epoch", ylabel="accuracy (share of samples)", title="Accuracy at threshold 0.5", ylim=(0, 1.02))
    return figure
