"""Deletion and insertion: a map that knows the network's weights wins, its reverse loses, an empty one gets chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from treatment_response.explain.cam import PixelwiseCAM
from treatment_response.explain.cells import cell_sums, pixels_of
from treatment_response.explain.faithfulness import (
    CellRemoval,
    removal_scores,
    single_cell_effects,
    single_code_effects,
)
from treatment_response.explain.region import MaskChannel, flattened
from treatment_response.explain.target import TargetClass


class BrightCells(torch.nn.Module):
    """The logit is the energy of structure in two cells for response, minus that in two others."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return cell_sums((x[:, 0] - 0.5) ** 2, 16)[:, None]

    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(x[:, 1:], 4)

    def classify(self, code: torch.Tensor) -> torch.Tensor:
        return (code[:, 0, 7, 7:9].sum(dim=1) - code[:, 0, 9, 7:9].sum(dim=1))[:, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(x) * self.cell_mask(x))


def test_the_cells_that_the_network_uses_win_and_their_reverse_loses(lesions):
    used = torch.zeros(16, 16)
    used[7, 7:9] = 1
    used[9, 7:9] = -1
    scores = removal_scores(BrightCells(), lesions[0], {"used": used, "reversed": -used})
    # All that speaks for response goes first, all that speaks against it last.
    assert scores["used"].deletion > 1
    assert scores["used"].insertion > 1
    assert scores["reversed"].deletion == pytest.approx(scores["used"].reversed().deletion, abs=0.05)
    assert scores["reversed"].deletion < -1
    other = scores["used"].of(TargetClass.NON_RESPONSE)
    assert other.deletion == -scores["used"].deletion


def test_an_empty_map_gets_exactly_chance_and_random_ones_get_it_on_average(network, lesions):
    generator = torch.Generator().manual_seed(0)
    maps = {"empty": torch.zeros(16, 16)} | {str(n): torch.rand(16, 16, generator=generator) for n in range(60)}
    scores = removal_scores(network, lesions[1], maps)
    empty = scores.pop("empty")
    assert (empty.deletion, empty.insertion) == pytest.approx((0, 0), abs=1e-9)
    for name in ("deletion", "insertion"):
        values = np.array([getattr(one, name) for one in scores.values()])
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values)) + 0.15  # the 16 random orders vary too
        assert values.std() > 0.05


def test_scores_do_not_depend_on_the_logits_scale_and_offset(network, lesions):
    class Rescaled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 10 * network(x) + 3

    one_map = torch.rand(16, 16, generator=torch.Generator().manual_seed(1))
    network.eval()
    first = removal_scores(network, lesions[0], {"map": one_map})["map"]
    second = removal_scores(Rescaled(), lesions[0], {"map": one_map})["map"]
    assert second.deletion == pytest.approx(first.deletion, rel=1e-6)
    assert second.insertion == pytest.approx(first.insertion, rel=1e-6)


def test_a_network_that_sees_nothing_gives_every_map_chance(lesions):
    class Blind(BrightCells):
        def classify(self, code: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(code), 1)

    scores = removal_scores(Blind(), lesions[0].float(), {"map": torch.rand(16, 16)})["map"]
    assert (scores.deletion, scores.insertion) == (0, 0)


def test_removing_single_cells_is_captums_feature_ablation(network, lesions):
    x = lesions[1]
    network.eval()
    number = pixels_of(torch.arange(256).view(1, 16, 16), 64)[:, None]

    def logit(image):
        return network(torch.cat([image, x[None, 1:].expand_as(image)], dim=1))[:, 0]

    ablated = FeatureAblation(logit).attribute(
        x[None, :1], baselines=flattened(x[None], MaskChannel(1)), feature_mask=number, perturbations_per_eval=64
    )
    effects = single_cell_effects(network, x)
    torch.testing.assert_close(pixels_of(effects[None], 64), ablated[:, 0].detach(), atol=1e-9, rtol=0)
    assert not effects[network.cell_mask(x[None])[0, 0] == 0].any()


def test_the_code_of_a_linear_head_acts_as_the_pixelwise_map_says(lesions):
    network = BrightCells()
    effects = single_code_effects(network, lesions[0])
    cams = [PixelwiseCAM()(network, lesions[0], target) for target in TargetClass]
    torch.testing.assert_close(effects, cams[1] - cams[0])


def test_the_code_effects_are_those_of_an_image_whose_code_lacks_the_cell(network, lesions):
    network.eval()
    x = lesions[3:4]
    effects = single_code_effects(network, x[0])
    code = network.encode(x) * network.cell_mask(x)
    cell = tuple(torch.nonzero(network.cell_mask(x)[0, 0])[1].tolist())
    without = code.clone()
    without[:, :, cell[0], cell[1]] = 0
    expected = network.classify(code) - network.classify(without)
    torch.testing.assert_close(effects[cell], expected[0, 0].detach())


def test_curves_start_with_the_lesion_and_end_without_any_structure(network, lesions):
    network.eval()
    lesion = CellRemoval(network, lesions[3])
    count = int(lesion.inside.sum())
    share, z = lesion.curves(np.stack([np.arange(count), np.arange(count)[::-1]]))
    flat = torch.cat([flattened(lesions[3:4], MaskChannel(1)), lesions[3:4, 1:]], dim=1)
    with torch.no_grad():
        ends = [float(network(lesions[3:4])), float(network(flat))]
    assert (share[0], share[-1]) == (0, 1)
    assert z[:, 0] == pytest.approx([ends[0]] * 2)
    assert z[:, -1] == pytest.approx([ends[1]] * 2)
