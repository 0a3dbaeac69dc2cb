"""The warnings that a lesion's slices are of different classes, and that its outline reaches the edge of the MR."""

import numpy as np
import pytest
import torch
from treatment_response.inference.lesions.answer import answer_of
from treatment_response.inference.lesions.head import Head
from treatment_response.inference.lesions.inferer import SliceMaps
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.inference.lesions.warnings import lesion_warnings

EVERYWHERE = Head(np.ones((6, 5, 4), bool), (1, 1, 1))
MODEL = {"training_data": None, "protocol": None, "fold": None}


def warnings(
    p_response: list[float],
    cells: list[int],
    largest: int,
    threshold: float = 0.5,
    at: tuple[int, ...] = (2, 2, 2),
    score: LesionScore = LesionScore.LARGEST,
) -> list[str]:
    masks = torch.zeros(len(cells), 16, 16)
    for mask, count in zip(masks, cells, strict=True):
        mask.view(-1)[:count] = 1
    case = {"largest": largest, "coarse": [False], "session": "ses-01", "contrast_named": True, "dataset": None}
    # As many pixels of the GTV as the map has cells.
    case |= {"image": torch.stack([masks, masks], dim=1), "pixel": [0.5] * len(cells)}
    case |= {"mr_shape": (6, 5, 4), "voxels": np.array([at]), "mr_affine": np.eye(4), "head": EVERYWHERE}
    maps = SliceMaps(torch.logit(torch.tensor(p_response)), torch.empty(0, len(cells)), masks, {}, {})
    return lesion_warnings(case, maps, answer_of(case, maps, score, None, threshold), score, MODEL, 0.5, threshold)


def said(p_response: list[float], cells: list[int], largest: int, threshold: float = 0.5) -> list[str]:
    return [one for one in warnings(p_response, cells, largest, threshold) if "disagree" in one]


def test_slices_of_the_other_class_are_counted():
    (warning,) = said([0.6, 0.002, 0.98, 0.9], [12, 15, 16, 9], largest=2)
    assert "1 of 4 slices would be non-response" in warning
    (warning,) = said([0.6, 0.002, 0.98, 0.9], [12, 15, 16, 9], largest=1)
    assert "3 of 4 slices would be response" in warning


def test_where_all_slices_count_they_are_compared_with_their_mean():
    # The largest slice says response, the mean of the logits by area does not.
    (warning,) = warnings([0.01, 0.02, 0.6], [15, 14, 16], largest=2, score=LesionScore.ALL)
    assert "1 of 3 slices would be response" in warning
    assert "the mean over all slices" in warning


@pytest.mark.parametrize(
    ("p_response", "cells", "largest", "threshold"),
    [
        ([0.6, 0.7, 0.98], [12, 15, 16], 2, 0.5),
        ([0.3, 0.2, 0.1], [12, 15, 16], 2, 0.5),
        ([0.6, 0.7, 0.98], [12, 15, 16], 2, 0.55),
        ([0.01, 0.7, 0.98], [8, 15, 16], 2, 0.5),  # the first slice is too small to say anything
        ([0.9], [3], 0, 0.5),
    ],
)
def test_nothing_is_said_where_the_slices_that_count_agree(p_response, cells, largest, threshold):
    assert said(p_response, cells, largest, threshold) == []


def test_the_models_threshold_decides():
    assert said([0.6, 0.9], [12, 16], largest=1, threshold=0.7)


def test_a_small_lesion_is_judged_by_its_largest_slice_too():
    (warning,) = said([0.9, 0.1], [12, 5], largest=1)
    assert "1 of 2 slices would be response" in warning


@pytest.mark.parametrize("at", [(0, 2, 2), (5, 2, 2), (2, 0, 2), (2, 4, 2), (2, 2, 0), (2, 2, 3)])
def test_an_outline_at_the_edge_of_the_mr_is_warned_of(at):
    assert any("edge of the MR" in one for one in warnings([0.9], [12], 0, at=at))
    inside = tuple(min(max(part, 1), size - 2) for part, size in zip(at, (6, 5, 4), strict=True))
    assert warnings([0.9], [12], 0, at=inside) == []
