"""Gradient checkpointing changes memory and time, and no number."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DenseNet
from treatment_response.networks import checkpointed


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return DenseNet(3, 2, 3, init_features=4, growth_rate=4, block_config=(2, 2))


def stepped(net: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], int]:
    """Gradients, state after a training step, and bytes that were kept for the backward pass."""
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(2, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    net.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = net(x).square().sum()
        held = sum(kept.values())
    loss.backward()
    return {name: weight.grad for name, weight in net.named_parameters()}, net.state_dict(), held


@pytest.mark.parametrize("blocks", [["_DenseLayer"], ["_DenseBlock"], ["_DenseBlock", "_DenseLayer"]])
def test_gradients_and_statistics_are_those_of_the_plain_network(blocks: list[str]):
    plain = stepped(network())
    made = checkpointed(network(), blocks)
    ours = stepped(made)
    for before, after in zip(plain[:2], ours[:2], strict=True):
        assert before.keys() == after.keys()
        for name in before:
            torch.testing.assert_close(after[name], before[name], msg=name)
    assert ours[2] < 0.8 * plain[2]
    assert {module.momentum for module in made.modules() if hasattr(module, "momentum")} == {0.1}


def test_a_copy_is_a_network_of_its_own():
    made = checkpointed(network(), ["_DenseLayer"])
    copied = copy.deepcopy(made)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    x = torch.randn(1, 2, 16, 16, 16)
    assert not made.eval()(x).eq(0).all()
    copied.train()
    assert copied(x.expand(2, -1, -1, -1, -1)).eq(0).all()


def test_a_block_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no block 'Bottleneck'; it has .*_DenseLayer"):
        checkpointed(network(), ["Bottleneck"])
    assert checkpointed(network(), []).state_dict().keys() == network().state_dict().keys()
