"""The paper's network: what the mask hides, what its parts compute, Keras' defaults, TorchScript."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from treatment_response.networks import MaskedAutoencoderClassifier, UpsampledConv2d
from treatment_response.networks.keras_batch_norm import KerasBatchNorm1d
from treatment_response.problems import DataProblem
from treatment_response.weights import load_state


@pytest.fixture
def network() -> MaskedAutoencoderClassifier:
    torch.manual_seed(0)
    return MaskedAutoencoderClassifier().eval()


def lesion(batch: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    x = torch.rand(batch, 2, 64, 64)
    x[:, 1] = 0
    x[:, 1, 20:40, 24:44] = 1
    return x


def test_sizes_of_every_part(network):
    x = lesion()
    code = network.encode(x)
    assert code.shape == (2, 5, 16, 16)
    assert code.min() >= 0
    assert network.cell_mask(x).shape == (2, 1, 16, 16)
    rebuilt = network.decode(code).detach()
    assert rebuilt.shape == (2, 1, 64, 64)
    assert 0 <= float(rebuilt.min()) <= float(rebuilt.max()) <= 1
    assert network(x).shape == (2, 1)


def test_parameter_count_is_the_papers(network):
    """conv 1→16, conv 16→5, conv 5→16, conv 16→1, dense 1280→32, batch norm, dense 32→1."""
    expected = (9 * 16 + 16) + (9 * 16 * 5 + 5) + (9 * 5 * 16 + 16) + (9 * 16 + 1) + (1280 * 32 + 32) + 64 + 33
    assert sum(p.numel() for p in network.parameters()) == expected


def test_forward_is_its_public_parts(network):
    x = lesion()
    torch.testing.assert_close(network(x), network.classify(network.encode(x) * network.cell_mask(x)))
    code = network.encode(x)
    torch.testing.assert_close(network.decode(code), torch.sigmoid(network.decode_logits(code)))


def test_a_cell_belongs_to_the_gtv_if_any_of_its_pixels_does(network):
    x = torch.zeros(1, 2, 64, 64)
    x[0, 1, 7, 12] = 1
    cells = network.cell_mask(x)[0, 0]
    assert cells.sum() == 1
    assert cells[1, 3] == 1


def test_what_lies_outside_the_mask_and_its_reach_does_not_count(network):
    """The encoder sees the whole slice, but the answer may depend only on the masked cells' field of view."""
    x = lesion()
    far = x.clone()
    far[:, 0, :12] += 0.5  # the mask begins at row 20, one cell reaches 3 pixels beyond itself
    torch.testing.assert_close(network(far), network(x))
    assert not torch.allclose(network.encode(far), network.encode(x))
    near = x.clone()
    near[:, 0, 25:30, 30:35] += 0.5
    assert not torch.allclose(network(near), network(x))


def test_a_cell_sees_three_pixels_beyond_itself_unless_the_input_is_masked(network):
    x = lesion()
    masked = MaskedAutoencoderClassifier(mask_input=True).eval()
    masked.load_state_dict(network.state_dict(), strict=False)
    beyond = x.clone()
    beyond[:, 0, 17] += 5.0  # the mask's cells begin at row 20
    assert not torch.allclose(network(beyond), network(x))
    everywhere = x.clone()
    everywhere[:, 0][x[:, 1] == 0] = 0.45
    torch.testing.assert_close(masked(everywhere), masked(x), rtol=0, atol=0)
    torch.testing.assert_close(torch.jit.script(masked)(x), masked(x))
    alone = x.clone()
    alone[:, 0] *= x[:, 1]
    torch.testing.assert_close(masked(x), network(alone))


def test_weights_of_a_masked_and_an_unmasked_input_refuse_each_other(network):
    masked = MaskedAutoencoderClassifier(mask_input=True)
    for one, other in ((network, masked), (masked, network)):
        with pytest.raises(DataProblem, match="input_is_masked"):
            load_state(one, other.state_dict(), "model.pt", "--model_path")


def test_gradients_pass_through_the_mask_only(network):
    x = lesion()
    code = network.encode(x).detach().requires_grad_()
    network.classify(code * network.cell_mask(x)).sum().backward()
    outside = network.cell_mask(x).expand_as(code) == 0
    assert float(code.grad[outside].abs().max()) == 0
    assert float(code.grad[~outside].abs().max()) > 0


def test_encoder_equals_relu_before_pooling(network):
    x = lesion()
    a = nn.functional.max_pool2d(torch.relu(network.encoder_1(x[:, :1])), 2)
    torch.testing.assert_close(network.encode(x), nn.functional.max_pool2d(torch.relu(network.encoder_2(a)), 2))


def test_upsampled_convolution_is_upsampling_and_convolution():
    torch.manual_seed(2)
    folded = UpsampledConv2d(5, 7).double()
    x = torch.randn(3, 5, 9, 6, dtype=torch.float64, requires_grad=True)
    plain = nn.functional.conv2d(
        nn.functional.interpolate(x, scale_factor=2, mode="nearest"), folded.weight, folded.bias, padding=1
    )
    torch.testing.assert_close(folded(x), plain, rtol=0, atol=1e-13)
    weights = torch.randn_like(plain)
    parts = (x, folded.weight, folded.bias)
    for one, other in zip(
        torch.autograd.grad((folded(x) * weights).sum(), parts),
        torch.autograd.grad((plain * weights).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_initialisation_is_keras(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            limit = (6 / (fan_in + fan_out)) ** 0.5
            assert float(module.weight.detach().abs().max()) <= limit
            assert float(module.weight.detach().abs().max()) > 0.8 * limit
            assert not module.bias.detach().any()


def test_batch_norm_is_keras_and_takes_a_batch_of_one():
    norm = KerasBatchNorm1d(3)
    x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 7.0]])
    out = norm(x)
    torch.testing.assert_close(out[1, 0], torch.tensor(1 / (1 + 1e-3) ** 0.5))
    torch.testing.assert_close(norm.running_mean, 0.01 * x.mean(dim=0))
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    one = norm(x[:1])
    for key, value in norm.state_dict().items():
        torch.testing.assert_close(value, before[key])
    torch.testing.assert_close(one, norm.eval()(x[:1]))


def test_training_on_a_batch_of_one_changes_the_weights():
    torch.manual_seed(3)
    network = MaskedAutoencoderClassifier().train()
    network(lesion(1)).sum().backward()
    assert float(network.dense.weight.grad.abs().sum()) > 0


def test_torchscript_answers_the_same_with_its_parts(network):
    x = lesion()
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    scripted = torch.jit.load(buffer)
    torch.testing.assert_close(scripted(x), network(x))
    torch.testing.assert_close(scripted.encode(x), network.encode(x))
    torch.testing.assert_close(scripted.decode(scripted.encode(x)), network.decode(network.encode(x)))


@pytest.mark.parametrize("size", [32, 48])
def test_other_sizes(size):
    x = torch.rand(2, 2, size, size)
    network = MaskedAutoencoderClassifier(in_size=size, width=4, features=3)
    assert network(x).shape == (2, 1)
    assert network.decode(network.encode(x)).shape == (2, 1, size, size)


@pytest.mark.parametrize("size", [0, 30, -4])
def test_a_size_that_does_not_pool_is_refused(size):
    with pytest.raises(ValueError, match="multiple of 4"):
        MaskedAutoencoderClassifier(in_size=size)
