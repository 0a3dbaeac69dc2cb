"""Dose-volume curves of lesions: one with its isodoses, and all of a cohort by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from treatment_response.class_colours import MOST_COLOURS, class_colour, colour_numbers
from treatment_response.classes import Classes
from treatment_response.features.tumour_board import ISODOSE
from treatment_response.report.figures.style import GREY, method_style, new_figure
from treatment_response.report.sheets import CaseSheet, unit_of

_ROOM = 1.04
"""How far the axis goes beyond the largest dose that is shown."""
_STEPS = 400
_CURVE = "#6A3D9A"
"""A colour of no class."""


def dvh_figure(sheet: CaseSheet, highest_gy: float, synthetic: bool) -> Figure:
    """The dose-volume curve of one lesion, with the isodoses of the prescription.

    Args:
        highest_gy: end of the axis, the same for all lesions of a page so that their curves can be compared.
    """
    figure = new_figure(6.4, 3.5, synthetic)
    axes = figure.subplots()
    for share, level in sheet.isodoses.items():
        decisive = share == ISODOSE
        axes.axvline(level, color="black" if decisive else GREY, linewidth=1.3 if decisive else 0.8,
                     linestyle="--" if decisive else ":")  # fmt: skip
        axes.text(level, 1.06, f"{share:.0%}", ha="center", va="bottom", fontsize=8, rotation=60,
                  fontweight="bold" if decisive else "normal")  # fmt: skip
    dose, volume = [*sheet.dose_gy, sheet.dose_gy[-1]], [*sheet.share, 0.0]
    axes.plot(dose, volume, color=_CURVE, linewidth=2.2)
    axes.fill_between(dose, volume, color=_CURVE, alpha=0.10, linewidth=0)
    _style(axes, sheet.dose_kind, highest_gy)
    title = f"{sheet.subject} {sheet.case}"
    if sheet.isodoses:
        axes.set_title(f"{title}; lines: isodoses of the prescription", fontsize=10, pad=30)
    else:
        axes.set_title(f"{title}; no prescription, so no isodoses", fontsize=10)
    return figure


def cohort_dvh_figure(sheets: Sequence[CaseSheet], classes: Classes, synthetic: bool) -> Figure:
    """The dose-volume curves of all lesions, thin; and of each class the median share at every dose, thick."""
    figure = new_figure(7.6, 4.6, synthetic, "Dose to the lesions")
    axes = figure.subplots()
    highest = highest_dose(sheets)
    levels = np.linspace(0, highest, _STEPS)
    for label in sorted({sheet.label for sheet in sheets}):
        own = [sheet for sheet in sheets if sheet.label == label]
        number = colour_numbers(classes)[label]
        colour, line = (class_colour(number), "-") if number < MOST_COLOURS else method_style(number)
        curves = np.array([np.interp(levels, sheet.dose_gy, sheet.share, left=1.0, right=0.0) for sheet in own])
        axes.plot(levels, curves.T, line, color=colour, linewidth=0.7, alpha=0.45)
        name = f"{own[0].truth}, median of {len(own)}"
        axes.plot(levels, np.median(curves, axis=0), line, color=colour, linewidth=3, label=name)
    _style(axes, unit_of(sheets), highest)
    axes.legend(fontsize=9, loc="lower left")
    return figure


def highest_dose(sheets: Sequence[CaseSheet]) -> float:
    """Where the axes of dose end: beyond every lesion's highest dose and every marked isodose."""
    return _ROOM * max(max(float(sheet.dose_gy.max()), *sheet.isodoses.values(), 0.0) for sheet in sheets)


def _style(axes: Axes, unit: str, highest_gy: float) -> None:
    axes.set(xlim=(0, max(highest_gy, 1.0)), ylim=(0, 1.04), xlabel=f"dose, {unit}")
    axes.set_ylabel("share of the lesion\nwith at least this dose")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color="#DDDDDD", linewidth=0.6)
