"""What the network sees and makes of a lesion's slice (the paper's Figs. 4A, 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from treatment_response.class_colours import opacity
from treatment_response.classes import CLASS_NAMES
from treatment_response.evaluation.views import VARIANT_NAMES, LesionView
from treatment_response.report.figures.style import (
    draw_contour,
    evidence_colours,
    millimetre_labels,
    new_figure,
    show_patch,
)

CAM_LABEL = "CAM, on the model's fixed scale\n(0 = no evidence, 1 = reference)"


def reconstructions(views: Sequence[LesionView], synthetic: bool) -> Figure:
    """Fig. 4A: per lesion the slice, what the decoder is asked for (slice × mask), its answer, and their difference."""
    figure = new_figure(1.2 + 2.0 * len(views), 8.6, synthetic, "Reconstruction (Fig. 4A)")
    grid = np.atleast_2d(figure.subplots(4, len(views), squeeze=False))
    names = ("MRI slice", "target:\nslice × GTV", "reconstruction", "difference")
    for column, view in enumerate(views):
        target = view.image * view.mask
        if view.reconstruction is None:
            raise ValueError(f"{view.name} has no reconstruction: its network has no decoder.")
        panels = (view.image, target, view.reconstruction)
        for row, panel in enumerate(panels):
            image = show_patch(grid[row, column], panel, view.pixel_mm)
        error = show_patch(
            grid[3, column], view.reconstruction - target, view.pixel_mm, cmap="RdBu_r", vmin=-0.5, vmax=0.5
        )
        draw_contour(grid[0, column], view.mask, view.pixel_mm)
        grid[0, column].set_title(f"{view.name}\n{view.truth}", fontsize=9)
    millimetre_labels(grid)
    for row, name in enumerate(names):
        grid[row, 0].set_ylabel(f"{name}\nP ← mm → A", fontsize=9)
    figure.colorbar(image, ax=list(grid[:3].ravel()), label="intensity (0 to 1)", shrink=0.5)
    figure.colorbar(error, ax=list(grid[3]), label="reconstruction − target")
    return figure


def feature_maps(view: LesionView, synthetic: bool) -> Figure:
    """Fig. 5A: the encoder's maps A and the gradients ∂y/∂A of the true class's logit, with the GTV outlined."""
    count = len(view.features)
    figure = new_figure(2.2 + 2.1 * (count + 1), 5.2, synthetic, f"Feature and gradient maps, {view.name} (Fig. 5A)")
    grid = figure.subplots(2, count + 1, squeeze=False)
    sign = 1 if view.label == 1 else -1
    gradients = sign * view.gradients
    top = float(view.features.max()) or 1.0
    bound = float(np.abs(gradients).max()) or 1.0
    slice_image = show_patch(grid[0, 0], view.image, view.pixel_mm)
    masked = show_patch(grid[1, 0], view.image * view.mask, view.pixel_mm)
    grid[0, 0].set_title("MRI slice", fontsize=9)
    grid[1, 0].set_title("slice × GTV", fontsize=9)
    for k in range(count):
        feature = show_patch(grid[0, k + 1], view.features[k], view.cell_mm(), cmap="viridis", vmin=0, vmax=top)
        gradient = show_patch(grid[1, k + 1], gradients[k], view.cell_mm(), cmap="RdBu_r", vmin=-bound, vmax=bound)
        grid[0, k + 1].set_title(f"feature map {k + 1}", fontsize=9)
        grid[1, k + 1].set_title(f"gradient map {k + 1}", fontsize=9)
    for axes in grid.ravel():
        draw_contour(axes, view.mask, view.pixel_mm)
    millimetre_labels(grid)
    figure.colorbar(slice_image, ax=grid[0, 0], label="intensity", location="left")
    figure.colorbar(masked, ax=grid[1, 0], label="intensity", location="left")
    figure.colorbar(feature, ax=list(grid[0, 1:]), label="activation A")
    figure.colorbar(gradient, ax=list(grid[1, 1:]), label=f"∂y({view.truth})/∂A")
    return figure


def class_activation_maps(view: LesionView, synthetic: bool) -> Figure:
    """Fig. 5B: three CAMs for the true class (POS) and the other one (NEG) over the slice, with the GTV outlined."""
    figure = new_figure(11.5, 6.5, synthetic, f"Class activation maps, {view.name}, {view.truth} (Fig. 5B)")
    grid = figure.subplots(2, 4, squeeze=False)
    for row, (target, kind) in enumerate(((view.label, "POS"), (1 - view.label, "NEG"))):
        show_patch(grid[row, 0], view.image, view.pixel_mm)
        draw_contour(grid[row, 0], view.mask, view.pixel_mm)
        for column, (variant, name) in enumerate(VARIANT_NAMES.items(), start=1):
            overlay = _draw_cam(grid[row, column], view, variant, target)
            grid[row, column].set_title(f"{name}, {kind}:\nfor {CLASS_NAMES[target]}", fontsize=9)
        _scale(figure, overlay, list(grid[row]), CLASS_NAMES[target])
    grid[0, 0].set_title(f"MRI slice with GTV\nP(response) = {view.p_response:.2f}", fontsize=9)
    millimetre_labels(grid)
    return figure


def group_maps(
    responders: Sequence[LesionView], non_responders: Sequence[LesionView], synthetic: bool, variant: str = "pixelwise"
) -> Figure:
    """Fig. 6: one CAM variant, for the true class, of up to six lesions per group; wrong decisions are marked."""
    columns = max(len(responders), len(non_responders), 1)
    shown = [*responders, *non_responders]
    count = f"{sum(view.wrong for view in shown)} of {len(shown)} misclassified"
    title = f"{VARIANT_NAMES[variant]}s for the lesion's true class (Fig. 6): {count}"
    figure = new_figure(1.8 + 1.95 * columns, 8.8, synthetic, title)
    grid = figure.subplots(4, columns, squeeze=False)
    for pair, (views, group) in enumerate(((responders, "response"), (non_responders, "non-response"))):
        for column in range(columns):
            raw, cam = grid[2 * pair, column], grid[2 * pair + 1, column]
            if column >= len(views):
                raw.set_visible(False)
                cam.set_visible(False)
                continue
            view = views[column]
            show_patch(raw, view.image, view.pixel_mm)
            draw_contour(raw, view.mask, view.pixel_mm)
            overlay = _draw_cam(cam, view, variant, view.label)
            raw.set_title(f"{view.name}\nP({group}) = {_p_true(view):.2f}", fontsize=8)
            if view.wrong:
                _mark_wrong(raw)
        if views:
            _scale(figure, overlay, list(grid[2 * pair : 2 * pair + 2].ravel()), group)
    millimetre_labels(grid)
    for row in range(4):
        grid[row, 0].set_ylabel(
            f"{('response', 'non-response')[row // 2]}\n{('MRI', 'CAM')[row % 2]}\nP ← mm → A", fontsize=9
        )
    return figure


def _draw_cam(axes: Axes, view: LesionView, variant: str, target: int) -> AxesImage:
    """Overlay one CAM on the slice, inside the GTV's cells only: the more evidence, the more opaque."""
    cam = view.cams[(variant, target)]
    show_patch(axes, view.image, view.pixel_mm)
    alpha = np.where(view.cell_mask(), opacity(cam), 0.0)
    overlay = show_patch(axes, cam, view.cell_mm(), cmap=evidence_colours(target), alpha=alpha)
    draw_contour(axes, view.mask, view.pixel_mm)
    if not np.any(cam > 0):
        axes.text(0.5, 0.04, "no evidence", transform=axes.transAxes, ha="center", color="white", fontsize=9)
    return overlay


def _mark_wrong(axes: Axes) -> None:
    """A thick frame and the word: told from the others without colour."""
    box = {"facecolor": "white", "edgecolor": "black", "boxstyle": "square,pad=0.2"}
    axes.text(0.5, 0.95, "MISCLASSIFIED", transform=axes.transAxes, ha="center", va="top", fontsize=8, bbox=box)
    for spine in axes.spines.values():
        spine.set_linewidth(3)


def _scale(figure: Figure, overlay: AxesImage, panels: Sequence[Axes], group: str) -> None:
    """The colour bar of one class beside its panels."""
    figure.colorbar(overlay, ax=panels, label=f"evidence for {group}:\n{CAM_LABEL}", shrink=0.8)


def _p_true(view: LesionView) -> float:
    return view.p_response if view.label == 1 else 1 - view.p_response
