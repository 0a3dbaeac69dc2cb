"""The scale of the maps: one constant per variant and class, from training lesions, refused when it is not there."""

from __future__ import annotations

import pytest
import torch
from treatment_response.explain.cam import explain_all
from treatment_response.explain.scale import fit_map_scales, scale_maps
from treatment_response.explain.target import TargetClass
from treatment_response.problems import DataProblem


def test_constant_is_the_percentile_of_all_positive_contributions(network, lesions):
    raw = explain_all(network, lesions)["pixelwise", TargetClass.RESPONSE]
    positive = raw[raw > 0].sort().values
    expected = positive[max(1, round(0.99 * len(positive))) - 1]
    assert fit_map_scales(network, lesions)["pixelwise"]["response"] == expected


def test_every_variant_and_class_has_its_own(network, lesions):
    scales = fit_map_scales(network, lesions, percentile=100)
    assert list(scales) == ["gradcam", "gradcampp", "pixelwise"]
    for (variant, target), maps in explain_all(network, lesions).items():
        assert set(scales[variant]) == {"non-response", "response"}
        if maps.max() > 0:
            assert scales[variant][target.label] == maps.max()


def test_scaled_maps_share_one_scale_and_stay_in_range(network, lesions):
    scales = fit_map_scales(network, lesions, percentile=80)
    raw = explain_all(network, lesions)
    scaled = scale_maps(raw, scales)
    key = ("pixelwise", TargetClass.RESPONSE)
    constant = scales["pixelwise"]["response"]
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
    scales = fit_map_scales(network, lesions)["gradcam"]
    assert scales["non-response"] == scales["response"] > 0


def test_refuses_to_scale_when_not_fitted_and_to_fit_when_nothing_contributes(network, lesions):
    raw, scales = explain_all(network, lesions), fit_map_scales(network, lesions)
    lacking = {**scales, "gradcampp": {"response": 1.0}}
    for unfitted, named in ((None, "gradcam non-response, gradcam response"), (lacking, r"gradcampp non-response\)")):
        with pytest.raises(DataProblem, match=rf"{named}.*never fitted"):
            scale_maps(raw, unfitted)
    with torch.no_grad():
        network.head[5].weight.zero_()
    with pytest.raises(DataProblem, match="does not depend on any cell"):
        fit_map_scales(network, lesions)
    with pytest.raises(ValueError, match="percentile"):
        fit_map_scales(network, lesions, percentile=0)
