"""Figures of the research on synthetic lesions are labelled and stamped."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure
from synthetic.figures import ablation_bars, learning_curve
from treatment_response.report.figures.style import SYNTHETIC_STAMP


def curve() -> Figure:
    rows = [("texture", n, 0.7, 0.6, 0.8, 0.97, 500) for n in (69, 150)]
    columns = ["niche", "lesions", "auc", "low", "high", "ceiling", "test_lesions"]
    return learning_curve(pd.DataFrame(rows, columns=columns))


def designs() -> Figure:
    rows = [(niche, f"design {i}", 0.6 + i / 20, 0.5, 0.9) for niche in ("texture", "intensity") for i in range(6)]
    return ablation_bars(pd.DataFrame(rows, columns=["niche", "design", "auc", "low", "high"]), 0.97)


@pytest.mark.parametrize(
    ("make", "panels", "said"),
    [(curve, 1, "500 other lesions"), (designs, 2, "dashed: ceiling 0.97")],
    ids=["learning curve", "ablation"],
)
def test_figures_are_labelled_and_their_panels_keep_apart(make, panels, said):
    figure = make()
    assert SYNTHETIC_STAMP in figure.get_supxlabel()
    figure.draw_without_rendering()
    assert len(figure.axes) == panels
    boxes = []
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert said in axes.get_title() + axes.get_ylabel()
        boxes.append(axes.get_tightbbox())
    for number, box in enumerate(boxes):
        assert not any(box.shrunk(0.98, 0.98).overlaps(other) for other in boxes[number + 1 :])
