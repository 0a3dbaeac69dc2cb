"""Figures of several methods, of scores and of single lesions: labelled, told apart, planted values in their place."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from treatment_response.metrics.scores import lesion_averages
from treatment_response.report.figures.scores import importance_bars, score_bars
from treatment_response.report.figures.style import CONTOUR, SYNTHETIC_STAMP, method_style
from treatment_response.report.lesions.figures.methods import decision_curves, reliability_curves, roc_of_methods
from treatment_response.report.lesions.figures.thumbnails import SIDE, lesion_thumbnail
from treatment_response.report.lesions.lesion_table import LesionPicture, lesion_rows

NAMES = [f"method {number}" for number in range(9)]
GROUPS = [{"n": 7, "predicted": 0.2, "observed": 0.1}, {"n": 6, "predicted": 0.8, "observed": 0.9}]
POINTS = [
    {
        "threshold": t,
        "net_benefit": b,
        "low": b - 0.1,
        "high": b + 0.1,
        "act_on_all": 0.36 - t,
        "advantage_low": t - 0.3,
    }
    for t, b in ((0.1, 0.27), (0.5, 0.17), (0.9, 0.07))
]


def nine_methods(predictions):
    averaged = lesion_averages(predictions)
    rows = averaged[averaged["role"] == "heldout_mri1"]
    return roc_of_methods(dict.fromkeys(NAMES, rows), dict.fromkeys(NAMES, "AUC 0.7"), True)


def bars():
    rows = [
        (name, kind, measure, 0.7, 0.6, 0.8, "higher", 0.5)
        for measure in ("auc", "dice", "pointing", "insertion")
        for name, kind in (("Grad-CAM", "map"), ("label-shuffled network: pixel-wise CAM", "control"))
    ]
    return pd.DataFrame(rows, columns=["map", "kind", "measure", "mean", "low", "high", "better", "chance"])


def importances():
    rows = [("gradient", f"gradient.{i}", "gradient", 1 - i / 20, 0.3 - i / 30) for i in range(15)]
    return pd.DataFrame(rows, columns=["method", "feature", "group", "chosen", "weight"])


@pytest.mark.parametrize(
    "make",
    [
        nine_methods,
        lambda _: reliability_curves(dict.fromkeys(NAMES, GROUPS), dict.fromkeys(NAMES, "Brier 0.2"), True),
        lambda _: decision_curves(dict.fromkeys(NAMES, POINTS), True),
        lambda _: importance_bars(importances(), {}, {"gradient": "gradients"}, True),
        lambda _: score_bars(bars(), "localisation", True),
    ],
    ids=["roc", "reliability", "decision", "importances", "scores"],
)
def test_figures_are_labelled_and_their_titles_keep_apart(make, predictions):
    figure = make(predictions)
    assert SYNTHETIC_STAMP in figure.get_supxlabel()
    figure.draw_without_rendering()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    boxes = []
    for axes in shown:
        assert axes.get_xlabel()
        assert axes.get_ylabel() or axes.get_subplotspec().colspan.start  # panels in a row share the left one's
        boxes += [axes.get_tightbbox()]
    for number, box in enumerate(boxes):  # no panel's labels lie on another panel's
        assert not any(box.shrunk(0.98, 0.98).overlaps(other) for other in boxes[number + 1 :])


def test_nine_methods_differ_in_colour_or_line():
    assert len({method_style(number) for number in range(9)}) == 9


def test_reliability_says_n_and_shows_the_groups():
    figure = reliability_curves({"a": GROUPS}, {"a": "Brier 0.2"}, True)
    (axes,) = figure.axes
    curve = axes.lines[-1]
    assert list(curve.get_xdata()) == [0.2, 0.8]
    assert list(curve.get_ydata()) == [0.1, 0.9]
    assert any("7, 6" in text.get_text() for text in axes.texts)


def test_a_decision_curve_stands_beside_acting_on_all_and_on_none_and_says_where_it_helps():
    (axes,) = decision_curves({"a": POINTS}, True).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["act on all lesions", "act on none", "a", "helps"]
    helps = np.asarray(axes.lines[-1].get_ydata(), dtype=float)
    assert np.isnan(helps).tolist() == [True, False, False]
    assert axes.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(0.37)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float) / 255


def test_a_thumbnail_lies_as_on_a_reading_screen():
    image, mask = np.full((64, 64), 0.3), np.zeros((64, 64))
    mask[20:44, 20:44] = 1
    image[60:63, 2:5] = 1.0  # far to the patient's right, posterior
    shown = pixels(lesion_thumbnail(image, mask))
    assert shown.shape == (SIDE, SIDE, 3)
    row, column = np.unravel_index(shown.min(axis=-1).argmax(), (SIDE, SIDE))
    assert row > 0.85 * SIDE  # posterior is at the bottom
    assert column < 0.15 * SIDE  # the patient's right is on the left
    assert (np.abs(shown - to_rgb(CONTOUR)).max(axis=-1) < 0.1).sum() > 50


def test_a_thumbnail_colours_evidence_on_a_fixed_scale_and_nothing_else():
    image, mask, cam = np.full((64, 64), 0.3), np.zeros((64, 64)), np.zeros((16, 16))
    mask[16:48, 16:48] = 1
    nothing = pixels(lesion_thumbnail(image, mask, cam))
    left, right = nothing[:, :SIDE], nothing[:, SIDE:]
    np.testing.assert_allclose(left, right)  # no evidence, no colour
    cam[9, 9], cam[0, 0] = 1.0, 1.0  # the second lies outside the contour
    strong = pixels(lesion_thumbnail(image, mask, cam))[:, SIDE:]
    weak = pixels(lesion_thumbnail(image, mask, cam / 4))[:, SIDE:]
    changed = np.argwhere(np.abs(strong - right).max(axis=-1) > 0.1)
    assert 20 <= len(changed) <= 50  # one cell of 6 × 6 pixels
    assert np.ptp(changed, axis=0).max() <= 7
    assert np.abs(weak - right).max() < np.abs(strong - right).max()  # not stretched to the map's own maximum


def test_lesions_are_flagged_and_wrong_decisions_marked(lesions):
    some = lesions.iloc[:3].assign(
        label=[1, 0, 1], p_response=[0.99, 0.5, 0.99], **{"status_ses-03": ["present", "present", "resolved"]}
    )
    said = some[["subject", "lesion"]].assign(p_response=[0.2, 0.9, 0.8])
    key = (some["subject"].iloc[1], some["lesion"].iloc[1])
    pictures = {key: LesionPicture(b"", False, True, 4)}
    table, rows = lesion_rows(some, {"network": said}, pictures)
    assert [row[-1].replace("\u00a0", " ") for row in table.rows] == ["0.20 ✗", "0.90 ✗", "0.80"]
    assert [row.kinds for row in rows] == ["missed", "non unsure missed coarse", ""]
    assert table.rows[1][4] == "uncertain label; coarse pixels; only 4 CAM cells"
    assert table.rows[2][4] == "resolved at follow-up"
