"""The maps are the paper's formulas: checked against autograd on them, case by case, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from treatment_response.explain.cam import VARIANTS, GradCAM, GradCAMPlusPlus, PixelwiseCAM, explain_all
from treatment_response.explain.gradients import captured_layer, head_attribution
from treatment_response.explain.target import ClassScore, TargetClass

BOTH = list(TargetClass)


def masked_logit(network: nn.Module, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return network.classify(features * mask)[0, 0]


def reference(name: str, network: nn.Module, case: torch.Tensor, target: TargetClass) -> torch.Tensor:
    """One case's map by the paper's equations with first, second and third derivatives from autograd."""
    network.eval()
    mask = network.cell_mask(case)
    features = network.encode(case).detach().requires_grad_()
    y = target.sign * masked_logit(network, features, mask)
    if name == "gradcampp":
        # Equation 4 with the score exp(y): d2 and d3 of the score by repeated differentiation along each cell.
        score = y.exp()
        (first,) = torch.autograd.grad(score, features, create_graph=True)
        flat = first.flatten()
        second, third = torch.zeros_like(flat), torch.zeros_like(flat)
        for cell in torch.nonzero(flat.detach()).flatten():
            (row,) = torch.autograd.grad(flat[cell], features, create_graph=True)
            second[cell] = row.flatten()[cell].detach()
            third[cell] = torch.autograd.grad(row.flatten()[cell], features, retain_graph=True)[0].flatten()[cell]
        second, third = second.view_as(features), third.view_as(features)
        total = features.detach().sum(dim=(2, 3), keepdim=True)
        alpha = torch.where(first.detach() > 0, second / (2 * second + total * third), 0.0)
        weights = (alpha * torch.relu(first.detach())).sum(dim=(2, 3), keepdim=True) / score.detach()
    else:
        (gradient,) = torch.autograd.grad(y, features)
        weights = gradient.mean(dim=(2, 3), keepdim=True) if name == "gradcam" else gradient
    return (torch.relu((weights * features.detach()).sum(1)) * mask[:, 0])[0]


@pytest.mark.parametrize("target", BOTH, ids=lambda t: t.label)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_equals_autograd_on_the_papers_equations(network, lesions, variant, target):
    # Case 2 is small: the third derivatives are taken cell by cell.
    case = lesions[2:3]
    expected = reference(variant.name, network, case, target)
    network.train()
    torch.testing.assert_close(variant(network, case, target)[0], expected, rtol=1e-10, atol=1e-14)
    assert any(float(reference(variant.name, network, case, t).max()) > 0 for t in BOTH)


def test_gradcampp_reference_and_closed_form_differ_from_plain_gradcam(network, lesions):
    maps = explain_all(network, lesions)
    assert not torch.allclose(maps["gradcam", TargetClass.RESPONSE], maps["gradcampp", TargetClass.RESPONSE])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_batch_equals_its_slices_and_one_pass_equals_six(network, lesions, variant):
    together = explain_all(network, lesions)
    for target in BOTH:
        alone = torch.stack([variant(network, lesion, target) for lesion in lesions])
        assert alone.shape == (5, 16, 16)
        torch.testing.assert_close(together[variant.name, target], alone, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(variant(network, lesions, target), alone, rtol=1e-10, atol=1e-14)


def test_one_encoder_pass_and_one_head_pass_serve_all_maps(network, lesions):
    runs = {"body": 0, "head": 0}
    for name in runs:
        getattr(network, name).register_forward_hook(lambda *_, name=name: runs.__setitem__(name, runs[name] + 1))
    assert len(explain_all(network, lesions)) == 6
    assert runs == {"body": 1, "head": 1}


def test_maps_and_gradients_vanish_outside_the_mask(network, lesions):
    outside = network.cell_mask(lesions) == 0
    attribution = head_attribution(network, lesions, TargetClass.RESPONSE)
    assert not attribution.gradient[outside.expand_as(attribution.gradient)].any()
    for raw in explain_all(network, lesions).values():
        assert not raw[outside[:, 0]].any()
        assert (raw >= 0).all()


def test_pixelwise_maps_of_both_classes_share_out_the_net_contribution(network, lesions):
    # Each cell counts for one class or the other, never for both: their difference is the sum over the feature maps.
    attribution = head_attribution(network, lesions, TargetClass.RESPONSE)
    maps = explain_all(network, lesions)
    net = maps["pixelwise", TargetClass.RESPONSE] - maps["pixelwise", TargetClass.NON_RESPONSE]
    torch.testing.assert_close(net.sum((1, 2)), (attribution.gradient * attribution.activations).sum((1, 2, 3)))


def test_leaves_the_network_as_it_was(network, lesions):
    network.train()
    network.head[4].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    explain_all(network, lesions)
    assert network.training
    assert network.head[3].training
    assert not network.head[4].training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_works_without_gradients_around_it(network, lesions):
    with torch.no_grad():
        inside = explain_all(network, lesions)
    torch.testing.assert_close(inside, explain_all(network, lesions))


def test_no_evidence_is_a_map_of_zeros_not_nan(network, lesions):
    with torch.no_grad():
        network.head[5].weight.zero_()
    for raw in explain_all(network, lesions).values():
        assert torch.equal(raw, torch.zeros_like(raw))


def test_target_class_is_explicit_about_what_it_needs():
    assert TargetClass.RESPONSE(torch.tensor([[2.0]])) == 2
    assert TargetClass.NON_RESPONSE(torch.tensor([[2.0]])) == -2
    with pytest.raises(ValueError, match="ClassScore"):
        TargetClass.RESPONSE(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="no class 3"):
        ClassScore(3)(torch.zeros(1, 3))


def test_the_score_of_a_class_is_the_log_of_its_odds_however_many_logits_say_it():
    logits = torch.tensor([[0.3, -1.2, 0.8, 2.0]], dtype=torch.float64)
    for index in range(4):
        odds = logits.softmax(1)[:, index] / (1 - logits.softmax(1)[:, index])
        torch.testing.assert_close(ClassScore(index)(logits), odds.log())
        torch.testing.assert_close(ClassScore(index)(logits + 5), ClassScore(index)(logits))
    one, two = torch.tensor([[1.7]]), torch.tensor([[-1.0, 0.7]])
    for index, target in enumerate(TargetClass):
        assert torch.equal(ClassScore(index)(one), target(one))
        torch.testing.assert_close(ClassScore(index)(one), ClassScore(index)(two))
    with pytest.raises(ValueError, match="classes 0 to 1, there is no class 2"):
        ClassScore(2)(one)


class Volumetric(nn.Module):
    """A 3D network with three classes and an in-place ReLU behind the explained layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 4, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)
        self.classes = nn.Linear(4 * 6 * 5 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.activation(self.features(x)).flatten(1))


