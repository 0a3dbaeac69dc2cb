"""Shifts and noise: what follows the lesion stays, what is drawn anew does not; captum's sensitivity is ours."""

from __future__ import annotations

import pytest
import torch
from captum.metrics import sensitivity_max
from scipy.stats import spearmanr
from treatment_response.explain.cam import PixelwiseCAM
from treatment_response.explain.cells import cell_means, rank_correlation
from treatment_response.explain.controls import high_pass_energy, random_map
from treatment_response.explain.stability import (
    NOISE,
    NOISE_DRAWS,
    SHIFTS,
    moved_back,
    noise_scores,
    region_sd,
    shift_agreement,
    shifted,
)
from treatment_response.explain.target import TargetClass


def cells_of(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(x[:, 1:], 4)[:, 0]


def test_rank_correlation_is_scipys_over_the_lesions_cells(lesions):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 6, (5, 16, 16), generator=generator).double() for _ in range(2))
    mask = cells_of(lesions)
    expected = [spearmanr(a[m > 0], b[m > 0]).statistic for a, b, m in zip(first, second, mask, strict=True)]
    torch.testing.assert_close(rank_correlation(first, second, mask), torch.tensor(expected))
    assert not rank_correlation(first * 0, second, mask).any()


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shifted_lesion_lies_where_it_was_moved_to(lesions, shift):
    moved = shifted(lesions, shift)
    assert moved.shape == lesions.shape
    assert moved[0, 0, 30 + shift[0], 33 + shift[1]] == lesions[0, 0, 30, 33]
    rolled = torch.roll(lesions[0, 1], shift, dims=(0, 1))
    assert torch.equal(moved[0, 1], rolled)


def test_a_map_moved_back_by_whole_cells_is_the_map(lesions):
    mask = lesions[:1, 1]
    whole = cell_means(torch.rand(1, 64, 64, dtype=torch.float64), torch.ones(1, 64, 64), 16)
    moved = torch.roll(whole, (1, -2), dims=(1, 2))
    inside = cells_of(lesions[:1]) > 0
    torch.testing.assert_close(moved_back(moved, (4, -8), mask)[inside], whole[inside])
    wrong = moved_back(moved, (-4, 8), mask)
    assert not torch.allclose(wrong[inside], whole[inside])


def test_a_map_of_the_image_follows_the_lesion_and_a_random_one_does_not(lesions):
    generator = torch.Generator().manual_seed(0)
    mask = cells_of(lesions)

    def explain(x):
        return {
            "image": high_pass_energy(x),
            "random": random_map(cells_of(x), generator),
            "place": torch.arange(256.0).view(1, 16, 16).expand(len(x), -1, -1),
            "empty": torch.zeros(len(x), 16, 16),
        }

    scores = shift_agreement(explain, lesions, mask)
    assert scores["image"].min() > 0.4  # white noise, of which shifts within a cell mix a third
    assert scores["place"].min() > 0.9
    assert abs(scores["random"].mean()) < 0.1
    assert not scores["empty"].any()


def test_a_lesion_that_fills_the_field_has_no_score(lesions):
    x = lesions[:1].clone()
    x[:, 1] = 1
    assert shift_agreement(lambda x: {"map": x[:, 0, ::4, ::4]}, x, cells_of(x))["map"].isnan().all()


def test_noise_moves_a_fragile_map_more_than_a_smooth_one(lesions):
    def explain(x):
        blurred = torch.nn.functional.avg_pool2d(x[:, :1], 9, stride=1, padding=4)
        return {"smooth": blurred[:, 0, ::4, ::4], "pixel": x[:, 0, ::4, ::4], "empty": torch.zeros(len(x), 16, 16)}

    agreement, change = noise_scores(explain, lesions, cells_of(lesions), torch.Generator().manual_seed(0))
    assert (agreement["smooth"] > agreement["pixel"] - 0.02).all()
    assert (change["smooth"] < change["pixel"]).all()
    assert change["empty"].isnan().all()
    assert agreement["pixel"].min() > 0.8  # a tenth of the SD


def test_the_largest_change_is_captums_sensitivity(network, lesions):
    network.eval()
    cam = PixelwiseCAM()
    x = lesions[:3]
    sd = region_sd(x)[:, :, None, None] * NOISE
    generator = torch.Generator().manual_seed(4)
    noise = [torch.randn(3, 1, 64, 64, generator=generator, dtype=x.dtype) * sd for _ in range(NOISE_DRAWS)]

    def maps(inputs):  # captum passes tuples or tensors, and takes tuples
        return (cam(network, inputs if torch.is_tensor(inputs) else inputs[0], TargetClass.RESPONSE),)

    def perturb(both):  # captum asks for all draws of a case one after the other
        return both + torch.cat([torch.stack(noise, dim=1), torch.zeros(3, NOISE_DRAWS, 1, 64, 64)], dim=2).flatten(
            0, 1
        )

    expected = sensitivity_max(maps, x, perturb, n_perturb_samples=NOISE_DRAWS)
    own = noise_scores(lambda x: {"map": maps((x,))[0]}, x, cells_of(x), torch.Generator().manual_seed(4))[1]["map"]
    torch.testing.assert_close(own, expected.double())
