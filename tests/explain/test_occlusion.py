"""Occlusion by cones against whole forward passes, against MONAI's, and where a planted signal lands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet, ResNet
from monai.visualize import OcclusionSensitivity
from torch import nn
from treatment_response.explain.explanations import maps_of_targets
from treatment_response.explain.occlusion import OccludedNetwork, Occlusion, cubes_inside
from treatment_response.explain.target import ClassScore

SIZE, CUBE, STEP = (22, 19, 25), (5, 4, 3), (7, 6, 9)


def resnet(axes: int, block: str = "basic", stride: int = 1, pool: bool = True, shortcut: str = "B") -> nn.Module:
    return ResNet(
        block, [1, 2, 1, 1], [4, 4, 6, 6], axes, n_input_channels=2, conv1_t_stride=stride, no_max_pool=not pool,
        shortcut_type=shortcut, num_classes=3,
    )  # fmt: skip


def densenet(axes: int) -> nn.Module:
    return DenseNet(axes, 2, 3, init_features=4, growth_rate=3, block_config=(2, 3, 2), bn_size=2)


class Gated(nn.Module):
    """Neighbours first, then a gate that sees the whole map, then a dense layer on places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(2, 4, 3, stride=2, dilation=2, padding=1, groups=2)
        self.pool = nn.AvgPool3d(3, 2, padding=1)
        self.gate, self.dense = nn.Linear(4, 4), nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = nn.functional.gelu(self.first(x))
        a = self.pool(2 * a * torch.sigmoid(a) - a)
        a = a * torch.sigmoid(self.gate(a.mean((2, 3, 4))))[:, :, None, None, None]
        return self.dense(a.flatten(1))


class Branching(nn.Module):
    """What it does depends on the image, so it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu().mean((2, 3, 4)) * (2 if float(x.sum()) > 0 else 1)


NETWORKS = {
    "3D stride 1": (lambda: resnet(3), 3),
    "3D stride 2, shortcut A": (lambda: resnet(3, stride=2, shortcut="A"), 3),
    "3D without pooling, shortcut A": (lambda: resnet(3, pool=False, stride=2, shortcut="A"), 3),
    "3D bottleneck": (lambda: resnet(3, "bottleneck", stride=2), 3),
    "2D stride 1, shortcut A": (lambda: resnet(2, shortcut="A"), 2),
    "3D DenseNet": (lambda: densenet(3), 3),
    "2D DenseNet": (lambda: densenet(2), 2),
    "gate and dense layer": (Gated, 3),
}


def ready(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Statistics and weights of the norms that are not those of a fresh network, which would hide mistakes."""
    network.to(x.dtype).eval()
    with torch.no_grad():
        network(x)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_(1, 0.2)
                module.bias.normal_(0, 0.2)
    return network


def by_whole_passes(network: nn.Module, x: torch.Tensor, origins: np.ndarray, cube: tuple[int, ...]) -> torch.Tensor:
    rows = []
    for origin in origins:
        hidden = x.clone()
        place = tuple(slice(first, first + side) for first, side in zip(origin, cube, strict=True))
        hidden[(0, slice(None), *place)] = torch.tensor([0.5, -1.0], dtype=x.dtype).reshape(2, *[1] * len(cube))
        with torch.no_grad():
            rows.append(network.eval()(hidden))
    return torch.cat(rows)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NETWORKS)
def test_cones_give_the_answers_of_whole_passes(name: str) -> None:
    torch.manual_seed(1)
    make, axes = NETWORKS[name]
    x = torch.randn(1, 2, *SIZE[:axes], dtype=torch.float64)
    network = ready(make(), x).train()
    origins = cubes_inside(SIZE[:axes], CUBE[:axes], STEP[:axes])
    occluded = OccludedNetwork(network, x, [0.5, -1.0], memory=300_000)
    answers = occluded.answers(origins, CUBE[:axes])
    assert network.training
    assert not occluded.plain_reason
    expected = by_whole_passes(network, x, origins, CUBE[:axes])
    assert (expected - occluded.answer).abs().max() > 1e-3
    torch.testing.assert_close(answers, expected, rtol=0, atol=1e-12)


def test_half_precision_is_as_good_as_its_whole_passes() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, *SIZE)
    network = ready(resnet(3, stride=2), x)
    origins = cubes_inside(SIZE, CUBE, STEP)
    exact = by_whole_passes(network, x, origins, CUBE)
    half = network.bfloat16()
    whole = by_whole_passes(half, x.bfloat16(), origins, CUBE)
    answers = OccludedNetwork(half, x.bfloat16(), [0.5, -1.0]).answers(origins, CUBE)
    assert (answers - exact).abs().max() <= 1.5 * (whole - exact).abs().max()


def test_a_network_that_cannot_be_traced_is_occluded_plainly_and_says_so() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 9, 9, 9)
    network = Branching()
    with pytest.warns(RuntimeWarning, match="Branching is occluded by whole forward passes: it cannot be traced"):
        occluded = OccludedNetwork(network, x, [0.5, -1.0])
    origins = cubes_inside((9, 9, 9), (3, 3, 3), (3, 3, 3))
    expected = by_whole_passes(network, x, origins, (3, 3, 3))
    torch.testing.assert_close(occluded.answers(origins, (3, 3, 3)), expected)


