"""A case in three planes through the highest place of a map."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from treatment_response.class_colours import MOST_COLOURS, OUTLINE, opacity
from treatment_response.report.case_pictures import CasePicture
from treatment_response.report.figures.style import evidence_colours, new_figure

PLANES = (("sagittal", 1, 2, 0), ("coronal", 0, 2, 1), ("axial", 0, 1, 2))
"""Name, the axes to the right and upwards, the axis through the plane; axes run to R, A, S."""
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
_OTHER = "magma"
"""Colours of evidence for classes that have none of their own."""


def three_planes(picture: CasePicture, synthetic: bool) -> Figure:
    """A row per explanation; the crosshair marks the map's highest place.

    The patient's right is on the left, as on every reading screen.
    """
    rows = list(picture.maps)
    truth = f", truly {picture.truth}" if picture.truth else ""
    title = f"{picture.subject} {picture.case}: {picture.decided} (P = {picture.probability:.2f}){truth}"
    figure = new_figure(10.2, 0.7 + 3.3 * len(rows), synthetic, title)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for line, name in zip(grid, rows, strict=True):
        for axes, plane in zip(line, PLANES, strict=True):
            _draw(axes, picture, name, plane)
        line[0].set_ylabel(f"{name}\n{line[0].get_ylabel()}", fontsize=9)
        line[1].set_title(f"{line[1].get_title()}\n{_place(picture, name)}", fontsize=9)
        scale = figure.colorbar(ScalarMappable(Normalize(0, 1), _colours(picture)), ax=line[2], shrink=0.8)
        scale.set_label(f"evidence for {picture.decided},\nshare of the model's scale", fontsize=8)
        scale.ax.tick_params(labelsize=7)
    return figure


def _colours(picture: CasePicture) -> str | Colormap:
    return evidence_colours(picture.colour) if picture.colour < MOST_COLOURS else _OTHER


def _place(picture: CasePicture, name: str) -> str:
    """Where the map is highest, in words."""
    if not picture.maps[name].any():
        return "no evidence"
    sides = zip(_ENDS, picture.highest_mm[name], strict=True)
    return "highest at " + ", ".join(f"{ends[value >= 0]} {abs(value):.1f}" for ends, value in sides) + " mm"


def _draw(axes: Axes, picture: CasePicture, name: str, plane: tuple[str, int, int, int]) -> None:
    title, across, upwards, through = plane
    values, voxel = picture.maps[name], picture.highest[name]
    sizes = [picture.spacing[axis] * values.shape[axis] for axis in (across, upwards)]
    extent = (0.0, sizes[0], 0.0, sizes[1])
    if picture.image is not None:
        low, high = np.percentile(picture.image, (1, 99))
        shown = _slice(picture.image, voxel, through)
        axes.imshow(shown.T, origin="lower", extent=extent, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    evidence = _slice(values, voxel, through)
    axes.imshow(
        evidence.T,
        origin="lower",
        extent=extent,
        cmap=_colours(picture),
        vmin=0,
        vmax=1,
        alpha=opacity(evidence).T,
        interpolation="nearest",
    )
    centre = [(voxel[axis] + 0.5) * picture.spacing[axis] for axis in (across, upwards)]
    axes.axvline(centre[0], color=OUTLINE, linewidth=0.9, linestyle=":")
    axes.axhline(centre[1], color=OUTLINE, linewidth=0.9, linestyle=":")
    axes.set_title(title, fontsize=9)
    axes.set(xlim=(sizes[0], 0) if across == 0 else (0, sizes[0]), ylim=(0, sizes[1]), aspect="equal")
    left, right = _ENDS[across][::-1] if across == 0 else _ENDS[across]
    axes.set_xlabel(f"{left} ← mm → {right}", fontsize=8)
    axes.set_ylabel(f"{_ENDS[upwards][0]} ← mm → {_ENDS[upwards][1]}", fontsize=8)
    axes.tick_params(labelsize=7)


def _slice(volume: NDArray, voxel: tuple[int, int, int], axis: int) -> NDArray:
    return np.take(volume, voxel[axis], axis=axis)
