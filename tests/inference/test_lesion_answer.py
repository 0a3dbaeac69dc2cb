"""What a lesion's fold models make of it: the shown probability, the set, and whether the number may be emphasised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from treatment_response.certainty import Calibration, Certainty, ClassScores, ConformalSets
from treatment_response.explain.target import TargetClass
from treatment_response.inference.lesions.answer import LesionAnswer, answer_of
from treatment_response.inference.lesions.inferer import CamInferer, SliceMaps
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.inference.lesions.warnings import lesion_warnings
from treatment_response.networks import CellVoteClassifier, MaskedAutoencoderClassifier

CURVE = Calibration(-0.2, 0.5, -4.0, 4.0)


def certainty(patients: int = 30) -> Certainty:
    """Two fold models whose held-out lesions have the logits 0.1, 0.2, … of response, the negative of non-response."""

    def scores(fold: int) -> ClassScores:
        mine = range(fold, patients, 2)
        return ClassScores(tuple(-0.1 * (number + 1) for number in mine), tuple(mine))

    return Certainty(
        CURVE, ConformalSets(0.9, tuple({"non-response": scores(f), "response": scores(f)} for f in (0, 1)))
    )


def answer(
    slices: list[float],
    folds: list[float],
    areas: tuple[int, ...] = (4, 8, 2),
    given: Certainty | None = None,
    score: LesionScore = LesionScore.LARGEST,
) -> tuple[LesionAnswer, dict[str, Any], SliceMaps]:
    """Of a lesion of three slices: the single network's logits, and each fold model's of all slices."""
    masks = torch.zeros(3, 16, 16)
    for mask, area in zip(masks, areas, strict=True):
        mask.view(-1)[:area] = 1
    case = {"largest": 1, "slice": [4, 5, 6], "image": torch.stack([masks, masks], dim=1), "pixel": [0.5] * 3}
    fold_logits = torch.tensor(folds)[:, None].expand(len(folds), 3)
    maps = SliceMaps(torch.tensor(slices), fold_logits, masks, {}, {})
    return answer_of(case, maps, score, given, 0.5), case, maps


def test_the_shown_probability_is_the_mean_of_the_fold_models_and_the_maps_network_stands_beside_it():
    found, _, _ = answer([1.0, 2.0, 3.0], [0.5, 3.5], given=certainty())
    assert found.p_single == pytest.approx(expit(2.0))
    assert found.p_folds == pytest.approx([expit(-0.2 + 0.25), expit(-0.2 + 1.75)])
    assert found.p_response == pytest.approx(sum(found.p_folds) / 2)
    assert found.target is TargetClass.RESPONSE
    everywhere, _, _ = answer([1.0, 2.0, 3.0], [0.5, 3.5], score=LesionScore.ALL)
    assert everywhere.p_single == everywhere.p_response == pytest.approx(expit((4 * 1 + 8 * 2 + 2 * 3) / 14))


@pytest.mark.parametrize(
    ("folds", "text", "members"),
    [
        ([2.5, 2.5], "response", ["response"]),
        ([-2.5, -2.5], "non-response", ["non-response"]),
        ([-0.05, 0.05], "unlike the calibration lesions", []),
    ],
)
def test_the_set_in_words(folds, text, members):
    found, _, _ = answer([folds[0]] * 3, folds, given=certainty())
    assert (found.certainty["set"], found.certainty["set_text"], found.certainty["level"]) == (members, text, 0.9)
    assert found.certainty["p_values"]["response"] == pytest.approx(
        (sum(round(0.1 * (n + 1), 9) <= folds[n % 2] for n in range(30)) + 1) / 31, abs=1e-6
    )


def test_a_number_is_emphasised_only_if_nothing_speaks_against_it():
    def why_not(*args: Any, **given: Any) -> str:
        told = answer(*args, **given)[0].certainty
        assert told["emphasise"] == (not told["why_not"])
        assert told["calibrated"] == (given["given"] is not None)
        return str(told["why_not"])

    assert why_not([1.0, 1.0, 1.0], [1.0, 2.0], given=certainty()) == ""
    assert "not calibrated" in why_not([1.0, 1.0, 1.0], [], given=None)
    assert "outside the range" in why_not([1.0, 1.0, 1.0], [1.0, 4.1], given=certainty())
    assert "another class" in why_not([-1.0, -1.0, -1.0], [1.0, 2.0], given=certainty())
    # The single network agrees on the largest slice, and not on the other two.
    assert why_not([-1.0, 1.0, -1.0], [1.0, 2.0], areas=(4, 8, 4), given=certainty()) == ""
    assert "another class" in why_not([-1.0, 1.0, -1.0], [1.0, 2.0], areas=(4, 8, 5), given=certainty())
    # It agrees on most of the area, and not on the largest slice, whose logit is the lesion's.
    assert "another class" in why_not([1.0, -1.0, 1.0], [1.0, 2.0], areas=(4, 8, 5), given=certainty())
    few = certainty(patients=8)
    assert "Too few calibration patients" in why_not([1.0, 1.0, 1.0], [1.0, 2.0], given=few)
    assert answer([1.0] * 3, [1.0, 2.0], given=few)[0].certainty["set_text"] == "undecided"


def test_a_reader_is_warned_of_what_keeps_a_number_from_being_emphasised():
    found, case, maps = answer([-1.0, -1.0, -1.0], [1.0, 4.1], given=certainty())
    case |= {
        "mr_shape": (3, 3, 3),
        "voxels": np.array([[1, 1, 1]]),
        "mr_affine": torch.eye(4).numpy(),
        "coarse": [False],
    }
    case |= {"session": "ses-01", "contrast_named": True, "dataset": None}
    case["head"] = type("Head", (), {"share_filled": lambda self, voxels: 0.0})()
    assert found.certainty["why_not"] in lesion_warnings(case, maps, found, LesionScore.LARGEST, {}, 0.5, 0.5)


@pytest.mark.parametrize("kind", [MaskedAutoencoderClassifier, CellVoteClassifier])
def test_fold_models_say_what_each_would_say_alone(kind):
    torch.manual_seed(0)
    x = torch.rand(5, 2, 64, 64)
    x[:, 1] = 0
    x[:, 1, 20:44, 24:40] = 1
    network, *folds = (kind().eval() for _ in range(4))
    scales = {name: {"non-response": 1.0, "response": 1.0} for name in ("gradcam", "gradcampp", "pixelwise")}
    found = CamInferer(scales, batch_size=2, fold_networks=folds)(x, network).fold_logits
    with torch.no_grad():
        expected = torch.stack([fold(x)[:, 0] for fold in folds])
    torch.testing.assert_close(found, expected)
    assert (found[0] != found[1]).any()
    of_two = CamInferer(scales, batch_size=2, fold_networks=folds)(x, network, scored=[3, 1]).fold_logits
    torch.testing.assert_close(of_two[:, [1, 3]], expected[:, [1, 3]])
    assert of_two[:, [0, 2, 4]].isnan().all()
    assert CamInferer(scales)(x, network).fold_logits.shape == (0, 5)
