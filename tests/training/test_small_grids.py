"""bfloat16 on a CPU: convolutions on grids narrower than their kernel, whose gradients oneDNN gets wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from treatment_response.losses import ClassificationLoss
from treatment_response.problems import DataProblem
from treatment_response.training.small_grids import float32_on_small_grids
from treatment_response.training.step import TrainingStep


def leave_junk() -> None:
    """Freed memory full of NaN: what is read without being written is then seen."""
    for size in (1 << 18, 1 << 20, 5 << 20):
        torch.full((size,), float("nan"))


def gradients(network: nn.Module, x: torch.Tensor, times: int) -> list[torch.Tensor]:
    found = []
    for _ in range(times):
        leave_junk()
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            network(x).float().square().sum().backward()
        found.append(network[0].weight.grad.clone())
    return found


@pytest.mark.parametrize(
    ("convolution", "size"),
    [
        (nn.Conv3d(32, 32, 3, stride=2, padding=1), (1, 1, 1)),
        (nn.Conv3d(32, 32, 3, padding=1), (2, 2, 2)),
        (nn.Conv3d(32, 32, 3, padding=1), (2, 8, 8)),
        (nn.Conv3d(32, 32, 3, padding=1), (3, 3, 3)),
        (nn.Conv3d(16, 16, 5, padding=2), (4, 4, 4)),
        (nn.ConvTranspose3d(32, 32, 3, padding=1), (2, 2, 2)),
        (nn.Conv2d(64, 64, 3, stride=2, padding=1), (1, 1)),
    ],
    ids=str,
)
def test_gradients_are_those_of_float32_and_the_same_each_time(convolution: nn.Module, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(convolution)
    x = torch.randn(4, convolution.in_channels, *size)
    network.zero_grad()
    network(x).square().sum().backward()
    exact = convolution.weight.grad.clone()
    float32_on_small_grids(network)
    first, *others = gradients(network, x, 6)
    torch.testing.assert_close(first, exact, atol=0.02 * float(exact.abs().max()), rtol=0)
    assert all(torch.equal(first, other) for other in others)


def test_autocast_is_on_again_after_a_small_grid_and_after_a_failure() -> None:
    network = nn.Sequential(nn.Conv3d(2, 2, 3, padding=1))
    float32_on_small_grids(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.zeros(1, 2, 2, 2, 2)).dtype == torch.float32
        assert torch.is_autocast_enabled("cpu")
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 3, 2, 2, 2))
        assert torch.is_autocast_enabled("cpu")
        assert network(torch.zeros(1, 2, 8, 8, 8)).dtype == torch.bfloat16


def test_a_loss_that_is_not_finite_ends_the_training_with_a_sentence() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    step = TrainingStep(network, ClassificationLoss(nn.CrossEntropyLoss()))
    x, label = torch.zeros(2, 1, 2, 2, 2), torch.tensor([0, 1])
    assert torch.isfinite(step(x, label)["loss"])
    nn.init.constant_(network[0].weight, float("nan"))
    with pytest.raises(DataProblem, match="no longer a finite number"):
        step(x, label)
    step.eval()
    step(x, label)  # what is only watched is told in the curves
