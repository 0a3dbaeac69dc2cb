"""The scale of the maps: one constant per variant and class, from training lesions, refused when it is not there."""

from __future__ import annotations

import pytest
import torch
from treatment_response.explain.cam import explain_all
from treatment_response.explain.explanations import IntegratedGradients
from treatment_response.explain.region import MaskChannel
from treatment_response.explain.scale import fit_map_scales, fit_scales, fitted_scales, scale_map, scale_maps
from treatment_response.explain.target import ClassScore, TargetClass
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


@pytest.mark.parametrize("grid", [(6, 8), (6, 5, 8)], ids=["2D", "3D"])
def test_any_explanation_of_any_network_has_a_constant_per_class_from_inside_its_region(grid):
    torch.manual_seed(0)
    conv = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[len(grid)](2, 3, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[3.0, 0], [1, 0], [-2, 0]]).reshape(conv.weight.shape))
    network = torch.nn.Sequential(conv, {2: torch.nn.AdaptiveAvgPool2d, 3: torch.nn.AdaptiveAvgPool3d}[len(grid)](1))
    network.append(torch.nn.Flatten())
    x = torch.rand(4, 2, *grid)
    x[:, 1] = x[:, 1] > 0.5
    x[:, 0, 0] = 50  # outside the region it must not count
    x[:, 1, 0] = 0
    explanation, names = IntegratedGradients(), ("first", "second", "third")
    scales = fit_scales({"ig": explanation}, network, x.split(2), names, MaskChannel(1), percentile=90)
    assert list(scales["ig"]) == list(names)
    maps = explanation(network, x, ClassScore(0)) * x[:, 1]
    positive = maps[maps > 0].sort().values
    assert scales["ig"]["first"] == pytest.approx(float(positive[round(0.9 * len(positive)) - 1]))
    assert scales["ig"]["second"] == scales["ig"]["third"] == scales["ig"]["first"]  # nothing speaks for them
    assert fitted_scales(scales, ("ig",), names) == scales
    assert fit_scales({"ig": lambda *_: 0 * x[:2, 0]}, network, x.split(2), names) == {"ig": None}
    with pytest.raises(DataProblem, match=r"ig fourth.*never fitted"):
        fitted_scales(scales, ("ig",), (*names, "fourth"))
    scaled = scale_map(torch.tensor([-1.0, 0.5, 3.0]), 2.0)
    assert scaled.tolist() == [0, 0.25, 1]
