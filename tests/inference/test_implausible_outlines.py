"""Outlines in the air and around the whole head: the first are not predicted, the second are warned of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from treatment_response.geometry import Volume
from treatment_response.inference.lesions.explainer import Explainer
from treatment_response.inference.lesions.head import Head
from treatment_response.problems import DataProblem

CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "inference.json"


def cube(shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[2:9, 2:9, 2:4] = True
    return mask


def explain(tiny, run_folder, mask, image=None):
    explainer = Explainer(model_path=run_folder / "models" / "model.pt")
    volume = Volume(tiny.head(3) if image is None else image, tiny.affine)
    return explainer.explain(volume, mask, key="mr", name="GTV 7", contrast_named=True)


def test_an_outline_in_the_air_is_not_predicted(tiny, run_folder):
    with pytest.raises(DataProblem, match=r"GTV 7.*100 % of the outline lies outside the head"):
        explain(tiny, run_folder, cube(tiny.shape))


def test_an_outline_across_the_heads_surface_is_judged_by_its_greater_part(tiny, run_folder):
    inside = tiny.ball((30, 30, 7), 9.0)
    air = cube(tiny.shape)
    assert not any("outside" in one for one in explain(tiny, run_folder, inside | air).warnings)
    more_air = air | np.roll(air, (55, 50), (0, 1)) | np.roll(air, 50, 1) | np.roll(air, 55, 0) | np.roll(air, 9, 2)
    with pytest.raises(DataProblem, match="outside the head"):
        explain(tiny, run_folder, tiny.ball((30, 30, 7), 5.0) | more_air)


def test_a_dark_necrosis_and_an_enhancing_lesion_are_inside_the_head(tiny, run_folder):
    for centre, value in (((30, 30, 7), -40), ((30, 30, 7), 2500), ((34, 32, 2), 0)):
        image, mask = tiny.head(3), tiny.ball(centre, 8.0)
        image[mask] = value
        assert not any("outside" in one for one in explain(tiny, run_folder, mask, image).warnings)


def test_an_outline_around_the_whole_head_is_warned_of(tiny, run_folder):
    head = tiny.head(3) > 200
    (warning,) = (one for one in explain(tiny, run_folder, head).warnings if "more than a lesion" in one)
    assert f"{head.sum() * abs(np.linalg.det(tiny.affine)) / 1000:.0f} cm³" in warning
    assert not any(
        "more than a lesion" in one for one in explain(tiny, run_folder, tiny.ball((30, 30, 7), 12)).warnings
    )


def test_the_bundle_warns_of_air_and_goes_on(tiny, run_folder, tmp_path):
    image = tiny.write_nifti(tmp_path / "mr_ce-gadolinium.nii.gz", tiny.head(3))
    mask = tiny.write_nifti(tmp_path / "mask.nii.gz", cube(tiny.shape).astype(np.uint8))
    workflow = ConfigWorkflow(
        config_file=str(CONFIG),
        workflow_type="infer",
        logging_file=False,
        output_dir=str(tmp_path / "cams"),
        model_path=str(run_folder / "models" / "model.pt"),
        image=str(image),
        mask=str(mask),
        device="$torch.device('cpu')",
        plain_problems=None,
    )
    workflow.initialize()
    workflow.run()
    (lesion,) = json.loads((tmp_path / "cams" / "lesions.json").read_text())["lesions"]
    assert any("outside the head, in the air" in one for one in lesion["warnings"])


def test_the_head_has_its_place_and_volume_at_any_stride():
    scaled = np.zeros((200, 180, 40), np.float32)
    scaled[40:160, 30:150, 5:35] = 0.45
    scaled[80:120, 70:110, 12:28] = 0.02  # ventricles
    head = Head.of(scaled + np.random.default_rng(0).normal(0.03, 0.03, scaled.shape).astype(np.float32))
    truth = np.zeros(scaled.shape, bool)
    truth[40:160, 30:150, 5:35] = True
    assert head.share_filled(np.argwhere(truth)) == pytest.approx(1, rel=0.2)  # the surface is found generously
    assert head.share_outside(np.argwhere(truth)) < 0.02
    assert head.share_outside(np.argwhere(~truth)) > 0.88
    assert head.share_outside(np.argwhere(scaled == 0.02)) == 0
