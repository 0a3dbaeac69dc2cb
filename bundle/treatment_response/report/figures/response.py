"""Figures of measured response: a patient's sums over time, and lesions with their diameters drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import map_coordinates

from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.diameters import Diameters
from treatment_response.criteria.measurements import LesionMeasures, SegmentedStudy
from treatment_response.criteria.patient import PatientResponse
from treatment_response.criteria.rules import BASELINE, NE, Criteria
from treatment_response.geometry import Volume
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.report.figures.style import CONTOUR, GREY, new_figure

CATEGORY_COLOURS = {"CR": "#0072B2", "PR": "#56B4E9", "MR": "#009E73", "SD": "#666666", "PD": "#D55E00"}
LONGEST, PERPENDICULAR = "#E69F00", "#56B4E9"
_PIXEL_MM, _BAR_MM = 0.4, 10
_MOST_STUDIES, _MOST_LESIONS = 6, 5


def timeline_figure(patient: PatientResponse, course: PatientCourse, synthetic: bool) -> Figure:
    """The sum of each set of criteria over days, with the limits of PR and PD and what happened between."""
    figure = new_figure(9.5, 0.4 + 2.7 * len(patient.decisions), synthetic)
    axes = figure.subplots(len(patient.decisions), 1, squeeze=False, sharex=True)[:, 0]
    for axis, criteria in zip(axes, patient.decisions, strict=True):
        _draw_sums(axis, patient, criteria, course)
    axes[-1].set_xlabel("day")
    return figure


def _draw_sums(axis: Axes, patient: PatientResponse, criteria: Criteria, course: PatientCourse) -> None:
    answers = [one for one in patient.decisions[criteria] if "sum" in one.decision.numbers]
    days = [one.day for one in answers]
    sums = [one.decision.numbers["sum"] for one in answers]
    axis.plot(days, sums, color=GREY, linewidth=1, zorder=1)
    low, high = (min(days), max(days)) if days else (0, 1)
    half = max((high - low) / 40, 1)
    limits = []
    for answer, total in zip(answers, sums, strict=True):
        category, numbers = answer.decision.category, answer.decision.numbers
        colour = CATEGORY_COLOURS.get(category, "#000000")
        axis.plot(answer.day, total, "o", color=colour, markersize=8, zorder=3)
        # Beside the bars of the limits, which are as wide as `half` on either side.
        where, box = (answer.day + half, total), {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.annotate(category, where, (3, -4), textcoords="offset points", color=colour, weight="bold", bbox=box)
        if category not in (BASELINE, NE) and numbers["baseline_sum"]:
            response = numbers["baseline_sum"] * (1 - criteria.response)
            limits.append((answer.day, response, numbers["nadir_sum"] * (1 + criteria.progression)))
    for day, response, progression in limits:
        axis.plot([day - half, day + half], [response] * 2, color=CATEGORY_COLOURS["PR"], linewidth=2)
        axis.plot([day - half, day + half], [progression] * 2, color=CATEGORY_COLOURS["PD"], linewidth=2)
    events = [(day, "operation") for day in course.operations]
    events += [(day, "radiotherapy ends") for day in course.radiotherapy_ends]
    events += [(day, "treatment starts") for day in course.treatment_starts]
    for day, name in events:
        if low - 60 <= day <= high + 60:
            axis.axvline(day, color="black", linewidth=1, linestyle=":")
            axis.text(day, 0.97, f" {name}", transform=axis.get_xaxis_transform(), va="top", fontsize=8)
    axis.set_ylim(0, 1.3 * max([*sums, *(one[2] for one in limits), 1e-9]))
    axis.set_ylabel(f"{criteria.words.removeprefix('the ')}\n({criteria.unit})", fontsize=9)
    axis.set_title(criteria.name, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    marks = [("PR from here down", CATEGORY_COLOURS["PR"]), ("PD from here up", CATEGORY_COLOURS["PD"])]
    handles = [Line2D([], [], color=colour, linewidth=2, label=label) for label, colour in marks]
    axis.legend(handles=handles, fontsize=8, frameon=False, loc="upper right", ncols=2)


def lesions_figure(patient: PatientResponse, studies: Sequence[SegmentedStudy], synthetic: bool) -> Figure | None:
    """Lesions by studies: the slice of the longest diameter, the outline, and both diameters with their mm.

    Shown are the lesions that are largest in any study, in the first, the last and the largest studies.

    Args:
        studies: with their masks and images, in the order of the patient's.
    """
    largest: dict[str, float] = {}
    for study in patient.studies:
        for name, lesion in study.lesions.items():
            largest[name] = max(largest.get(name, 0.0), lesion.longest_mm)
    names = sorted(largest, key=lambda name: -largest[name])[:_MOST_LESIONS]
    if not names:
        return None
    shown = list(range(len(studies)))
    if len(shown) > _MOST_STUDIES:
        shown = [0, *shown[-(_MOST_STUDIES - 1) :]]
    figure = new_figure(1.9 * len(shown) + 0.6, 2.05 * len(names) + 0.8, synthetic)
    grid = figure.subplots(len(names), len(shown), squeeze=False)
    for row, name in zip(grid, names, strict=True):
        seen = [study.lesions[name] for study in patient.studies if name in study.lesions]
        place = seen[0].parts[0].longest.mean(axis=0)
        side = max(40.0, 1.5 * largest[name])
        for axis, number in zip(row, shown, strict=True):
            now = patient.studies[number].lesions.get(name)
            if now is not None:
                place = now.parts[0].longest.mean(axis=0)
            _draw_lesion(axis, studies[number], now, place, side)
        row[0].set_ylabel(f"lesion {name}", fontsize=9)
    for axis, number in zip(grid[0], shown, strict=True):
        axis.set_title(f"{studies[number].name}\nday {studies[number].day}", fontsize=9)
    handles = [
        Line2D([], [], color=LONGEST, linewidth=2, label="longest diameter"),
        Line2D([], [], color=PERPENDICULAR, linewidth=2, label="perpendicular"),
        Line2D([], [], color=CONTOUR, linewidth=1.2, label="outline"),
        Line2D([], [], color="white", linewidth=3, label=f"bar: {_BAR_MM} mm"),
    ]
    legend = figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8, frameon=True)
    legend.get_frame().set_facecolor("#9aa3ad")
    return figure


def _draw_lesion(
    axis: Axes, study: SegmentedStudy, lesion: LesionMeasures | None, place: np.ndarray, side: float
) -> None:
    """One picture, the patient's right on the left and anterior on top."""
    plane = axial_plane(study.region.affine)
    right = plane.directions[0]
    front = plane.directions[1] - (plane.directions[1] @ right) * right
    front /= np.linalg.norm(front)
    part = lesion.parts[0] if lesion else None
    steps = (np.arange(round(side / _PIXEL_MM)) + 0.5) * _PIXEL_MM - side / 2
    world = place + steps[:, None, None] * right + steps[None, :, None] * front
    inside = _sampled(study.region, world, order=0, exact=part is not None) > 0.5
    image = study.image if study.image is not None else np.zeros(study.region.array.shape, dtype=np.uint8)
    grey = _sampled(Volume(image, study.region.affine), world, order=1, exact=part is not None)
    low, high = np.percentile(grey, [2, 99.5])
    extent = (-side / 2, side / 2, -side / 2, side / 2)
    axis.imshow(grey.T, origin="lower", extent=extent, cmap="gray", vmin=low, vmax=max(high, low + 1))
    if inside.any():
        axis.contour(steps, steps, inside.T.astype(float), levels=[0.5], colors=[CONTOUR], linewidths=1.0)
    if part is None:
        axis.text(0, 0, "not there", color="white", ha="center", fontsize=9)
    else:
        _draw_diameters(axis, part, place, np.stack([right, front], axis=1))
    bar = [side / 2 - 2, side / 2 - 2 - _BAR_MM], [-side / 2 + 2] * 2
    axis.plot(*bar, color="black", linewidth=5)
    axis.plot(*bar, color="white", linewidth=3)
    axis.set_xlim(side / 2, -side / 2)  # the patient's right on the left
    axis.set_ylim(-side / 2, side / 2)
    axis.set_xticks([])
    axis.set_yticks([])


def _draw_diameters(axis: Axes, part: Diameters, place: np.ndarray, basis: np.ndarray) -> None:
    for ends, colour in ((part.longest, LONGEST), (part.perpendicular, PERPENDICULAR)):
        flat = (ends - place) @ basis
        axis.plot(flat[:, 0], flat[:, 1], color=colour, linewidth=1.6)
    text = f"{part.longest_mm:.1f} × {part.perpendicular_mm:.1f} mm"
    box = {"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0}
    axis.text(0.03, 0.96, text, transform=axis.transAxes, color="white", va="top", fontsize=8, bbox=box)


def _sampled(volume: Volume, world: np.ndarray, order: int, exact: bool) -> np.ndarray:
    """Values at RAS mm points ``(…, 3)``.

    Args:
        exact: the points lie in one slice, whose voxels are shown as they are across the slices.
    """
    index = volume.to_index(world.reshape(-1, 3)).T
    if exact:
        across = axial_plane(volume.affine).slice_axis
        index[across] = np.rint(index[across].mean())
    values = map_coordinates(np.asarray(volume.array), index, order=order, output=np.float32, mode="nearest")
    return values.reshape(world.shape[:-1])
