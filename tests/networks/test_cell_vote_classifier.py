"""The stronger network: what its logit is made of, what it does not depend on, and where its map points."""

import pytest
import torch
from treatment_response.explain import explain_all
from treatment_response.explain.cam import same_pattern
from treatment_response.explain.gradients import head_attribution
from treatment_response.explain.localisation import localisation_scores
from treatment_response.explain.target import TargetClass
from treatment_response.networks import CellVoteClassifier
from treatment_response.networks.lesion_maps import gaussian_matrix, local_mean, mean_residual, shell_residual


def disc(radius: float, middle: float = 31.5) -> torch.Tensor:
    axis = torch.arange(64, dtype=torch.float64) - middle
    return (axis[:, None] ** 2 + axis[None] ** 2 < radius**2).double()


def lesions(count: int = 6, seed: int = 0) -> torch.Tensor:
    """Noise in discs of several sizes, float64 ``(N, 2, 64, 64)``."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.5 + 0.05 * torch.randn(count, 64, 64, dtype=torch.float64, generator=generator)
    mask = torch.stack([disc(6.0 + 3 * n) for n in range(count)])
    return torch.stack([image.clamp(0, 1), mask], dim=1)


def network(seed: int = 0, **settings) -> CellVoteClassifier:
    """Random weights, and the statistics of some lesions."""
    torch.manual_seed(seed)
    made = CellVoteClassifier(**settings).double()
    with torch.no_grad():
        made.bias.fill_(0.3)
        made(lesions(seed=9))  # in training mode: takes the statistics
    return made.eval()


@pytest.mark.parametrize("shared", [True, False])
def test_the_cells_contributions_add_up_to_the_logit(shared):
    made, x = network(shared=shared), lesions()
    found = head_attribution(made, x, TargetClass.RESPONSE)
    votes = (found.activations * found.gradient).sum(1) * found.mask[:, 0]
    torch.testing.assert_close(votes.sum((1, 2)), found.logits[:, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.logits, made(x))
    maps = explain_all(made, x)
    signed = maps["pixelwise", TargetClass.RESPONSE] - maps["pixelwise", TargetClass.NON_RESPONSE]
    torch.testing.assert_close(signed, votes)
    assert (found.activations >= 0).all()


@pytest.mark.parametrize("shells", [True, False])
def test_nothing_outside_the_contour_counts(shells):
    made, x = network(shells=shells), lesions()
    other = x.clone()
    other[:, 0][x[:, 1] == 0] = 0.9
    torch.testing.assert_close(made(other), made(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared", [True, False], ids=["one rule", "each cell its own"])
def test_grad_cam_draws_the_pixelwise_pattern_where_all_cells_vote_by_one_rule(shared):
    maps = explain_all(network(shared=shared), lesions())
    pixelwise = maps["pixelwise", TargetClass.RESPONSE]
    assert same_pattern(pixelwise, 3 * pixelwise)
    assert not same_pattern(pixelwise, torch.zeros_like(pixelwise))
    assert same_pattern(pixelwise, maps["gradcam", TargetClass.RESPONSE]) == shared


@pytest.mark.parametrize("turn", [(2,), (3,), (2, 3)], ids=["flip R-L", "flip A-P", "half turn"])
def test_flips_and_quarter_turns_change_nothing(turn):
    made, x = network(), lesions()
    torch.testing.assert_close(made(x.flip(turn)), made(x))
    torch.testing.assert_close(made(torch.rot90(x, 1, (2, 3))), made(x))
    assert not torch.allclose(network(shared=False)(x.flip(turn)), network(shared=False)(x))


def test_a_constant_changes_the_image_map_only_and_contrast_scales_the_maps():
    made, x = network(thresholds=(0.0,)), lesions()
    brighter, stronger = x.clone(), x.clone()
    brighter[:, 0] += 0.2
    stronger[:, 0] *= 3
    torch.testing.assert_close(made.encode(brighter)[:, :-2], made.encode(x)[:, :-2])
    torch.testing.assert_close(made.encode(stronger)[:, :-1], 3 * made.encode(x)[:, :-1], rtol=1e-4, atol=1e-6)


def test_the_shell_residual_of_shells_is_zero():
    """Squares eroded by squares are squares: an image made of nested squares leaves nothing."""
    axis = (torch.arange(64, dtype=torch.float64) - 31.5).abs()
    nested = torch.maximum(axis[:, None], axis[None])
    image, mask = (nested / 40)[None, None], (nested < 12).double()[None, None]
    assert shell_residual(image, mask).abs().max() < 1e-12
    assert mean_residual(image, mask).abs().max() > 0.1
    noise = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    residual = shell_residual(noise, mask)
    assert residual.sum().abs() < 1e-9
    assert not residual[mask == 0].any()


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_gaussian_matrices_differentiate(sigma):
    axis = (torch.arange(64) - 31.5) * 0.1
    inner = slice(16, 48)
    ramp, bowl = axis[:, None], (axis[:, None] ** 2) / 2
    torch.testing.assert_close((gaussian_matrix(64, sigma, 0) @ ramp)[inner], ramp[inner], rtol=0, atol=1e-4)
    first = gaussian_matrix(64, sigma, 1) @ ramp
    torch.testing.assert_close(first[inner], torch.full((32, 1), 0.1 * sigma), rtol=0.01, atol=0)
    second = gaussian_matrix(64, sigma, 2) @ bowl
    torch.testing.assert_close(second[inner], torch.full((32, 1), 0.01 * sigma**2), rtol=0.02, atol=0)
    constant = gaussian_matrix(64, sigma, 2) @ torch.ones(64, 1)
    assert constant[inner].abs().max() < 1e-5


def test_the_local_mean_of_a_constant_is_the_constant():
    mask = disc(9)[None, None]
    window = gaussian_matrix(64, 2.0, 0).double()
    torch.testing.assert_close(local_mean(0.7 * mask, mask, window), 0.7 * mask)


@pytest.mark.parametrize("signal", ["texture", "dark"])
def test_training_finds_a_planted_part_and_its_map_points_there(signal):
    """The larger the part of a lesion with fine texture (or darkness), the less it responds; the map finds it."""
    generator = torch.Generator().manual_seed(3)
    n = 32
    share = torch.linspace(0.05, 0.9, n)[torch.randperm(n, generator=generator)]
    axis = (torch.arange(64) - 31.5).abs()
    distance = torch.maximum(axis[:, None], axis[None])  # a square, whose shells are exact
    mask = (distance < 14).float().expand(n, 64, 64)
    column = (torch.arange(64) - 18) / 28  # 0 to 1 across the lesion
    part = (column[None] < share[:, None])[:, None, :].expand(n, 64, 64) & (mask > 0)
    image = 0.5 + 0.01 * torch.randn(n, 64, 64, generator=generator)
    wave = torch.sin(torch.arange(64) * 0.9)[:, None].expand(64, 64)
    image = image + part * (0.08 * wave if signal == "texture" else -0.15)
    image[:, distance > 11] += 0.2  # a rim, which must not matter
    label = (share < 0.5).float()[:, None]
    x = torch.stack([image.clamp(0, 1), mask], dim=1)
    made = CellVoteClassifier()
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.04, weight_decay=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(made(x[:22]), label[:22]).backward()
        optimiser.step()
    made.eval()
    with torch.no_grad():
        logit = made(x[22:])[:, 0]
    truth = label[22:, 0] > 0
    assert logit[truth].min() > logit[~truth].max()
    against = explain_all(made, x[22:])["pixelwise", TargetClass.NON_RESPONSE]
    cells = torch.nn.functional.avg_pool2d(part[22:, None].float(), 4)[:, 0]
    inside = (torch.nn.functional.avg_pool2d(mask[22:, None], 4)[:, 0] > 0.9).float()
    clear = (share[22:] > 0.2) & (share[22:] < 0.8)
    scores = localisation_scores(against[clear], cells[clear] * inside[clear], inside[clear])
    assert scores.auc.mean() > 0.75  # chance is 0.5
    assert scores.auc.min() > 0.5


def test_odd_lesions_give_finite_numbers_and_gradients():
    x = lesions(4).float()
    x[0, 0] = 0.4  # constant
    x[1, 1] = 0
    x[1, 1, 30, 30] = 1  # one pixel
    x[2, 1] = 0  # no lesion at all
    x.requires_grad_()
    made = CellVoteClassifier()
    for mode in (True, False):
        made.train(mode)
        logits = made(x)
        assert torch.isfinite(logits).all()
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        assert torch.isfinite(gradient).all()
    assert float(logits[2]) == 0  # nothing votes


def test_statistics_are_those_of_the_training_batches_and_one_sample_does_not_change_them():
    made = CellVoteClassifier().double()
    first, second = lesions(seed=1), lesions(seed=2)
    for x in (first, second):
        made(x)
    pooled = [
        (made.encode(x)[:, :-1].sum((2, 3)) / made.encode(x)[:, -1:].sum((2, 3))).mean(0) for x in (first, second)
    ]
    torch.testing.assert_close(made.mean, (pooled[0] + pooled[1]) / 2)
    before = made.mean.clone()
    made(first[:1])
    assert torch.equal(made.mean, before)


def test_a_script_answers_as_the_network():
    made, x = network().float(), lesions().float()
    script = torch.jit.script(made)
    torch.testing.assert_close(script(x), made(x))
    torch.testing.assert_close(script.encode(x), made.encode(x))
    for settings in ({"scales": ()}, {"thresholds": ()}, {"shells": False}):
        torch.jit.script(CellVoteClassifier(**settings))(x)


def test_a_side_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        CellVoteClassifier(in_size=62)
