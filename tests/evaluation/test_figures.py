"""Every figure says what it shows: labelled axes, colour bars, the stamp; and planted signals lie in their place."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from sklearn import metrics as skm
from treatment_response.metrics.bootstrap import auc, patient_bootstrap
from treatment_response.metrics.roc import roc_band
from treatment_response.metrics.scores import lesion_averages
from treatment_response.report.figures.style import SYNTHETIC_STAMP, new_figure, png_bytes, show_patch
from treatment_response.report.figures.training import training_curves
from treatment_response.report.lesions.figures.cohort import cohort_overview
from treatment_response.report.lesions.figures.patches import (
    class_activation_maps,
    feature_maps,
    group_maps,
    reconstructions,
)
from treatment_response.report.lesions.figures.performance import confusion_matrix, roc_curves

PATCHES = ("reconstructions", "features", "cams", "groups")


def colour_bars(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


@pytest.fixture(params=["cohort", "training", *PATCHES, "roc", "confusion"])
def named_figure(request, lesions, predictions, history, views):
    averaged = lesion_averages(predictions)
    responders, others = [v for v in views if v.label == 1][:6], [v for v in views if v.label == 0][:4]
    make = {
        "cohort": lambda: cohort_overview(lesions, 0.2, True),
        "training": lambda: training_curves(history, True),
        "reconstructions": lambda: reconstructions(views[:3], True),
        "features": lambda: feature_maps(views[0], True),
        "cams": lambda: class_activation_maps(views[0], True),
        "groups": lambda: group_maps(responders, others, True),
        "roc": lambda: roc_curves(
            averaged, {r: patient_bootstrap(g, auc()) for r, g in averaged.groupby("role")}, True
        ),
        "confusion": lambda: confusion_matrix(averaged[averaged["role"] == "heldout_mri1"], "decisions", True),
    }
    return request.param, make[request.param]()


def test_axes_are_labelled_and_colours_explained(named_figure):
    name, figure = named_figure
    bars = colour_bars(figure)
    plots = [axes for axes in figure.axes if axes not in bars and axes.get_visible()]
    if name in PATCHES:
        # Inner panels of a grid share the outer labels, which carry millimetres and directions.
        assert any("R ← mm → L" in axes.get_xlabel() for axes in plots)
        assert any("P ← mm → A" in axes.get_ylabel() for axes in plots)
    else:
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in plots)
    if name in (*PATCHES, "confusion"):
        assert bars
        assert all(bar.get_ylabel() for bar in bars)
    assert SYNTHETIC_STAMP in figure.get_supxlabel()
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_only_synthetic_data_are_called_so(lesions):
    stamp = cohort_overview(lesions, 0.2, False).get_supxlabel()
    assert "SYNTHETIC" not in stamp
    assert "research use only" in stamp


def test_the_patients_right_lies_left_and_anterior_on_top():
    patch = np.zeros((64, 64))
    patch[60, 5] = 1.0  # far to the patient's right (+R), posterior
    figure = new_figure(2, 2, True)
    axes = figure.subplots()
    image = show_patch(axes, patch, 0.5)
    left, right, bottom, top = image.get_extent()
    shown = image.get_array()
    row, column = np.argwhere(shown == 1.0)[0]
    x = left + (column + 0.5) * (right - left) / 64
    y = bottom + (row + 0.5) * (top - bottom) / 64
    assert (x, y) == (pytest.approx((60 - 31.5) * 0.5), pytest.approx((5 - 31.5) * 0.5))
    assert axes.xaxis_inverted()
    assert not axes.yaxis_inverted()
    pixel = axes.transData.transform((x, y)) - axes.transData.transform((0, 0))
    assert pixel[0] < 0
    assert pixel[1] < 0


def test_a_map_of_zeros_is_called_no_evidence(views):
    empty = next(v for v in views if v.label == 1 and v.subject == "sub-003")
    texts = [text.get_text() for axes in class_activation_maps(empty, True).axes for text in axes.texts]
    assert texts.count("no evidence") == 6


def test_the_same_colour_means_the_same_value_and_class_in_every_panel(views):
    groups = [[v for v in views if v.label == label] for label in (1, 0)]
    maps = [
        image
        for axes in group_maps(*groups, True).axes
        for image in axes.images
        if image.get_cmap().name.startswith("evidence")
    ]
    assert {image.get_clim() for image in maps} == {(0.0, 1.0)}
    full = [image.get_cmap()(1.0) for image in maps]
    assert full[: len(groups[0])] == [to_rgba("#486CB4")] * len(groups[0])  # blue
    assert full[len(groups[0]) :] == [to_rgba("#CE3503")] * len(groups[1])  # vermillion


def test_confusion_counts_by_hand():
    table = pd.DataFrame({"label": [1, 1, 1, 0, 0], "p_response": [0.9, 0.5, 0.1, 0.8, 0.2]})
    figure = confusion_matrix(table, "x", False)
    assert figure.axes[0].images[0].get_array().tolist() == [[2, 1], [1, 1]]


def test_roc_corners_by_hand():
    table = pd.DataFrame({"subject": [1, 2, 3, 4], "label": [1, 0, 1, 0], "p_response": [0.9, 0.6, 0.6, 0.1]})
    band = roc_band(table, n=200)
    assert band.fpr.tolist() == [0, 0, 0.5, 1]
    assert band.tpr.tolist() == [0, 0.5, 1, 1]
    assert np.all(band.low <= band.high)
    other = roc_band(table, positive=0, n=50)
    assert skm.auc(other.fpr, other.tpr) == pytest.approx(skm.auc(band.fpr, band.tpr))


def test_misclassified_lesions_are_marked_by_a_word_and_a_frame(views):
    responders, others = [v for v in views if v.label == 1][:3], [v for v in views if v.label == 0][:2]
    wrong = replace(responders[1], p_response=0.49)
    figure = group_maps([responders[0], wrong, responders[2]], others, True)
    marked = [axes for axes in figure.axes if any(text.get_text() == "MISCLASSIFIED" for text in axes.texts)]
    assert [axes.get_title() for axes in marked] == [f"{wrong.name}\nP(response) = 0.49"]
    thick = [axes for axes in figure.axes if axes.spines["left"].get_linewidth() > 2]
    assert thick == marked
    assert figure.get_suptitle().endswith("1 of 5 misclassified")
