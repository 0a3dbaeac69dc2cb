"""Rigid registration: what it refuses and doubts, what it moves where, and its cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ingest_bench import BACK, FRONT, head, turned
from treatment_response.cases import registration_cache
from treatment_response.cases.registration import Level, RegistrationSettings, register, resample
from treatment_response.cases.registration_cache import register_cached
from treatment_response.geometry import Volume, moved_points
from treatment_response.problems import DataProblem

QUICK = RegistrationSettings(levels=(Level(8.0, 5_000, 4.0, 0.05), Level(4.0, 10_000, 0.5, 0.01)))
TRUTH = turned(9.0, (12.0, -9.0, 11.0))
POINTS = np.array([FRONT[0], BACK[0], (0, 0, 40), (40, 0, -30)])


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    """A head, and the same head elsewhere on an oblique grid of other axes."""
    lesions = {"a": FRONT, "b": BACK}
    moving = head(lesions, 3, TRUTH)
    swap = np.array([[0, -1, 0, moving.array.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    flipped = np.ascontiguousarray(moving.array[::-1].transpose(2, 0, 1))
    return head(lesions, 3, np.eye(4)), Volume(flipped, moving.affine @ swap)


def test_the_matrix_leads_from_the_fixed_to_the_moving_image_and_is_the_same_twice(pair) -> None:
    found = register(*pair)
    errors = moved_points(found.matrix, POINTS) - moved_points(TRUTH, POINTS)
    assert np.linalg.norm(errors, axis=1).max() < 0.15  # of voxels of 4 × 4 × 5.5 mm
    assert not found.is_doubtful, found.doubts
    rotation = found.matrix[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    quick = [register(*pair, settings=QUICK).matrix for _ in range(3)]
    np.testing.assert_array_equal(quick[1:], [quick[0]] * 2)


def test_masks_say_where_images_are_compared(pair) -> None:
    """The moving image has a bright plate beside the head that did not move with it."""
    fixed, moving = pair
    plate = np.zeros(moving.array.shape, bool)
    plate[:3] = True
    spoiled = Volume(np.where(plate, 2000, moving.array), moving.affine)
    masked = register(fixed, spoiled, moving_mask=Volume(~plate, moving.affine))
    errors = moved_points(masked.matrix, POINTS) - moved_points(TRUTH, POINTS)
    assert np.linalg.norm(errors, axis=1).max() < 0.5


def test_what_has_nothing_in_common_is_doubtful(pair) -> None:
    noise = np.random.default_rng(0).normal(size=(40, 40, 30)).astype(np.float32)
    found = register(pair[0], Volume(noise, np.diag([5.0, 5.0, 5.0, 1.0])), settings=QUICK)
    assert found.is_doubtful
    assert any("normalised mutual information is" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: np.zeros_like(a), "moving image: is constant"),
        (lambda a: np.where(a > 1000, np.nan, a.astype(float)), "moving image: holds values that are not finite"),
        (lambda a: a[:, :, :3], "moving image: has 3 slices along one axis, expected at least 4"),
    ],
    ids=["constant", "nan", "thin"],
)
def test_refused_images(pair, change, sentence: str) -> None:
    fixed = pair[0]
    with pytest.raises(DataProblem, match=sentence):
        register(fixed, Volume(change(fixed.array), fixed.affine), settings=QUICK)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (lambda f: Volume(np.zeros(f.array.shape), f.affine), "fixed mask: has no voxel above 0"),
        (lambda f: Volume(np.ones((4, 4, 4)), f.affine), "fixed mask: is on another grid"),
    ],
    ids=["empty", "grid"],
)
def test_refused_masks(pair, mask, sentence: str) -> None:
    with pytest.raises(DataProblem, match=sentence):
        register(*pair, fixed_mask=mask(pair[0]), settings=QUICK)


@pytest.mark.parametrize("content", ["image", "dose", "mask", "labels"])
def test_a_planted_box_lands_in_millimetres(content: str) -> None:
    """A box of the moving space lies where the fixed space's points are led into it: oblique, anisotropic grids."""
    moving = Volume(np.full((30, 26, 14), 5 if content == "image" else 0, np.int16), TRUTH @ np.diag([2.0, 2, 4, 1]))
    moving.array[8:20, 6:18, 4:10] = 7
    grid = turned(-7.0, (4.0, -3.0, 6.0)) @ np.diag([1.5, 1.5, 2.0, 1.0])
    like = Volume(np.zeros((30, 24, 20), np.uint8), grid)
    matrix = TRUTH @ turned(3.0, (2.0, 1.0, -3.0))
    moved = resample(moving, like, matrix, content)  # type: ignore[arg-type]
    np.testing.assert_array_equal(moved.affine, grid)
    voxels = np.indices(like.array.shape).reshape(3, -1).T
    index = moving.to_index(moved_points(matrix, like.to_world(voxels)))
    deep = np.all((index > [8.01, 6.01, 4.01]) & (index < [18.99, 16.99, 8.99]), axis=1)
    away = np.any((index < [6.99, 4.99, 2.99]) | (index > [20.01, 18.01, 10.01]), axis=1)
    values = moved.array.ravel()
    inside, outside = {"image": (7, 5), "dose": (7, 0), "mask": (1, 0), "labels": (7, 0)}[content]
    assert deep.sum() > 500
    assert away.sum() > 500
    np.testing.assert_allclose(values[deep], inside, atol=1e-5)
    np.testing.assert_allclose(values[away], outside, atol=1e-5)
    nearly = np.all((index > [7.6, 5.6, 3.6]) & (index < [19.4, 17.4, 9.4]), axis=1)
    if content == "labels":
        assert (values[nearly] == 7).all()
        assert moved.array.dtype == np.int16
    if content == "mask":  # half-way between the voxels of one face
        face = np.all((index > [7.55, 7, 5]) & (index < [18, 16, 8]), axis=1)
        assert (values[face] == 1).all()
        assert moved.array.dtype == np.uint8


def test_unknown_content() -> None:
    volume = Volume(np.zeros((4, 4, 4)), np.eye(4))
    with pytest.raises(ValueError, match="'dosis' is no content; choose one of image, dose, mask, labels"):
        resample(volume, volume, np.eye(4), "dosis")  # type: ignore[arg-type]


def test_the_cache_knows_its_content_and_mends_damage(pair, tmp_path: Path, monkeypatch) -> None:
    calls = []

    def counted(*arguments):
        calls.append(1)
        return register(*arguments)

    monkeypatch.setattr(registration_cache, "register", counted)
    fixed, moving = pair
    first = register_cached(tmp_path / "cache", fixed, moving, settings=QUICK)
    (file,) = (tmp_path / "cache").iterdir()
    sound = file.read_text()
    for damaged in (sound, sound[: len(sound) // 2], sound.replace(": 0.", ": 0.1", 1), "[]"):
        file.write_text(damaged)
        again = register_cached(tmp_path / "cache", fixed, moving, settings=QUICK)
        np.testing.assert_array_equal(again.matrix, first.matrix)
        assert again.doubts == first.doubts
        assert file.read_text() == sound
    assert len(calls) == 4  # the first time and after each of three damages
    touched = moving.array.copy()
    touched[0, 0, 0] += 1
    others = [
        (fixed, Volume(touched, moving.affine), QUICK),
        (fixed, Volume(moving.array, moving.affine + np.diag([1e-9, 0, 0, 0])), QUICK),
        (fixed, moving, RegistrationSettings(levels=QUICK.levels, seed=2)),
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: register_cached(tmp_path / "cache", one[0], one[1], settings=one[2]), others))
    assert len(list((tmp_path / "cache").iterdir())) == 4
