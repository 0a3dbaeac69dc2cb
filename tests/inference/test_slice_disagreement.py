"""The warning that a lesion's slices are of different classes."""

import pytest
import torch
from treatment_response.inference.inferer import SliceMaps
from treatment_response.inference.warnings import lesion_warnings

MODEL = {"training_data": None, "protocol": None, "fold": None}


def said(p_response: list[float], cells: list[int], largest: int, threshold: float = 0.5) -> list[str]:
    masks = torch.zeros(len(cells), 16, 16)
    for mask, count in zip(masks, cells, strict=True):
        mask.view(-1)[:count] = 1
    case = {"largest": largest, "coarse": [False], "session": "ses-01", "contrast_named": True, "dataset": None}
    maps = SliceMaps(torch.logit(torch.tensor(p_response)), masks, {}, {})
    return [warning for warning in lesion_warnings(case, maps, MODEL, 0.5, threshold) if "disagree" in warning]


def test_slices_of_the_other_class_are_counted():
    (warning,) = said([0.6, 0.002, 0.98, 0.9], [12, 15, 16, 9], largest=2)
    assert "1 of 4 slices would be non-response" in warning
    (warning,) = said([0.6, 0.002, 0.98, 0.9], [12, 15, 16, 9], largest=1)
    assert "3 of 4 slices would be response" in warning


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
