"""Small parts that RANO's overlay brought: turned heads, the start of a training, powers, regions, rebuilding."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from treatment_response.cases.samples import SampleRow, Samples, inverse_shares, rarity_weights
from treatment_response.cases.turned_samples import TURNS, turned_samples
from treatment_response.classes import Classes
from treatment_response.explain.region import NotAsCorner
from treatment_response.losses import RebuildLoss
from treatment_response.training.handlers import StartFrom
from treatment_response.transforms.augment_batch import AugmentBatch

FOUR = Classes(("PD", "SD", "PR", "CR"), "PD", "balanced_accuracy")
TOP_OF_HEAD = {
    "up": (4, 4, 7),
    "down": (4, 4, 1),
    "front": (4, 7, 4),
    "back": (4, 1, 4),
    "right": (7, 4, 4),
    "left": (1, 4, 4),
}


def rows(labels: list[int | None]) -> list[SampleRow]:
    return [SampleRow(f"sub-{n}", "c", "ses-01", n % 2, label) for n, label in enumerate(labels)]


def test_the_top_of_the_head_points_where_the_class_says():
    """On a grid along RAS: the first axis to the right, the second to the front, the third up."""
    head = torch.zeros(1, 1, 9, 9, 9)
    head[0, 0, 4, 4, 7] = 1
    samples = turned_samples(Samples(head, rows([None]), FOUR))
    assert samples.classes.names == tuple(TURNS)
    for number, (row, name) in enumerate(zip(samples.rows, TURNS, strict=True)):
        assert (row.label, row.case, row.subject, row.fold) == (number, f"c {name}", "sub-0", 0)
        assert tuple(torch.nonzero(samples[number]["image"][0])[0].tolist()) == TOP_OF_HEAD[name], name
    chosen = samples.where(lambda row: row.label in (2, 4))
    assert [int(chosen[n]["label"]) for n in (0, 1)] == [2, 4]
    assert torch.equal(chosen[1]["image"], samples[4]["image"])


def test_weights_of_classes_are_those_by_hand():
    samples = Samples(torch.zeros(5, 1, 2, 2), rows([0, 0, 0, 1, 3]), FOUR)
    assert rarity_weights(samples) == pytest.approx([0.4, 0.4, 0.4, 0.8, 0.8])
    torch.testing.assert_close(inverse_shares(samples), torch.tensor([5 / 3, 5.0, 0.0, 5.0]))


def test_powers_are_drawn_between_two_numbers():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 4, 4, 4)
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    changes = AugmentBatch(0, 0, noise=0, brightness=0, gamma=(0.5, 4.5), probability=1.0)
    y = changes(x)
    share, changed = ((one - low) / (high - low) for one in (x, y))
    middle = (share > 0.2) & (share < 0.8)
    power = (changed[middle].log() / share[middle].log()).reshape(-1)
    assert 0.5 <= float(power.min()) < 0.7
    assert 4.2 < float(power.max()) <= 4.51
    assert float(power.mean()) == pytest.approx(2.5, abs=0.4)
    never = AugmentBatch(0, 0, noise=0, brightness=0, gamma=(0.5, 4.5), probability=0.0)
    torch.testing.assert_close(never(x), x)
    for wrong in ((2.0, 1.0), (0.0, 1.0), (1.0,)):
        with pytest.raises(ValueError, match="gamma is"):
            AugmentBatch(gamma=wrong)


def test_the_region_is_where_a_channel_clearly_differs_from_the_corner():
    x = torch.full((1, 2, 6, 6, 6), -0.6)
    x[0, 1, 2:4, 2:4, 2:4] = 2.0
    x[0, 1, 5, 5, 5] = -0.55  # a tail of the smoothing
    inside = NotAsCorner()(x)
    assert inside.shape == (1, 1, 6, 6, 6)
    assert int(inside.sum()) == 8
    assert bool((inside[0, 0, 2:4, 2:4, 2:4] == 1).all())


@pytest.mark.parametrize("channels", [1, 2])
def test_a_first_layer_of_other_channels_is_copied_over_them(tmp_path, caplog, channels):
    def network(given: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv3d(given, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))

    start, own = network(channels), network(5)
    torch.save(start.state_dict(), tmp_path / "start.pt")
    with caplog.at_level(logging.INFO):
        StartFrom(own, str(tmp_path / "start.pt"))(SimpleNamespace(state=SimpleNamespace(epoch=0)))
    for channel in range(5):
        assert torch.equal(own[0].weight[:, channel], start[0].weight[:, channel % channels])
    assert torch.equal(own[2].weight, start[2].weight)
    assert "copied over the channels: 0.weight; drawn anew: nothing." in caplog.text


def test_rebuilding_teaches_the_body_and_not_the_last_layer():
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv3d(2, 8, 3, stride=2, padding=1), torch.nn.ReLU())
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4))
    network = torch.nn.Sequential(body, head)
    loss = RebuildLoss(network, "0", channels=2, grid=(8, 8, 8), width=16)
    x = torch.zeros(4, 2, 8, 8, 8)
    x[:2, 0, :4], x[2:, 1, 4:] = 1.0, -1.0
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.02)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        output = loss(network, x, torch.zeros(4, 1))
        output["loss"].backward()
        optimizer.step()
        values.append(output["loss"].item())
    assert values[-1] < 0.5 * values[0]
    assert output["pred"].shape == (4, 4)
    assert head[2].weight.grad is None
    assert body[0].weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        RebuildLoss(network, "nowhere", 2, (8, 8, 8))
