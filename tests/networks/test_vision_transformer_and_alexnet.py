"""The vision transformer's layer of cells, and AlexNet in 3D."""

from __future__ import annotations

import pytest
import torch
from treatment_response.explain import ClassScore, LayerCAM
from treatment_response.networks import AlexNet3D, VisionTransformer


def transformer() -> VisionTransformer:
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_layers": 2, "num_heads": 2}
    return VisionTransformer(2, 3, (8, 12, 10), (4, 4, 5), **sizes).eval()


def test_the_answer_is_that_of_monais_network_without_a_tanh():
    network = transformer()
    x = torch.randn(2, 2, 8, 12, 10)
    torch.testing.assert_close(network(x), network.vit(x)[0])
    assert not [one for one in network.modules() if isinstance(one, torch.nn.Tanh)]


def test_cells_lie_where_their_patches_are():
    network = transformer()
    outputs = []
    network.cells.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    network.vit.blocks = torch.nn.ModuleList([torch.nn.Identity(), network.vit.blocks[-1]])  # patches stay apart
    x = torch.zeros(1, 2, 8, 12, 10)
    network(x)
    x[:, :, 4:8, 8:12, 0:5] = 5.0
    network(x)
    changed = (outputs[1] - outputs[0]).abs().sum(dim=1)[0]
    assert changed.shape == (2, 3, 2)
    assert torch.nonzero(changed).tolist() == [[1, 2, 0]]
    maps = LayerCAM("cells", "pixelwise")(transformer(), x, ClassScore(1))
    assert maps.shape == (1, 8, 12, 10)


def test_alexnet_gives_a_logit_per_class_down_to_its_smallest_input():
    torch.manual_seed(0)
    network = AlexNet3D(2, 4, widths=(4, 4, 4, 4, 4), dense=8).eval()
    assert network(torch.randn(2, 2, 63, 64, 70)).shape == (2, 4)
    with pytest.raises(ValueError, match="at least 63 voxels"):
        network(torch.zeros(1, 2, 62, 64, 64))
    with pytest.raises(ValueError, match="expected 5"):
        AlexNet3D(2, 4, widths=(4, 4))
    with torch.device("meta"):
        assert sum(weights.numel() for weights in AlexNet3D(6, 4).parameters()) > 2.4e8
