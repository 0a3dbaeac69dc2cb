"""A picture of one prepared case for whoever checks it: registration, brain, lesion and dose in three planes."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import map_coordinates

from treatment_response.geometry import Volume
from treatment_response.longitudinal.case import PreparedCase

_FIELD_MM = 210.0
_STEP_MM = 1.0
_TILE_MM = 26.0
_BAR_MM = 50.0
_LEVELS = (0.2, 0.5, 0.8, 0.95)
"""Isodose lines as shares of the dose on the prescription's isodose, or of the highest dose."""
_COLOURS = ("#56b4e9", "#009e73", "#f0e442", "#d55e00")
_BRAIN, _LESION = "#00c8ff", "#ff4fd8"
_PLANES = (("axial", 0, 1), ("coronal", 0, 2), ("sagittal", 1, 2))
"""Name, axis from left to right and axis upwards of each plane, in RAS."""
_ROWS = ("checkerboard: event and post-operative", "event, brain and lesion", "event and dose")


def quality_picture(case: PreparedCase, subject: str) -> bytes:
    """PNG of three rows (checkerboard, outlines, isodose lines) and three planes through the lesion.

    The planes go through the lesion's centre, or through the middle of the high dose where there is no lesion, and show
    the whole brain. The patient's right is on the left; a bar of 50 mm stands in each panel.
    """
    figure = Figure(figsize=(9.6, 10.4), dpi=80, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3)
    centre = _centre(case)
    brain = _centre_of(case.images["brain"], 0.5)
    levels = _levels(case)
    ranges = {name: _range(case, name) for name in ("event", "post_operative")}
    for column, (plane, right, up) in enumerate(_PLANES):
        depth = 3 - right - up
        middle = np.where(np.arange(3) == depth, centre, brain)
        cut = {name: _plane(volume, middle, right, up) for name, volume in case.images.items()}
        event, earlier = (_grey(cut[name], *ranges[name]) for name in ("event", "post_operative"))
        extent = _extent(middle, right, up)
        lesion = None if case.lesion is None else _plane(case.lesion, middle, right, up)
        for row, shown in enumerate((np.where(_tiles(event.shape), event, earlier), event, event)):
            axis = axes[row, column]
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent)
            axis.set_axis_off()
            if column == 0:
                axis.set_title(_ROWS[row], color="white", fontsize=9, loc="left")
            axis.text(0.98, 0.97, plane, color="white", transform=axis.transAxes, va="top", ha="right", fontsize=9)
            _scale_bar(axis, extent)
            if right == 0:
                axis.text(0.02, 0.97, "R", color="white", transform=axis.transAxes, va="top", fontsize=9)
        grid = {"origin": "lower", "extent": extent}
        axes[1, column].contour(cut["brain"], [0.5], colors=[_BRAIN], linewidths=0.9, **grid)
        if lesion is not None and lesion.max() > 0:
            for row in (1, 2):
                axes[row, column].contour(lesion, [0.5], colors=[_LESION], linewidths=1.1, **grid)
        drawn = [(level, colour) for level, colour in zip(levels, _COLOURS, strict=True) if level < cut["dose"].max()]
        for level, colour in drawn:
            axes[2, column].contour(cut["dose"], [level], colors=[colour], linewidths=1.0, **grid)
    _legend(figure, case, levels)
    figure.suptitle(f"{subject}, event, {case.dose_unit}", color="white", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="black")
    return buffer.getvalue()


def _levels(case: PreparedCase) -> tuple[float, ...]:
    if case.isodose_gy is not None:
        return tuple(share / _LEVELS[-1] * case.isodose_gy for share in _LEVELS)
    return tuple(share * float(case.images["dose"].array.max()) for share in _LEVELS)


def _legend(figure: Figure, case: PreparedCase, levels: tuple[float, ...]) -> None:
    lines = [Line2D([], [], color=_BRAIN, label="brain"), Line2D([], [], color=_LESION, label="lesion")]
    for share, level, colour in zip(_LEVELS, levels, _COLOURS, strict=True):
        name = "95 % isodose" if share == _LEVELS[-1] and case.isodose_gy is not None else ""
        lines.append(Line2D([], [], color=colour, label=f"{level:.1f} {case.dose_unit} {name}".strip()))
    figure.legend(handles=lines, loc="outside lower center", ncols=3, fontsize=8, labelcolor="white", facecolor="black")


def _centre(case: PreparedCase) -> np.ndarray:
    """RAS mm of the point that the planes go through."""
    dose = case.images["dose"]
    return _centre_of(dose, 0.9 * float(dose.array.max())) if case.lesion is None else _centre_of(case.lesion, 0.5)


def _centre_of(volume: Volume, level: float) -> np.ndarray:
    """RAS mm of the middle of what reaches a level."""
    return volume.to_world(np.argwhere(volume.array >= level)).mean(axis=0)


def _plane(volume: Volume, centre: np.ndarray, right: int, up: int) -> np.ndarray:
    """Values of the plane through a point, rows upwards; the patient's right is on the left."""
    offsets = np.arange(-_FIELD_MM / 2, _FIELD_MM / 2, _STEP_MM) + _STEP_MM / 2
    rows, columns = np.meshgrid(offsets, offsets, indexing="ij")
    points = np.broadcast_to(centre, (rows.size, 3)).copy()
    points[:, right] += (-1 if right == 0 else 1) * columns.ravel()
    points[:, up] += rows.ravel()
    values = map_coordinates(np.asarray(volume.array, np.float32), volume.to_index(points).T, order=1)
    return values.reshape(rows.shape)


def _extent(centre: np.ndarray, right: int, up: int) -> tuple[float, float, float, float]:
    across = (-1 if right == 0 else 1) * centre[right]
    return (across - _FIELD_MM / 2, across + _FIELD_MM / 2, centre[up] - _FIELD_MM / 2, centre[up] + _FIELD_MM / 2)


def _tiles(shape: tuple[int, ...]) -> np.ndarray:
    row, column = np.indices(shape) // round(_TILE_MM / _STEP_MM)
    tiles: np.ndarray = (row + column) % 2 == 0
    return tiles


def _range(case: PreparedCase, name: str) -> tuple[float, float]:
    values = case.images[name].array[case.images["brain"].array > 0]
    low, high = np.percentile(values, [1, 99.7])
    return float(low), float(high)


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((values - low) / max(high - low, 1e-6)).clip(0, 1)


def _scale_bar(axis: object, extent: tuple[float, float, float, float]) -> None:
    left, bottom = extent[0] + 10, extent[2] + 8
    axis.plot([left, left + _BAR_MM], [bottom, bottom], color="white", linewidth=2)  # type: ignore[attr-defined]
    axis.text(left, bottom + 4, f"{_BAR_MM:.0f} mm", color="white", fontsize=7)  # type: ignore[attr-defined]
