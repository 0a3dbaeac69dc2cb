"""What every figure shares: colours, patch axes in millimetres, and the stamp that says what the data are."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from treatment_response.class_colours import OUTLINE, class_colour, shade

BLUE, VERMILLION = class_colour(1), class_colour(0)
GREY, GREEN, PURPLE = "#666666", "#009E73", "#CC79A7"
CONTOUR = OUTLINE
SYNTHETIC_STAMP = "SYNTHETIC DATA — research use only"
CLINICAL_STAMP = "research use only"


# Nine methods told apart by colour and line: the palette's eight colours but the pale yellow, then again, dashed.
_METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def method_style(number: int) -> tuple[str, str]:
    """Colour and line of the method with this number (from 0) in a figure."""
    return _METHOD_COLOURS[number % len(_METHOD_COLOURS)], ("-", "--", "-.")[number // len(_METHOD_COLOURS) % 3]


def evidence_colours(number: int) -> Colormap:
    """The colours of evidence for a class, 0 to 1, by its colour's number: those of every screen and stored object."""
    return ListedColormap(shade(np.linspace(0, 1, 256), number) / 255, name=f"evidence {number}")


def new_figure(width: float, height: float, synthetic: bool, title: str = "") -> Figure:
    """An empty figure (inches) that carries its stamp at the lower right."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    # supxlabel reserves its own strip, so the stamp never lies on an axis.
    figure.supxlabel(SYNTHETIC_STAMP if synthetic else CLINICAL_STAMP, x=0.995, ha="right", fontsize=8, color="#B00020")
    return figure


def finish_roc(axes: Axes, font_size: float) -> None:
    """Give ROC curves their diagonal, axes and legend, whose entries carry intervals over patients."""
    axes.plot([0, 1], [0, 1], ":", color="black", linewidth=1)
    axes.set(xlabel="1 − specificity (false-positive rate)", ylabel="sensitivity (true-positive rate)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.legend(fontsize=font_size, loc="lower right", title="[95 % interval over patients]", title_fontsize=font_size)


def patch_extent(size: int, pixel_mm: float) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a square patch in mm from its centre, for `size` pixels of `pixel_mm`."""
    half = size * pixel_mm / 2
    return (-half, half, -half, half)


def show_patch(
    axes: Axes,
    patch: NDArray,
    pixel_mm: float,
    *,
    cmap: str | Colormap = "gray",
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    alpha: NDArray | float | None = None,
) -> AxesImage:
    """Draw an axial patch the radiological way: patient's right on the left, anterior on top.

    Args:
        patch: (X, Y), the first axis towards the patient's right, the second towards anterior (RAS).
        pixel_mm: side of one pixel in mm, so that maps of 16 cells and images of 64 pixels share one frame.
    """
    image = axes.imshow(
        np.asarray(patch).T,
        origin="lower",
        extent=patch_extent(patch.shape[0], pixel_mm),
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        alpha=None if alpha is None else np.asarray(alpha).T,
        interpolation="nearest",
    )
    _face_the_patient(axes, patch.shape[0] * pixel_mm)
    axes.tick_params(labelsize=7)
    return image


def draw_contour(axes: Axes, mask: NDArray, pixel_mm: float, colour: str = CONTOUR) -> None:
    """Outline the binary `mask` (X, Y) on a patch drawn by `show_patch`."""
    if not np.any(mask):
        return
    left, right, bottom, top = patch_extent(mask.shape[0], pixel_mm)
    x = np.linspace(left + pixel_mm / 2, right - pixel_mm / 2, mask.shape[0])
    y = np.linspace(bottom + pixel_mm / 2, top - pixel_mm / 2, mask.shape[1])
    axes.contour(x, y, np.asarray(mask, dtype=float).T, levels=[0.5], colors=[colour], linewidths=1.2)
    _face_the_patient(axes, mask.shape[0] * pixel_mm)


def millimetre_labels(grid: NDArray) -> None:
    """Label the outer axes of a 2D array of patch axes, and hide the inner tick labels."""
    rows, columns = grid.shape
    for r in range(rows):
        for c in range(columns):
            axes = grid[r, c]
            axes.set_xlabel("R ← mm → L" if r == rows - 1 else "", fontsize=8)
            axes.set_ylabel("P ← mm → A" if c == 0 else "", fontsize=8)
            axes.tick_params(labelbottom=r == rows - 1, labelleft=c == 0)


def _face_the_patient(axes: Axes, field_mm: float) -> None:
    """Set the limits so that the patient's right (+x in RAS) lies on the left, as on every reading screen."""
    axes.set_xlim(field_mm / 2, -field_mm / 2)
    axes.set_ylim(-field_mm / 2, field_mm / 2)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
