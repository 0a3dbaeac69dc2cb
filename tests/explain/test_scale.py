"""The scale of the maps: one constant per variant and class, from training lesions, refused when it is not there."""

from __future__ import annotations

import pytest
import torch
from treatment_response.explain.cam import explain_all
from treatment_response.explain.scale import fit_cam_scale, scale_maps
from treatment_response.explain.target import TargetClass
from treatment_response.problems import DataProblem


def test_constant_is_the_percentile_of_all_positive_contributions(network, lesions):
    fit_cam_scale(network, lesions)
    raw = explain_all(network, lesions)["pixelwise", TargetClass.RESPONSE]
    positive = raw[raw > 0].sort().values
    expected = positive[max(1, round(0.99 * len(positive))) - 1]
    assert network.cam_scale[2, 1] == expected


def test_columns_are_the_classes_and_rows_the_variants(network, lesions):
    fit_cam_scale(network, lesions, percentile=100)
    for row, variant in enumerate(("gradcam", "gradcampp", "pixelwise")):
        for target, column in ((TargetClass.NON_RESPONSE, 0), (TargetClass.RESPONSE, 1)):
            highest = explain_all(network, lesions)[variant, target].max()
            if highest > 0:
                assert network.cam_scale[row, column] == highest


def test_scaled_maps_share_one_scale_and_stay_in_range(network, lesions):
    fit_cam_scale(network, lesions, percentile=80)
    raw = explain_all(network, lesions)
    scaled = scale_maps(raw, network.cam_scale)
    key = ("pixelwise", TargetClass.RESPONSE)
    constant = network.cam_scale[2, 1]
    assert scaled[key].max() == 1
    below = raw[key] < constant
    torch.testing.assert_close(scaled[key][below], raw[key][below] / constant)
    # No map is stretched to its own maximum.
    tops = scaled[key].amax((1, 2))
    assert (tops < 1).any()


def test_a_class_without_contributions_takes_the_other_class_scale(network, lesions):
    with torch.no_grad():
        network.head[5].weight.abs_()
        network.head[1].weight.abs_()
        network.head[1].bias.fill_(1)
    assert not explain_all(network, lesions)["gradcam", TargetClass.NON_RESPONSE].any()
    fit_cam_scale(network, lesions)
    assert network.cam_scale[0, 0] == network.cam_scale[0, 1] > 0


def test_the_scale_travels_with_the_weights(network, lesions):
    fit_cam_scale(network, lesions)
    other = type(network)().double()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.cam_scale, network.cam_scale)


def test_refuses_to_scale_when_not_fitted_and_to_fit_when_nothing_contributes(network, lesions):
    with pytest.raises(DataProblem, match="never fitted"):
        scale_maps(explain_all(network, lesions), network.cam_scale)
    with torch.no_grad():
        network.head[5].weight.zero_()
    with pytest.raises(DataProblem, match="does not depend on any cell"):
        fit_cam_scale(network, lesions)
    assert not network.cam_scale.any()
    with pytest.raises(ValueError, match="percentile"):
        fit_cam_scale(network, lesions, percentile=0)
