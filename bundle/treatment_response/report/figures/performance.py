"""How well it predicts: ROC, confusion matrix, localisation of the CAMs, learning curve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from treatment_response.evaluation.intervals import Interval
from treatment_response.evaluation.metrics import CLASS_NAMES, ROLES
from treatment_response.evaluation.roc import roc_band
from treatment_response.report.figures.style import GREEN, GREY, NON_RESPONSE, RESPONSE, new_figure

ROLE_COLOURS = {"heldout_mri1": RESPONSE, "heldout_mri2": GREEN, "train_mri2": GREY}


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
    axes.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
    axes.set(xlabel="1 − specificity (false-positive rate)", ylabel="sensitivity (true-positive rate)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=7.5, loc="lower right", title="[95 % interval over patients]", title_fontsize=7.5)
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
