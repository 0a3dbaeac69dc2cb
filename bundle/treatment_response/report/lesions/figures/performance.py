"""How well it predicts: ROC, confusion matrix, localisation of the CAMs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from treatment_response.classes import CLASS_NAMES
from treatment_response.metrics.intervals import Interval
from treatment_response.metrics.roc import roc_band
from treatment_response.metrics.scores import ROLES
from treatment_response.report.figures.style import BLUE, GREEN, GREY, finish_roc, new_figure

ROLE_COLOURS = {"heldout_mri1": BLUE, "heldout_mri2": GREEN, "train_mri2": GREY}


def roc_curves(lesions: pd.DataFrame, intervals: Mapping[str, Interval], synthetic: bool) -> Figure:
    """ROC curves by role; the primary one (held-out MRI 1, or the only one there is) with its patient-bootstrap band.

    Args:
        lesions: one row per role and lesion (`metrics.lesion_averages`).
        intervals: role → interval of its AUC.
        synthetic: whether the data are simulated.
    """
    figure = new_figure(6.4, 6.4, synthetic, "ROC, finding: response")
    axes = figure.subplots()
    present = [role for role in ROLE_COLOURS if role in intervals]
    for role in present:
        rows = lesions[lesions["role"] == role]
        if rows["label"].nunique() < 2:
            continue
        band = roc_band(rows)
        interval, colour = intervals[role], ROLE_COLOURS[role]
        name = f"{ROLES[role]}\nAUC {interval}, {interval.n} lesions, {interval.patients} patients"
        axes.plot(
            band.fpr, band.tpr, color=colour, linewidth=2, label=name, linestyle="-" if role == present[0] else "--"
        )
        if role == present[0]:
            axes.fill_between(band.grid, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
    finish_roc(axes, 7.5)
    return figure


def confusion_matrix(lesions: pd.DataFrame, title: str, synthetic: bool, threshold: float = 0.5) -> Figure:
    """Counts of true class against predicted class.

    Args:
        lesions: one row per lesion with ``label`` and ``p_response``.
        title: which role it is. threshold: response is predicted where P(response) >= threshold.
    """
    figure = new_figure(5.6, 5.0, synthetic, title)
    axes = figure.subplots()
    truth, decided = lesions["label"].to_numpy(), (lesions["p_response"] >= threshold).to_numpy().astype(int)
    counts = np.array([[int(((truth == t) & (decided == d)).sum()) for d in (1, 0)] for t in (1, 0)])
    image = axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.max(), 1))
    for row in range(2):
        total = counts[row].sum()
        for column in range(2):
            share = f"\n{counts[row, column] / total:.0%} of the row" if total else ""
            dark = counts[row, column] > counts.max() / 2
            axes.text(
                column,
                row,
                f"{counts[row, column]}{share}",
                ha="center",
                va="center",
                fontsize=12,
                color="white" if dark else "black",
            )
    names = [CLASS_NAMES[1], CLASS_NAMES[0]]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set(xlabel=f"predicted (threshold {threshold:g})", ylabel="true (volume at follow-up)")
    figure.colorbar(image, ax=axes, label="lesions", shrink=0.8)
    return figure
