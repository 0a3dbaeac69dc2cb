"""Losses against their formulas, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from treatment_response.losses import ClassificationLoss, JointLoss, MaskedReconstructionLoss, SequentialLoss, ssim
from treatment_response.networks import MaskedAutoencoderClassifier


@pytest.fixture
def network() -> MaskedAutoencoderClassifier:
    torch.manual_seed(0)
    return MaskedAutoencoderClassifier(in_size=32, dropout=0.0)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x = torch.rand(6, 2, 32, 32)
    x[:, 1] = 0
    x[:, 1, 8:20, 10:24] = 1
    return x, torch.tensor([[1.0], [0.0], [1.0], [0.0], [0.0], [1.0]])


def by_hand(network, x):
    code, cells = network.encode(x), network.cell_mask(x)
    rebuilt = network.decode(code * cells)
    target = x[:, :1] * x[:, 1:]
    bce = -(target * rebuilt.log() + (1 - target) * (1 - rebuilt).log()).mean()
    outside = ((code * (1 - cells)) ** 2).mean()
    return 0.2 * (1 - ssim(rebuilt, target).mean()) + 0.6 * bce + 0.2 * outside


def test_reconstruction_is_its_formula(network, batch):
    x, _ = batch
    code, cells = network.encode(x), network.cell_mask(x)
    loss = MaskedReconstructionLoss()(network.decode_logits(code * cells), x[:, :1] * x[:, 1:], code, cells)
    torch.testing.assert_close(loss, by_hand(network, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("part", ["ssim", "pixel", "outside"])
def test_each_weight_weighs_its_own_part(network, batch, part):
    x, _ = batch
    code, cells = network.encode(x), network.cell_mask(x)
    args = network.decode_logits(code * cells), x[:, :1] * x[:, 1:], code, cells
    none = {"ssim": 0.0, "pixel": 0.0, "outside": 0.0}
    assert float(MaskedReconstructionLoss(**none)(*args)) == 0
    single = MaskedReconstructionLoss(**{**none, part: 1.0})(*args)
    assert float(single) > 0
    torch.testing.assert_close(MaskedReconstructionLoss(**{**none, part: 2.5})(*args), 2.5 * single)


def test_only_the_code_outside_the_mask_is_punished():
    cells = torch.zeros(1, 1, 4, 4)
    cells[..., :2] = 1
    code = torch.zeros(1, 2, 4, 4)
    code[..., 0] = 7.0
    loss = MaskedReconstructionLoss(ssim=0, pixel=0, outside=1)
    blank = torch.zeros(1, 1, 16, 16)
    assert float(loss(blank, blank, code, cells)) == 0
    code[..., 3] = 2.0  # 8 of 32 entries hold 4 after squaring
    assert float(loss(blank, blank, code, cells)) == pytest.approx(1.0)


def test_joint_is_the_weighted_sum(network, batch):
    x, label = batch
    network.eval()
    out = JointLoss(weight_reconstruction=0.5, weight_classification=2.0)(network, x, label)
    torch.testing.assert_close(out["loss"], 0.5 * out["reconstruction"] + 2.0 * out["classification"])
    expected = nn.functional.binary_cross_entropy(torch.sigmoid(network(x)), label)
    torch.testing.assert_close(out["classification"], expected)
    torch.testing.assert_close(out["pred"], network(x))
    torch.testing.assert_close(out["reconstruction"], by_hand(network, x), rtol=1e-5, atol=1e-6)


def test_sequential_phases_train_their_own_half_only(network, batch):
    x, label = batch
    loss = SequentialLoss()
    halves = {
        "autoencoder": ("encoder_1", "encoder_2", "decoder_1", "decoder_2"),
        "classifier": ("dense", "norm", "output"),
    }
    for phase, trained in halves.items():
        network.zero_grad(set_to_none=True)
        loss.phase = phase
        loss(network, x, label)["loss"].backward()
        for name, parameter in network.named_parameters():
            assert (parameter.grad is not None) == (name.split(".")[0] in trained), f"{phase}: {name}"


def test_the_frozen_half_stays_bit_for_bit(network, batch):
    """An optimiser with momentum and weight decay leaves it alone too."""
    x, label = batch
    loss = SequentialLoss()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)

    def train(phase):
        loss.phase = phase
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            loss(network, x, label)["loss"].backward()
            optimizer.step()

    train("autoencoder")
    encoder = network.encoder_1.weight.detach().clone()
    dense = network.dense.weight.detach().clone()
    train("classifier")
    torch.testing.assert_close(network.encoder_1.weight.detach(), encoder, rtol=0, atol=0)
    assert not torch.equal(network.dense.weight.detach(), dense)


def test_sequential_says_what_it_measures_without_gradients(network, batch):
    x, label = batch
    network.eval()
    loss = SequentialLoss()
    with torch.no_grad():
        joint = JointLoss()(network, x, label)
        first = loss(network, x, label)
        loss.phase = "classifier"
        second = loss(network, x, label)
    torch.testing.assert_close(first["loss"], joint["reconstruction"])
    torch.testing.assert_close(second["loss"], joint["classification"])


def test_any_classifier_fits_the_same_form():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    x, label = torch.rand(4, 2, 2, 2), torch.tensor([0, 2, 1, 1])
    out = ClassificationLoss(nn.CrossEntropyLoss())(network, x, label)
    torch.testing.assert_close(out["loss"], nn.functional.cross_entropy(network(x), label))
    assert out["pred"].shape == (4, 3)


def test_bfloat16_gradients_are_close(network, batch):
    """Without batch statistics, which magnify rounding while the untrained classes still look alike."""
    x, label = (part.repeat(8, *[1] * (part.ndim - 1)) for part in batch)
    network.eval()
    grads = []
    for enabled in (False, True):
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = JointLoss()(network, x, label)
        assert out["loss"].dtype == torch.float32
        out["loss"].backward()
        grads.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.1
