"""Figures of the research on synthetic lesions are labelled and stamped."""

from __future__ import annotations

import pandas as pd
from synthetic.figures import learning_curve
from treatment_response.evaluation.figures.style import SYNTHETIC_STAMP


def test_the_learning_curve_is_labelled() -> None:
    curve = pd.DataFrame(
        [("texture", n, 0.7, 0.6, 0.8, 0.97, 500) for n in (69, 150)],
        columns=["niche", "lesions", "auc", "low", "high", "ceiling", "test_lesions"],
    )
    figure = learning_curve(curve, True)
    (axes,) = figure.axes
    assert SYNTHETIC_STAMP in figure.get_supxlabel()
    assert axes.get_xlabel()
    assert "500 other lesions" in axes.get_ylabel()
