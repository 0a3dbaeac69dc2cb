"""Scores of maps and their controls over a region of a volume, for a network with several classes and no mask."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from treatment_response.explain.cells import cell_means, pixels_of, rank_correlation
from treatment_response.explain.controls import class_free_at, high_pass_energy, random_map
from treatment_response.explain.faithfulness import removal_scores, single_cell_effects
from treatment_response.explain.region import Everywhere, Foreground, MaskChannel, flattened
from treatment_response.explain.stability import noise_scores, shift_agreement, shifted, shifts_of
from treatment_response.explain.target import ClassScore

GRID, CELLS = (8, 12, 16), (4, 4, 4)


class Votes(nn.Module):
    """The energy of structure in one cell speaks for class 2, that of another one for class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.AvgPool3d((2, 3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        energy = self.energy((x[:, :1] - 1.5) ** 2)[:, 0]
        return torch.stack([energy[:, 1, 2, 2], 0 * energy[:, 0, 0, 0], energy[:, 2, 1, 1]], dim=1)


@pytest.fixture
def brains() -> torch.Tensor:
    """Two images with two channels and zeros around them."""
    generator = torch.Generator().manual_seed(0)
    x = 1 + torch.rand(2, 2, *GRID, generator=generator, dtype=torch.float64)
    inside = torch.zeros(GRID, dtype=torch.bool)
    inside[2:6, 3:9, 4:12] = True
    return x * inside


def test_the_cell_that_a_class_lives_on_is_removed_first(brains: torch.Tensor) -> None:
    used = torch.zeros(CELLS)
    used[2, 1, 1], used[1, 2, 2] = 1, -1
    region, target = Foreground(), ClassScore(2)
    scores = removal_scores(Votes(), brains[0], {"used": used, "reversed": -used}, target=target, region=region)
    assert scores["used"].deletion > 1
    assert scores["reversed"].deletion < -1
    effects = single_cell_effects(Votes(), brains[0], CELLS, target, region)
    assert {tuple(place) for place in torch.nonzero(effects.abs() > 1e-12).tolist()} == {(2, 1, 1), (1, 2, 2)}
    assert effects[2, 1, 1] > 0 > effects[1, 2, 2]
    flat = brains[:1].clone()
    flat[:, :, 4:6, 3:6, 4:8] = flattened(brains[:1], region)[:, :, 4:6, 3:6, 4:8]
    expected = target(Votes()(brains[:1])) - target(Votes()(flat))
    torch.testing.assert_close(effects[2, 1, 1], expected[0])


def test_a_flat_region_has_its_own_mean_in_every_image_channel(brains: torch.Tensor) -> None:
    flat = flattened(brains, Foreground())
    inside = brains[0, 0] > 0
    assert flat.shape == brains.shape
    for image, one in zip(brains.flatten(0, 1), flat.flatten(0, 1), strict=True):
        torch.testing.assert_close(one[inside], image[inside].mean().expand(int(inside.sum())))
        assert not one[~inside].any()
    assert flattened(brains, MaskChannel(1)).shape[1] == 1


@pytest.mark.parametrize("shift", shifts_of(3))
def test_a_volume_moves_towards_higher_indices(brains: torch.Tensor, shift: tuple[int, ...]) -> None:
    moved = shifted(brains, shift, Foreground())
    assert moved[0, 0, 4 + shift[0], 6 + shift[1], 8 + shift[2]] == brains[0, 0, 4, 6, 8] > 0


def test_a_map_of_the_image_is_stable_and_a_random_one_is_not(brains: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)

    def explain(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"image": x[:, 0], "random": torch.rand(x[:, 0].shape, generator=generator, dtype=x.dtype)}

    full = brains[:, 0] > 0
    agreement = shift_agreement(explain, brains, full, Foreground())
    assert (agreement["image"] > 0.99).all()
    assert (agreement["random"].abs() < 0.3).all()
    kept, change = noise_scores(explain, brains, full, generator, Foreground())
    assert (kept["image"] > 0.9).all()
    assert (change["image"] < 0.2).all()


def test_controls_in_three_dimensions(brains: torch.Tensor) -> None:
    x = torch.rand(1, 2, 24, 24, 24, dtype=torch.float64)
    energy = high_pass_energy(x, (6, 4, 3), sigma=1.0, region=Everywhere())
    expected = sum((one - gaussian_filter(one, 1.0, mode="mirror", truncate=4.0)) ** 2 for one in x[0].numpy()) / 2
    torch.testing.assert_close(
        energy, cell_means(torch.from_numpy(expected)[None], torch.ones(1, 24, 24, 24), (6, 4, 3))
    )
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool3d(1), nn.Flatten()).double()
    torch.testing.assert_close(class_free_at(network, "1", brains), network[1](network[0](brains)).sum(1).detach())
    mask = torch.zeros(2, *CELLS)
    mask[:, 1] = 1
    drawn = random_map(mask[:, None], torch.Generator().manual_seed(0))
    assert torch.equal(drawn > 0, mask > 0)


def test_cells_of_a_volume_and_their_pixels_go_forth_and_back() -> None:
    cells = torch.rand(2, *CELLS, dtype=torch.float64)
    pixels = pixels_of(cells, GRID)
    assert pixels.shape == (2, *GRID)
    torch.testing.assert_close(cell_means(pixels, torch.ones_like(pixels), CELLS), cells)
    assert rank_correlation(cells, cells, torch.ones_like(cells)).tolist() == pytest.approx([1, 1])
    with pytest.raises(ValueError, match=r"\(8, 12, 16\) cannot be cut into \(3, 4, 4\)"):
        cell_means(pixels, pixels, (3, 4, 4))
