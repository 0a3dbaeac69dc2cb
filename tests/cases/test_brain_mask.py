"""The brain of a T1: found where it was planted, on an oblique and anisotropic grid, bent, beside skull and scalp."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from planted_head import SPACING, bump_mm, grid, planted_head, pose
from scipy import ndimage
from treatment_response.cases import brain_mask as module
from treatment_response.cases import brain_mask_cache as cache_module
from treatment_response.cases import hd_bet
from treatment_response.cases.brain_mask import TEMPLATE, BrainMask, brain_mask
from treatment_response.cases.brain_mask_cache import brain_mask_cached
from treatment_response.cases.registration import resample
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.template import template
from treatment_response.geometry.ventricles import template_ventricles
from treatment_response.problems import DataProblem


@pytest.fixture(scope="module")
def head() -> SimpleNamespace:
    image, truth = planted_head()
    return SimpleNamespace(image=image, truth=truth, found=brain_mask(image))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def distance_mm(mask: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Mean distance of a mask's surface from the true one, there."""
    edges = [one ^ ndimage.binary_erosion(one) for one in (mask, truth)]
    return float(ndimage.distance_transform_edt(~edges[1], sampling=SPACING)[edges[0] & where].mean())


def test_the_brain_lies_where_it_was_planted(head) -> None:
    found: BrainMask = head.found
    assert (found.method, found.doubts) == (TEMPLATE, ())
    np.testing.assert_array_equal(found.mask.affine, head.image.affine)
    mask, truth = found.mask.array > 0, head.truth.array > 0
    everywhere = np.ones(mask.shape, bool)
    assert dice(mask, truth) > 0.975
    assert distance_mm(mask, truth, everywhere) < 0.8
    volumes = [float(one.sum()) for one in (mask, truth)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)
    corners = np.array([(-60.0, 0, 0), (60, 0, 0), (0, -90, 0), (0, 60, 0), (0, 0, 70)])
    back = moved_points(found.fit.to_template, moved_points(pose(), corners))
    assert np.linalg.norm(back - corners, axis=1).max() < 4  # the brain is bent, so that no affine fits all of it


def test_the_surface_follows_what_no_affine_map_can(head) -> None:
    """Where the brain is pushed outwards by up to 5 mm."""
    index = np.indices(grid().array.shape).reshape(3, -1).T
    points = moved_points(np.linalg.inv(pose()), head.image.to_world(index))
    pushed = (np.linalg.norm(bump_mm(points), axis=1) > 2.5).reshape(head.image.array.shape)
    truth = head.truth.array > 0
    affine = resample(template("brain"), head.image, head.found.fit.to_template, "mask").array > 0
    before, after = (distance_mm(one, truth, pushed) for one in (affine, head.found.mask.array > 0))
    assert after < 0.75 * before


def test_the_template_is_its_own_brain() -> None:
    like = Volume(template("t1").array[::3, ::3, ::3], template("t1").affine @ np.diag([3.0, 3, 3, 1]))
    mask = module._template_mask(like, module.TemplateFit(np.eye(4), 1.0))
    assert dice(mask.array > 0, template("brain").array[::3, ::3, ::3] > 0) > 0.985


def test_the_ventricles_of_the_template() -> None:
    ventricles = template_ventricles()
    points = ventricles.to_world(np.argwhere(ventricles.array))
    assert 12 < len(points) / 1000 < 25  # ml
    assert np.abs(points[:, 0].mean()) < 1
    assert points[:, 0].min() < -25
    assert points[:, 0].max() > 25


def test_a_mask_is_kept_and_made_again_only_if_it_is_damaged(head, tmp_path, monkeypatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(cache_module, "brain_mask", lambda image: calls.append(1) or head.found)
    for _ in range(2):
        kept = brain_mask_cached(tmp_path, head.image)
        np.testing.assert_array_equal(kept.mask.array, head.found.mask.array)
        np.testing.assert_array_equal(kept.fit.to_template, head.found.fit.to_template)
        assert (kept.method, kept.doubts) == (head.found.method, ())
    assert len(calls) == 1
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    brain_mask_cached(tmp_path, head.image)
    assert len(calls) == 2
    brain_mask_cached(tmp_path, Volume(head.image.array, head.image.affine @ _shift(1)))
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((20, 20, 20)), "image: is constant"),
        (np.full((20, 20, 20), np.nan), "image: holds values that are not finite"),
        (np.random.default_rng(0).random((20, 20, 5)), "image: has 5 slices along one axis, expected at least 8"),
    ],
    ids=["constant", "nan", "thin"],
)
def test_refused_images(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(DataProblem, match=sentence):
        brain_mask(Volume(array, np.diag([8.0, 8, 8, 1])))


def test_noise_and_a_slab_are_doubtful(head) -> None:
    to_image = np.linalg.inv(head.found.fit.to_template)
    noise = np.random.default_rng(0).normal(500, 50, head.image.array.shape).astype(np.float32)
    doubts = module._judged(Volume(noise, head.image.affine), to_image).doubts
    assert ["mutual information" in doubt for doubt in doubts] == [True]
    slab = Volume(head.image.array[:, :, 18:30], head.image.affine @ _shift(18))
    doubts = module._judged(slab, to_image).doubts
    assert ["of the brain, expected at least 85%" in doubt for doubt in doubts] == [True]
    doubts = module._judged(head.image, to_image @ np.diag([1.7, 1, 1, 1])).doubts
    assert "the template is scaled by" in doubts[0]


def _shift(slices: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = slices
    return matrix


def test_the_network_gets_its_axes_and_its_answer_comes_back(head, monkeypatch) -> None:
    """What stands between an image and the optional package; a process of ours takes the package's place."""
    program = (
        "import sys, numpy as np\n"
        "c = np.load(sys.argv[1]); a = c['array']\n"
        "mask = np.zeros(a.shape, np.uint8); mask[:3, :4, -5:] = 1\n"
        "np.save(sys.argv[2], mask); assert c['spacing'].shape == (3,)"
    )
    run = hd_bet.subprocess.run
    monkeypatch.setattr(
        hd_bet.subprocess, "run", lambda command, **more: run([command[0], "-c", program, *command[3:]], **more)
    )
    sagittal = Volume(head.image.array.transpose(1, 2, 0), head.image.affine[:, [1, 2, 0, 3]])
    mask = hd_bet.hd_bet_mask(sagittal)
    np.testing.assert_array_equal(mask.affine, sagittal.affine)
    assert mask.array.shape == sagittal.array.shape
    middle = mask.to_world(np.argwhere(mask.array)).mean(axis=0) - mask.to_world((np.array([mask.array.shape]) - 1) / 2)
    assert np.sign(middle[0]).tolist() == [1, 1, 1]  # the first voxels of left, posterior, superior: right, front, top


def test_a_failed_network_is_one_sentence(head, monkeypatch) -> None:
    monkeypatch.setattr(hd_bet, "__name__", "no_such_module")
    with pytest.raises(DataProblem, match="brain mask: HD-BET failed; uninstall it to use the template"):
        hd_bet.hd_bet_mask(head.image)
