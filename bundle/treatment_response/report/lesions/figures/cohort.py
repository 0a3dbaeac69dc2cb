"""The cohort at a glance."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from treatment_response.class_colours import class_colour
from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.splits import persons_of
from treatment_response.report.figures.style import GREY, new_figure

VOLUME_TICKS_CM3 = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


def cohort_overview(lesions: pd.DataFrame, threshold: float, synthetic: bool) -> Figure:
    """Four panels: volume change per lesion (labels, where they are ratings), volumes, lesions per patient, sites.

    Args:
        lesions: rows of the data set's ``lesions.csv``.
        threshold: share of shrinkage that makes a response (0.2: volume below 80 % of the first).
        synthetic: whether the data are simulated.
    """
    figure = new_figure(11, 6.4, synthetic, "The cohort")
    ((change, volume), (per_patient, site)) = figure.subplots(2, 2)

    if lesions["volume_change"].notna().any():
        _volume_changes(change, lesions, threshold)
    else:
        change.set(xlabel="label", ylabel="lesions", title="Labels (rated; no volume at follow-up)")
        for value, name in enumerate(CLASS_NAMES):
            change.bar([name], [int((lesions["label"] == value).sum())], color=class_colour(value))

    logs = np.log10(lesions["volume_ses-01_mm3"].clip(lower=1).to_numpy())
    bins = np.linspace(logs.min() - 0.05, logs.max() + 0.05, 15)
    classes = range(len(CLASS_NAMES))
    groups = [logs[lesions["label"].to_numpy() == value] for value in classes]
    volume.hist(groups, bins=bins, stacked=True, color=[class_colour(value) for value in classes])
    volume.set_xlim(bins[0], bins[-1])
    ticks = [cm3 for cm3 in VOLUME_TICKS_CM3 if bins[0] <= np.log10(cm3 * 1000) <= bins[-1]]
    volume.set_xticks(np.log10(np.array(ticks) * 1000), [f"{cm3:g}" for cm3 in ticks])
    volume.set(xlabel="GTV volume at MRI 1 (cm³, logarithmic)", ylabel="lesions", title="Size before treatment")

    counts = lesions.groupby(persons_of(lesions)).size().value_counts().sort_index()
    per_patient.bar(counts.index, counts.to_numpy(), color=GREY)
    per_patient.set_xticks(counts.index)
    per_patient.set(xlabel="lesions of one patient", ylabel="patients", title="Lesions per patient")

    table = lesions.assign(site=lesions["site"].fillna("not stated").astype(str))
    table = table.groupby(["site", "label"]).size().unstack(fill_value=0)
    bottom = np.zeros(len(table))
    for value in classes:
        heights = table[value].to_numpy() if value in table else np.zeros(len(table))
        site.bar(np.arange(len(table)), heights, bottom=bottom, color=class_colour(value))
        bottom = bottom + heights
    site.set_xticks(np.arange(len(table)), [textwrap.fill(str(name), 18) for name in table.index], fontsize=8)
    site.set(xlabel="scanner or clinic", ylabel="lesions", title="Classes by site")
    return figure


def _volume_changes(change: Axes, lesions: pd.DataFrame, threshold: float) -> None:
    ordered = lesions.sort_values("volume_change")["volume_change"].to_numpy() * 100
    labels = lesions.sort_values("volume_change")["label"].to_numpy()
    # A regrown lesion can reach several hundred per cent; the axis stops at +200 % so that the rest stays readable.
    shown = np.minimum(ordered, 200)
    change.bar(np.arange(len(ordered)), shown, color=[class_colour(int(v)) for v in labels], width=0.9)
    change.axhline(-threshold * 100, color="black", linestyle="--", linewidth=1)
    change.set(xlabel="lesions, ordered", ylabel="volume change at follow-up (%)", title="Volume change and its label")
    note = f"response: below −{round(100 * threshold, 6):g}%"
    right_edge = change.get_yaxis_transform()  # x in shares of the axes, y in per cent
    change.text(0.99, -threshold * 100 - 6, note, transform=right_edge, ha="right", va="top", fontsize=8)
    if (ordered > 200).any():
        change.set_xlabel(f"lesions, ordered ({int((ordered > 200).sum())} above +200 % cut)")
    for value, name in enumerate(CLASS_NAMES):
        change.bar([0], [0], color=class_colour(value), label=f"{name} ({int((labels == value).sum())})")
    change.legend(fontsize=8, loc="upper left")