@pytest.mark.parametrize("variant", [GradCAM(), PixelwiseCAM()], ids=lambda v: v.name)
@pytest.mark.parametrize("index", [0, 2])
def test_named_layer_of_a_3d_network_with_three_classes(variant, index):
    torch.manual_seed(0)
    network, x = Volumetric().double(), torch.rand(2, 1, 6, 5, 4, dtype=torch.float64)
    activations = network.features(x).detach().requires_grad_()
    logits = network.classes(torch.relu(activations).flatten(1))
    score = (logits.softmax(1)[:, index] / (1 - logits.softmax(1)[:, index])).log().sum()
    (gradient,) = torch.autograd.grad(score, activations)
    weights = gradient.mean((2, 3, 4), keepdim=True) if variant.name == "gradcam" else gradient
    expected = torch.relu((weights * activations).sum(1))
    torch.testing.assert_close(variant.at_layer(network, "features", x, ClassScore(index)), expected)
    assert not network.features._forward_hooks


def test_named_layer_equals_the_head_when_the_mask_is_full(network, lesions):
    lesions[:, 1] = 1
    for variant in VARIANTS:
        for target in BOTH:
            torch.testing.assert_close(
                variant.at_layer(network, "body", lesions, target), variant(network, lesions, target)
            )


def test_hooks_are_released_when_the_network_fails(network):
    with pytest.raises(RuntimeError), captured_layer(network, "body"):
        network(torch.rand(1, 7, 3, 3))
    assert not network.body._forward_hooks
    with pytest.raises(ValueError, match="no layer 'bodies'"):
        GradCAMPlusPlus().at_layer(network, "bodies", torch.rand(1, 2, 64, 64), TargetClass.RESPONSE)


def test_the_variants_are_in_the_order_of_earlier_files_scales():
    assert tuple(variant.name for variant in VARIANTS) == ("gradcam", "gradcampp", "pixelwise")
