"""Random changes of a batch: where a planted point goes, what stays, and that seeds repeat them."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import RandAdjustContrastd
from treatment_response.transforms.augment_batch import AugmentBatch, PrepareAugmented

NOTHING = {"rotation_deg": 0.0, "scale": 0.0, "noise": 0.0, "brightness": 0.0, "gamma": 0.0}


def batch(*grid: int) -> torch.Tensor:
    return torch.rand(3, 2, *grid, generator=torch.Generator().manual_seed(0))


def test_without_amounts_the_batch_stays() -> None:
    x = batch(8, 9, 5)
    torch.testing.assert_close(AugmentBatch(**NOTHING)(x), x, rtol=0, atol=0)
    torch.testing.assert_close(AugmentBatch(elastic_mm=2.0, flip_axes=(), probability=0.0)(x), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", [(24, 20), (24, 20, 10)], ids=["2D", "3D"])
def test_a_rotation_keeps_millimetres_on_an_anisotropic_grid(grid: tuple[int, ...]) -> None:
    """A point stays at its distance from the middle, in mm, however far its axes are from equal."""
    spacing = torch.tensor([1.0, 1.5, 3.0][: len(grid)])
    middle = (torch.tensor(grid) - 1) / 2
    x = torch.zeros(16, 1, *grid)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in grid), indexing="ij")
    index = torch.stack(axes, -1)
    point = torch.tensor([16.0, 11.0, 5.0][: len(grid)])
    x[:, 0] = torch.exp(-((((index - point) * spacing) / 3.0) ** 2).sum(-1) / 2)
    torch.manual_seed(1)
    turned = AugmentBatch(**{**NOTHING, "rotation_deg": 30.0}, spacing=spacing.tolist(), probability=1.0)(x)
    weight = turned[:, 0, ..., None] / turned[:, 0].flatten(1).sum(1).view(-1, *[1] * (len(grid) + 1))
    centre = (weight * index).flatten(1, -2).sum(1)
    radius = ((centre - middle) * spacing).norm(dim=1)
    expected = ((point - middle) * spacing).norm()
    torch.testing.assert_close(radius, expected.expand(16), rtol=0, atol=0.35)
    moved = ((centre - point) * spacing).norm(dim=1)
    assert moved.max() > 1.0
    assert len({round(float(one), 3) for one in moved}) == 16  # every sample its own


def test_the_same_seed_gives_the_same_changes_and_a_sample_differs_from_the_next() -> None:
    x = batch(8, 9, 5)[:1].expand(3, -1, -1, -1, -1)
    augment = AugmentBatch(elastic_mm=1.0, flip_axes=(0, 1), probability=1.0)
    torch.manual_seed(5)
    first = augment(x)
    torch.manual_seed(5)
    torch.testing.assert_close(augment(x), first, rtol=0, atol=0)
    assert not torch.equal(augment(x), first)
    assert not torch.equal(first[0], first[1])


def test_elastic_bends_by_the_stated_millimetres_and_flips_reverse() -> None:
    ramp = torch.arange(40.0).view(1, 1, 40, 1, 1).expand(32, 1, 40, 40, 20).contiguous() * 0.5  # mm along axis 0
    torch.manual_seed(0)
    bent = AugmentBatch(**NOTHING, elastic_mm=1.5, elastic_points=40, spacing=(0.5, 0.5, 1.0), probability=1.0)(ramp)
    inner = (bent - ramp)[:, :, 12:-12, 12:-12, 6:-6]
    assert 0.4 * 1.5 < float(inner.std()) < 1.1 * 1.5  # interpolation between the points takes some
    torch.manual_seed(0)
    flipped = AugmentBatch(**NOTHING, flip_axes=(0,))(ramp)
    kinds = [torch.equal(one, ramp[0]) + 2 * torch.equal(one, ramp[0].flip(1)) for one in flipped]
    assert set(kinds) == {1, 2}


def test_intensities_of_some_channels_only_and_within_their_limits() -> None:
    x = batch(8, 9, 5)
    augment = AugmentBatch(0.0, 0.0, noise=0.0, brightness=0.2, gamma=0.5, intensity_channels=[0], probability=1.0)
    torch.manual_seed(0)
    out = augment(x)
    torch.testing.assert_close(out[:, 1], x[:, 1], rtol=0, atol=0)
    ratio = out[:, 0].amax((1, 2, 3)) / x[:, 0].amax((1, 2, 3))  # gamma keeps the extremes
    assert bool(((ratio > 0.8) & (ratio < 1.2)).all())
    assert not torch.equal(out[:, 0], x[:, 0])


@pytest.mark.parametrize("kind", [{"noise": 0.1}, {"brightness": 0.2}, {"gamma": (0.5, 4.5)}], ids=str)
def test_one_draw_for_all_channels_keeps_what_two_have_in_common(kind: dict[str, object]) -> None:
    x = batch(8, 9, 5)[:, :1].expand(-1, 2, -1, -1, -1)
    alike, apart = (
        AugmentBatch(**{**NOTHING, **kind}, each_channel=each, probability=1.0)(x) for each in (False, True)
    )
    torch.testing.assert_close(alike[:, 0], alike[:, 1])
    assert not torch.equal(apart[:, 0], apart[:, 1])
    assert not torch.equal(alike, x)
    change = alike - x
    assert not torch.allclose(change[0], change[1])  # each sample its own


def test_one_draw_for_all_channels_is_that_of_monais_dictionary_transforms() -> None:
    """The powers of two channels with other ranges are one number, as RandAdjustContrastd gives its keys."""
    x = batch(8, 9, 5)
    x[:, 1] = 3 * x[:, 1] - 7
    bent = AugmentBatch(**{**NOTHING, "gamma": (0.5, 4.5)}, each_channel=False, probability=1.0)(x)
    for before, after in zip(x, bent, strict=True):
        low, extent = before.amin((1, 2, 3), keepdim=True), before.amax((1, 2, 3)) - before.amin((1, 2, 3))
        power = (((after[0] - low[0]) / extent[0]).log() / ((before[0] - low[0]) / extent[0]).log()).nanmedian()
        stock = RandAdjustContrastd(keys=["one", "two"], prob=1.0, gamma=(float(power), float(power) + 1e-9))
        expected = stock({"one": before[:1], "two": before[1:]})
        torch.testing.assert_close(after, torch.cat([expected["one"], expected["two"]]), rtol=1e-3, atol=1e-3)


def test_it_wraps_a_prepare_batch() -> None:
    prepare = PrepareAugmented(
        lambda pair, device: (pair[0].to(device), pair[1]), AugmentBatch(**NOTHING, flip_axes=(0,))
    )
    torch.manual_seed(0)
    image, label = prepare((batch(4, 4), "label"), device="cpu")
    assert label == "label"
    assert image.shape == (3, 2, 4, 4)


def test_refused_settings() -> None:
    with pytest.raises(ValueError, match="probability is 2, expected 0 to 1"):
        AugmentBatch(probability=2)
    with pytest.raises(ValueError, match="scale and brightness below 1"):
        AugmentBatch(scale=1.0)
