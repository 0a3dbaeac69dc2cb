"""Scores of known maps: perfect, inverted, empty, random; against scikit-learn where it says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from treatment_response.explain.cam import explain_all
from treatment_response.explain.controls import class_free, high_pass_energy, oracle, random_map, residual_energy
from treatment_response.explain.localisation import localisation_scores, score_methods
from treatment_response.explain.target import TargetClass


def lesion_with_niche(fraction=1.0):
    """One lesion of 10 x 10 cells with a niche of 2 x 3 cells."""
    mask, niche = torch.zeros(1, 16, 16), torch.zeros(1, 16, 16)
    mask[0, 3:13, 3:13] = 1
    niche[0, 5:7, 8:11] = fraction
    return mask, niche


def test_perfect_inverted_and_empty_maps():
    mask, niche = lesion_with_niche()
    perfect = localisation_scores(niche, niche, mask)
    assert (perfect.auc, perfect.pointing, perfect.dice) == (1, 1, 1)
    inverted = localisation_scores(1 - niche, niche, mask)
    assert (inverted.auc, inverted.pointing, inverted.dice) == (0, 0, pytest.approx(0, abs=1e-12))
    empty = localisation_scores(torch.zeros_like(niche), niche, mask)
    assert empty.auc == 0.5
    assert empty.empty == 1
    assert empty.chance == pytest.approx(6 / 100)
    assert empty.pointing == pytest.approx(6 / 100)
    assert empty.dice == pytest.approx(6 / 100)


def test_cells_outside_the_lesion_do_not_count():
    mask, niche = lesion_with_niche()
    loud = niche.clone()
    loud[0, 0, 0] = 100
    assert localisation_scores(loud, niche, mask).pointing == 1
    assert localisation_scores(loud, niche, mask[:, None]).auc == 1


def test_half_the_niche_found():
    mask, niche = lesion_with_niche()
    half = torch.zeros_like(niche)
    half[0, 5, 8:11] = 2
    half[0, 12, 3:6] = 1
    scores = localisation_scores(half, niche, mask)
    assert scores.dice == pytest.approx(0.5)
    assert scores.pointing == 1


def test_lesions_without_contrast_between_cells_have_no_score():
    mask, niche = lesion_with_niche()
    for fraction in (torch.zeros_like(niche), mask):
        scores = localisation_scores(niche, fraction, mask)
        assert torch.isnan(torch.stack([scores.auc, scores.pointing, scores.dice])).all()


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_auc_is_scikit_learns_with_fractions_as_weights(seed, levels):
    generator = torch.Generator().manual_seed(seed)
    mask, _ = lesion_with_niche()
    niche = torch.rand(1, 16, 16, generator=generator) * mask
    cells = torch.randint(0, levels, (1, 16, 16), generator=generator).float()
    inside = mask[0] > 0
    weight, value = niche[0][inside].double(), cells[0][inside]
    expected = roc_auc_score(
        [1] * 100 + [0] * 100,
        torch.cat([value, value]),
        sample_weight=torch.cat([weight, 1 - weight]),
    )
    assert float(localisation_scores(cells, niche, mask).auc) == pytest.approx(expected, abs=1e-6)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_scores_ignore_the_maps_scale_and_the_oracle_beats_every_map(seed):
    generator = torch.Generator().manual_seed(seed)
    mask, _ = lesion_with_niche()
    niche = torch.rand(1, 16, 16, generator=generator) * mask
    cells = random_map(mask, generator)
    first, second = localisation_scores(cells, niche, mask), localisation_scores(cells * 7, niche, mask)
    best = localisation_scores(oracle(niche), niche, mask)
    for name in ("auc", "pointing", "dice"):
        assert getattr(first, name) == getattr(second, name)
        assert getattr(best, name) >= getattr(first, name) - 1e-12


def test_random_maps_score_chance_on_average():
    mask, niche = lesion_with_niche(0.7)
    many = 400
    cells = random_map(mask.expand(many, -1, -1), torch.Generator().manual_seed(0))
    scores = localisation_scores(cells, niche.expand(many, -1, -1), mask.expand(many, -1, -1))
    assert scores.auc.mean() == pytest.approx(0.5, abs=0.02)
    assert scores.dice.mean() == pytest.approx(float(scores.chance[0]), abs=0.02)
    assert scores.pointing.mean() == pytest.approx(float(scores.chance[0]), abs=0.03)
    assert not scores.empty.any()


def test_high_pass_finds_fine_structure_and_not_a_smooth_bright_spot():
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(1, 2, 64, 64)
    x[0, 1, 12:52, 12:52] = 1
    rows = torch.arange(64.0)
    x[0, 0] = torch.exp(-((rows[:, None] - 20) ** 2 + (rows[None] - 20) ** 2) / (2 * 8.0**2))
    x[0, 0, 36:44, 40:48] += 0.2 * torch.randn(8, 8, generator=generator)
    energy = high_pass_energy(x)
    niche = torch.zeros(1, 16, 16)
    niche[0, 9:11, 10:12] = 1
    mask = torch.nn.functional.max_pool2d(x[:, 1:], 4)
    assert localisation_scores(energy, niche, mask).auc == 1
    assert not energy[mask[:, 0] == 0].any()


def test_high_pass_is_blind_to_structure_outside_the_lesion():
    x = torch.zeros(1, 2, 64, 64)
    x[0, 1, 20:40, 20:40] = 1
    x[0, 0, :, 50:] = torch.rand(64, 14, generator=torch.Generator().manual_seed(0))
    assert high_pass_energy(x).max() < 1e-6


def test_methods_and_controls_are_scored_side_by_side(network, lesions):
    mask = network.cell_mask(lesions)[:, 0]
    niche = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * mask
    maps = {
        name: raw for (name, target), raw in explain_all(network, lesions).items() if target is TargetClass.RESPONSE
    }
    maps |= {
        "class-free": class_free(network, lesions),
        "high-pass": high_pass_energy(lesions),
        "oracle": oracle(niche),
    }
    scores = score_methods(maps, niche, mask)
    assert set(scores) == {"gradcam", "gradcampp", "pixelwise", "class-free", "high-pass", "oracle"}
    assert all(torch.isfinite(method.auc).all() for method in scores.values())
    torch.testing.assert_close(maps["class-free"], (network.encode(lesions) * mask[:, None]).sum(1))


def test_bad_shapes_and_ranges_are_named():
    mask, niche = lesion_with_niche()
    with pytest.raises(ValueError, match="one shape"):
        localisation_scores(niche[:, :8], niche, mask)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        localisation_scores(niche, niche * 2, mask)


def test_high_pass_is_scipys_over_the_lesions_pixels_of_each_cell():
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(64, 64, generator=generator, dtype=torch.float64)
    mask = (torch.rand(64, 64, generator=generator) < 0.3).double()
    mask[:8] = 0
    detail = (image.numpy() - gaussian_filter(image.numpy(), 1.5, mode="mirror")) ** 2
    blocks = (16, 4, 16, 4)
    area = mask.numpy().reshape(blocks).sum(axis=(1, 3))
    total = (detail * mask.numpy()).reshape(blocks).sum(axis=(1, 3))
    expected = np.divide(total, area, out=np.zeros((16, 16)), where=area > 0)
    np.testing.assert_allclose(high_pass_energy(torch.stack([image, mask])[None])[0], expected, atol=1e-12)


def ringed_lesion() -> torch.Tensor:
    """A square lesion whose signal depends on the depth below its outline only, as rim and necrosis do."""
    x = torch.zeros(1, 2, 64, 64)
    x[0, 1, 12:52, 12:52] = 1
    rows = torch.arange(64.0)
    depth = 20 - torch.maximum((rows[:, None] - 31.5).abs(), (rows[None] - 31.5).abs())
    x[0, 0] = torch.sin(depth)
    return x


def test_the_residual_of_a_lesion_made_of_shells_is_zero():
    assert residual_energy(ringed_lesion()).max() < 1e-10


def test_the_residual_shows_texture_where_it_was_planted_and_nothing_outside_the_lesion():
    x = ringed_lesion()
    x[0, 0, 36:44, 40:48] += 0.5 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    x[0, 0, :8] = 5
    energy = residual_energy(x)
    niche = torch.zeros(1, 16, 16)
    niche[0, 9:11, 10:12] = 1
    mask = torch.nn.functional.max_pool2d(x[:, 1:], 4)
    assert localisation_scores(energy, niche, mask).auc > 0.95
    assert not energy[mask[:, 0] == 0].any()


def test_a_volume_is_scored_as_its_cells_in_a_row_and_a_whole_brain_takes_no_pairs():
    generator = torch.Generator().manual_seed(0)
    maps, niche = torch.rand(2, 80, 80, 60, generator=generator), torch.zeros(2, 80, 80, 60)
    niche[:, 20:40, 30:50, 10:30] = 1
    mask = torch.ones_like(niche)
    mask[:, :5] = 0
    maps = (maps * 50).round() + 5 * niche
    of_volume = localisation_scores(maps, niche, mask[:, None])
    in_a_row = localisation_scores(maps.flatten(1), niche.flatten(1), mask.flatten(1))
    inside = mask[0] > 0
    assert float(of_volume.auc[0]) == pytest.approx(roc_auc_score(niche[0][inside], maps[0][inside]))
    for name in ("auc", "pointing", "dice", "chance"):
        assert torch.equal(getattr(of_volume, name), getattr(in_a_row, name))
