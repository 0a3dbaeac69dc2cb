"""Explanations of stock networks, 2D and 3D, one logit and more: where a planted signal lands, and what adds up."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from monai.bundle import ConfigParser
from monai.networks.nets import resnet10
from torch import nn
from treatment_response.explain import (
    ClassScore,
    Everywhere,
    Explanation,
    Foreground,
    IntegratedGradients,
    LayerCAM,
    MaskChannel,
    Occlusion,
    Saliency,
    SmoothGrad,
)
from treatment_response.networks.ensemble import Ensemble

GRIDS = {2: (24, 32), 3: (16, 12, 20)}
PLACES = {2: (15, 9), 3: (9, 2, 17)}
EXPLANATIONS: dict[str, Explanation] = {
    "layer CAM": LayerCAM("features", "pixelwise"),
    "saliency": Saliency(),
    "SmoothGrad": SmoothGrad(samples=4),
    "Integrated Gradients": IntegratedGradients(),
    "occlusion": Occlusion(cube=3, step=2),
}


class Planted(nn.Module):
    """Bright tissue near one place speaks for class 1, and against the others."""

    def __init__(self, axes: int, classes: int) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.features = nn.Sequential(conv(2, 3, 3, padding=1), nn.ReLU())
        nn.init.constant_(self.features[0].weight, 0.1)
        nn.init.zeros_(self.features[0].bias)
        window = torch.zeros(1, 1, *GRIDS[axes])
        window[(0, 0, *PLACES[axes])] = 1
        self.register_buffer("window", window)
        signs = torch.tensor([-1.0, 1.0, -0.5, -0.2][:classes] if classes > 1 else [1.0])
        self.register_buffer("signs", signs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = (self.features(x).mean(1, keepdim=True) * self.window).flatten(1).sum(1)
        return found[:, None] * self.signs


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("name", EXPLANATIONS)
def test_a_planted_signal_is_found_where_it_is(name: str, axes: int, classes: int) -> None:
    torch.manual_seed(0)
    network, x = Planted(axes, classes).train(), 1 + torch.rand(2, 2, *GRIDS[axes])
    maps = EXPLANATIONS[name](network, x, ClassScore(1))
    assert network.training
    assert not maps.requires_grad
    assert maps.shape == (2, *GRIDS[axes])
    for one in maps:
        peak = torch.nonzero(one == one.max()).double().mean(0)
        assert (peak - torch.tensor(PLACES[axes])).abs().max() <= 1.5  # half a cube
        far = torch.nonzero(one)
        assert (far - torch.tensor(PLACES[axes])).abs().max() <= 3
    if name != "saliency" and name != "SmoothGrad":  # they have no sign
        assert EXPLANATIONS[name](network, x, ClassScore(0)).max() <= 1e-7


def test_a_layer_cam_is_captums_on_the_images_grid() -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=3, n_input_channels=2, num_classes=4, widen_factor=0.1).double().eval()
    x = torch.randn(2, 2, 24, 16, 20, dtype=torch.float64)
    expected = LayerGradCam(lambda image: ClassScore(2)(network(image)), network.layer2).attribute(x).relu()
    expected = nn.functional.interpolate(expected, size=x.shape[2:], mode="trilinear")[:, 0].detach()
    torch.testing.assert_close(LayerCAM("layer2")(network, x, ClassScore(2)), expected)
    # Members of an ensemble have layers of these names, and it itself has not.
    another = resnet10(spatial_dims=3, n_input_channels=2, num_classes=4, widen_factor=0.1).double().eval()
    other = LayerCAM("layer2")(another, x, ClassScore(2))
    both = LayerCAM("layer2")(Ensemble([network, another]), x, ClassScore(2))
    torch.testing.assert_close(both, (expected + other) / 2)
    with pytest.raises(ValueError, match=r"no layer 'layer9'; it has .*layer4"):
        LayerCAM("layer9")(network, x, ClassScore(2))
    with pytest.raises(ValueError, match="gradcam, gradcampp, pixelwise"):
        LayerCAM("layer2", "scorecam")


def test_integrated_gradients_add_up_and_noise_comes_from_its_seed() -> None:
    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=2, num_classes=3, widen_factor=0.1).double().eval()
    x = torch.randn(2, 2, 24, 32, dtype=torch.float64)
    level = torch.tensor([0.5, -0.2], dtype=torch.float64)[None, :, None, None].expand_as(x)
    maps = IntegratedGradients([0.5, -0.2], steps=200)(network, x, ClassScore(2))
    with torch.no_grad():
        total = ClassScore(2)(network(x)) - ClassScore(2)(network(level))
    torch.testing.assert_close(maps.sum((1, 2)), total, rtol=0.02, atol=1e-4)
    state = torch.get_rng_state()
    first = SmoothGrad(samples=2)(network, x, ClassScore(0))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, SmoothGrad(samples=2)(network, x, ClassScore(0)))
    assert not torch.allclose(first, SmoothGrad(samples=2, seed=1)(network, x, ClassScore(0)))


def test_a_config_names_an_explanation_and_its_region() -> None:
    parser = ConfigParser(
        {
            "explanation": {
                "_target_": "treatment_response.explain.Occlusion",
                "cube": 4,
                "region": {"_target_": "treatment_response.explain.Foreground"},
            }
        }
    )
    x = torch.zeros(1, 2, 12, 12)
    x[..., 4:8, 4:8] = 1
    network = nn.Sequential(nn.Conv2d(2, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    maps = parser.get_parsed_content("explanation")(network, x, ClassScore(1))
    assert set(map(tuple, torch.nonzero(maps[0]).tolist())) <= {(i, j) for i in range(4, 8) for j in range(4, 8)}
    assert maps.any()


def test_regions_say_where() -> None:
    x = torch.zeros(2, 3, 4, 5, 6)
    x[0, 1, 2, 2, 2] = -1
    x[1, 2, 0, 0, 0] = 1
    assert torch.nonzero(Foreground()(x)).tolist() == [[0, 0, 2, 2, 2], [1, 0, 0, 0, 0]]
    assert torch.nonzero(MaskChannel(2)(x)).tolist() == [[1, 0, 0, 0, 0]]
    assert Everywhere()(x).shape == (2, 1, 4, 5, 6)
    assert Everywhere()(x).all()
