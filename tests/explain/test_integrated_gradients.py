"""Integrated Gradients on cells: exact where the path is straight, complete everywhere, nothing outside the lesion."""

from __future__ import annotations

import pytest
import torch
from treatment_response.explain.cells import cell_sums
from treatment_response.explain.integrated_gradients import integrated_gradients
from treatment_response.explain.region import MaskChannel, flattened
from treatment_response.explain.target import TargetClass


class LinearNetwork(torch.nn.Module):
    """Each cell's code is its pixels' sum; the logit is a weighted sum of the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)).double())

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return cell_sums(x[:, 0], 16)[:, None]

    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(x[:, 1:], 4)

    def classify(self, code: torch.Tensor) -> torch.Tensor:
        return (code * self.weight).sum(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(x) * self.cell_mask(x))


def test_of_a_linear_network_it_is_weight_times_what_differs_from_the_baseline(lesions):
    network = LinearNetwork()
    maps = integrated_gradients(network, lesions, steps=3)
    expected = network.weight * cell_sums((lesions[:, :1] - flattened(lesions, MaskChannel(1)))[:, 0], 16)
    torch.testing.assert_close(maps.contribution, expected.detach())
    torch.testing.assert_close(maps.evidence(TargetClass.NON_RESPONSE), torch.relu(-expected.detach()))


def test_contributions_add_up_to_what_the_lesions_structure_does_to_the_logit(network, lesions):
    maps = integrated_gradients(network, lesions, steps=256)
    flat = torch.cat([flattened(lesions, MaskChannel(1)), lesions[:, 1:]], dim=1)
    with torch.no_grad():
        network.eval()
        expected = (network(lesions) - network(flat))[:, 0]
    torch.testing.assert_close(maps.total, expected)
    assert maps.gap().max() < 0.02 * expected.abs().max()
    coarse = integrated_gradients(network, lesions, steps=2)
    assert coarse.gap().max() > maps.gap().max()


def test_nothing_outside_the_lesion_has_a_share(network, lesions):
    contribution = integrated_gradients(network, lesions).contribution
    outside = network.cell_mask(lesions)[:, 0] == 0
    assert not contribution[outside].any()
    assert contribution[~outside].any()


def test_the_baseline_keeps_brightness_and_surroundings(lesions):
    flat, mask = flattened(lesions, MaskChannel(1)), lesions[:, 1:] > 0
    assert (flat == lesions[:, :1])[~mask].all()
    for one, before, inside in zip(flat, lesions[:, :1], mask, strict=True):
        assert float(one[inside].max() - one[inside].min()) < 1e-12
        assert float(one[inside].mean()) == pytest.approx(float(before[inside].mean()))


def test_modes_and_gradients_are_left_as_they_were(network, lesions):
    network.train()
    integrated_gradients(network, lesions[:2], steps=2)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