def test_a_network_that_was_changed_after_its_tracing_never_gives_a_wrong_map() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 12, 12, 12)
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    origins = cubes_inside((12, 12, 12), (4, 4, 4), (4, 4, 4))
    OccludedNetwork(network, x, [0.5, -1.0]).answers(origins, (4, 4, 4))
    network[1] = nn.Tanh()
    occluded = OccludedNetwork(network, x, [0.5, -1.0])
    with pytest.warns(RuntimeWarning, match="from a plain pass's"):
        answers = occluded.answers(origins, (4, 4, 4))
    torch.testing.assert_close(answers, by_whole_passes(network, x, origins, (4, 4, 4)))


def test_less_memory_means_fewer_cubes_at_once_and_the_same_answers() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, *SIZE, dtype=torch.float64)
    network = ready(resnet(3, stride=2), x)
    origins = cubes_inside(SIZE, CUBE, STEP)
    widest, answers = [], []
    for memory in (1, 2**30):
        occluded = OccludedNetwork(network, x, [0.5, -1.0], memory)
        cones = occluded._cones
        boxes = cones.boxes(origins, np.array(CUBE))
        batches = list(cones.batches(boxes, memory))
        assert sorted(np.concatenate(batches)) == list(range(len(origins)))
        widest.append(max(map(len, batches)))
        answers.append(occluded.answers(origins, CUBE))
    assert widest[0] == 1 < widest[1]
    torch.testing.assert_close(*answers, rtol=0, atol=1e-12)


def test_the_map_is_monais_where_cubes_touch() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 2, 12, 16, 8)
    network = ready(resnet(3, stride=2), x).eval()
    monai_maps, _ = OcclusionSensitivity(
        network, mask_size=4, n_batch=4, mode=0.5, overlap=0.0, activate=False, verbose=False
    )(x)
    ours = Occlusion(cube=4, fill=0.5)(network, torch.cat([x, x.flip(2)]), lambda logits: logits[:, 1])
    with torch.no_grad():
        expected = network(x)[0, 1] - monai_maps[0, 1]
    assert ours.shape == (2, 12, 16, 8)
    torch.testing.assert_close(ours[0], expected, rtol=0, atol=1e-5)


class Bright(nn.Module):
    """Votes for class 1 by the brightness of one place, which has to be found."""

    def __init__(self, place: tuple[int, ...], grid: tuple[int, ...]) -> None:
        super().__init__()
        weight = torch.zeros(1, 1, *grid)
        weight[(0, 0, *place)] = 1.0
        self.weight = nn.Parameter(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vote = (torch.relu(x) * self.weight).sum((1, 2, 3, 4))
        return torch.stack([-vote, vote], dim=1)


@pytest.mark.filterwarnings("ignore:Bright is occluded by whole")
def test_coarse_to_fine_finds_a_planted_voxel_and_looks_nowhere_else_twice() -> None:
    grid, place = (16, 12, 20), (9, 2, 17)
    x = torch.ones(1, 1, *grid)
    network = Bright(place, grid)
    coarse = Occlusion(cube=4)(network, x, lambda logits: logits[:, 1])[0]
    fine = Occlusion(cube=4, finer=2, share=0.02)(network, x, lambda logits: logits[:, 1])[0]
    assert {tuple(index) for index in torch.nonzero(coarse).tolist()} == {
        (i, j, k) for i in range(8, 12) for j in range(4) for k in range(16, 20)
    }
    assert {tuple(index) for index in torch.nonzero(fine).tolist()} == {
        (i, j, k) for i in (8, 9) for j in (2, 3) for k in (16, 17)
    }
    assert float(coarse.max()) == 1
    assert float(fine.max()) == 8  # per volume of a coarse cube: the mean over it stays


@pytest.mark.filterwarnings("ignore:Branching is occluded by whole")
@pytest.mark.parametrize("finer", [None, 2])
def test_the_maps_of_several_classes_are_those_of_each_and_a_cube_is_hidden_once(finer: int | None) -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 2, 8, 12, 8)
    network, targets = Branching().double().eval(), [ClassScore(index) for index in range(3)]
    occlusion, passed = Occlusion(cube=4, finer=finer, share=0.2), []
    network.register_forward_hook(lambda module, images, answers: passed.append(len(answers)))
    together = maps_of_targets(occlusion, network, x.double(), targets)
    one_by_one = [occlusion(network, x.double(), target) for target in targets]
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-12)
    assert not torch.equal(together[0], together[1])
    if finer is None:
        assert sum(passed) < 2 * 4 * (len(cubes_inside((8, 12, 8), (4, 4, 4), (4, 4, 4))) + 3)


def test_only_cubes_at_least_half_inside_the_region_count() -> None:
    inside = torch.zeros(8, 8, 8, dtype=torch.bool)
    inside[:6, :4, :4] = True
    corners = cubes_inside((8, 8, 8), (4, 4, 4), (4, 4, 4), inside)
    assert corners.tolist() == [[0, 0, 0], [4, 0, 0]]
    small = torch.zeros(8, 8, 8, dtype=torch.bool)
    small[7, 7, 7] = True
    assert cubes_inside((8, 8, 8), (4, 4, 4), (4, 4, 4), small).tolist() == [[4, 4, 4]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cube": 9}, "does not fit"),
        ({"cube": 4, "fill": [0.0, 1.0, 2.0]}, "3 numbers, the image has 2 channels"),
        ({"cube": 4, "region": lambda x: torch.zeros_like(x[:, :1])}, "region is empty"),
        ({"cube": 4, "share": 0.0}, "share"),
    ],
)
def test_settings_that_make_no_map_are_refused(settings: dict, message: str) -> None:
    network = nn.Sequential(nn.Conv3d(2, 1, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    with pytest.raises(ValueError, match=message):
        Occlusion(**settings)(network, torch.randn(1, 2, 8, 8, 8), lambda logits: logits[:, 0])
