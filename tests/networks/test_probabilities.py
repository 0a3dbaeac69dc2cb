"""From logits to probabilities, one network or several."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from treatment_response.explain.region import Everywhere, Foreground, MaskChannel, on_grid
from treatment_response.losses import ClassificationLoss
from treatment_response.networks.ensemble import Ensemble
from treatment_response.networks.probabilities import class_logits, probabilities
from treatment_response.problems import DataProblem


def test_one_logit_is_the_case_of_two_classes():
    z = torch.tensor([[-900.0], [-1.5], [0.0], [40.0]], dtype=torch.float64)
    p = torch.sigmoid(z)
    torch.testing.assert_close(probabilities(z), torch.cat([1 - p, p], dim=1))
    torch.testing.assert_close(torch.softmax(class_logits(z), dim=1), probabilities(z))
    k = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert class_logits(k) is k
    torch.testing.assert_close(probabilities(k), torch.softmax(k, dim=1))


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_an_ensemble_says_the_mean_of_its_members_probabilities(outputs):
    torch.manual_seed(outputs)
    members = [nn.Linear(3, outputs) for _ in range(3)]
    x = torch.randn(6, 3, requires_grad=True)
    logits = Ensemble(members)(x)
    assert logits.shape == (6, outputs)
    expected = torch.stack([probabilities(member(x)) for member in members]).mean(dim=0)
    torch.testing.assert_close(probabilities(logits), expected)
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert torch.isfinite(gradient).all()


def test_the_loss_fits_the_number_of_logits():
    x, label = torch.randn(4, 3), torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    one, two = nn.Linear(3, 1), nn.Linear(3, 2)
    with torch.no_grad():  # the same classifier with one and with two logits
        two.weight.copy_(torch.cat([torch.zeros(1, 3), one.weight]))
        two.bias.copy_(torch.cat([torch.zeros(1), one.bias]))
    first, second = (ClassificationLoss()(network, x, label)["loss"] for network in (one, two))
    torch.testing.assert_close(first, second)
    with pytest.raises(DataProblem, match="needs a logit per class"):
        ClassificationLoss(nn.CrossEntropyLoss())(one, x, label)
    with pytest.raises(DataProblem, match="class 3 is in the data set"):
        ClassificationLoss()(two, x, label * 3)


@pytest.mark.parametrize("axes", [2, 3])
def test_regions_say_where_a_map_may_speak(axes):
    x = torch.zeros(1, 2, *(8,) * axes)
    x[0, 0].flatten()[-1] = -2.0
    x[0, 1].flatten()[0] = 1.0
    for region, inside in (
        (Everywhere(), 8**axes),
        (MaskChannel(1), 1),
        (Foreground(), 2),
        (Foreground(channels=[0]), 1),
    ):
        found = region(x)
        assert found.shape == (1, 1, *(8,) * axes)
        assert int(found.sum()) == inside
        cells = on_grid(found, (2,) * axes)
        assert int(cells.sum()) == min(inside, 2**axes)
    assert float(on_grid(MaskChannel(1)(x), (2,) * axes).flatten()[0]) == 1
