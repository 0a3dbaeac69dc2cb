"""The ICC against its published example, perturbations in millimetres, and what the filter leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_dataset import oblique_affine
from toy_features import write_small_dataset
from treatment_response.evaluation.classical import build, notes
from treatment_response.evaluation.classical.selection import RobustnessFilter
from treatment_response.features import extraction
from treatment_response.features.gradients import FEATURES
from treatment_response.features.robustness import (
    PERTURBATIONS,
    PerturbedScan,
    displaced,
    icc_2_1,
    icc_of_table,
    perturbed_features,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
"""Shrout and Fleiss, Psychol Bull 86 (1979) 420, table 2: six targets, four judges; table 4 gives ICC(2,1) = 0.29."""


def test_icc_of_the_published_example() -> None:
    assert round(float(icc_2_1(SHROUT_FLEISS[:, :, None])[0]), 2) == 0.29
    # From its mean squares (table 3): between targets 11.24, judges 32.49, residual 1.02.
    exact = (11.24 - 1.02) / (11.24 + 3 * 1.02 + 4 * (32.49 - 1.02) / 6)
    assert icc_2_1(SHROUT_FLEISS[:, :, None])[0] == pytest.approx(exact, abs=2e-3)


def test_extreme_values_of_the_icc() -> None:
    rng = np.random.default_rng(0)
    lesions = rng.normal(size=(400, 1))
    same = np.repeat(lesions, 4, axis=1)
    noise = rng.normal(size=(400, 4))
    shifted = same + 10.0 * np.arange(4)
    constant = np.full((400, 4), 7.0)
    found = icc_2_1(np.stack([same, noise, shifted, constant, same + rng.normal(size=(400, 4))], axis=2))
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(0.0, abs=0.06)
    assert found[2] < 0.01  # consistent but not in agreement: ICC(3,1) would be 1
    assert np.isnan(found[3])
    assert found[4] == pytest.approx(0.5, abs=0.06)  # as much noise as signal


@given(st.integers(0, 10**6), st.floats(0.1, 1e4), st.floats(-1e4, 1e4))
def test_the_icc_does_not_depend_on_the_unit(seed: int, factor: float, offset: float) -> None:
    values = np.random.default_rng(seed).normal(size=(8, 3, 1))
    assert icc_2_1(factor * values + offset)[0] == pytest.approx(icc_2_1(values)[0], abs=1e-6)
    assert icc_2_1(values)[0] <= 1.0


def test_a_lesion_with_a_gap_does_not_count() -> None:
    gap = np.concatenate([SHROUT_FLEISS, [[5.0, np.nan, 5.0, 5.0]]])
    assert icc_2_1(gap[:, :, None])[0] == pytest.approx(icc_2_1(SHROUT_FLEISS[:, :, None])[0])
    assert np.isnan(icc_2_1(np.full((5, 4, 1), np.nan))[0])


def test_a_moved_border_moves_by_its_millimetres() -> None:
    affine = oblique_affine((0.4, 0.5, 0.8))
    points = np.argwhere(np.ones((70, 60, 40), bool)) @ affine[:3, :3].T + affine[:3, 3]
    centre = affine[:3, :3] @ [35, 30, 20] + affine[:3, 3]
    distance = np.linalg.norm(points - centre, axis=1).reshape(70, 60, 40)
    sphere = distance < 8.0
    volumes, moved_mm = [], []
    for seed in range(12):
        moved = displaced(Volume(sphere, affine), 0.8, np.random.default_rng(seed))
        changed = moved.array.astype(bool) != sphere
        volumes.append(moved.array.sum() / sphere.sum())
        moved_mm.append(changed.sum() * moved.voxel_volume / (4 * np.pi * 8.0**2))
        assert np.abs(distance[changed] - 8.0).max() < 5 * 0.8 + 1.0
    # The mean size of a normal displacement is 0.8 of its standard deviation.
    assert np.mean(moved_mm) == pytest.approx(0.8 * 0.8, rel=0.2)
    assert np.mean(volumes) == pytest.approx(1.0, abs=0.1)  # as often outwards as inwards


def test_a_border_moves_outwards_as_often_as_inwards() -> None:
    # Voxels of 1 mm: a border taken at voxels' centres would be off by half a voxel, a fifth of the volume.
    distance = np.linalg.norm(np.argwhere(np.ones((30, 30, 30), bool)) - 14.5, axis=1).reshape(30, 30, 30)
    sphere = Volume(distance < 8.0, oblique_affine((1.0, 1.0, 1.0)))
    moved = [displaced(sphere, 0.8, np.random.default_rng(seed)).array.sum() for seed in range(60)]
    # A sphere gains more outside than it loses inside: the mean of (1 + x)³ for x of standard deviation 0.8 / 8.
    assert np.mean(moved) / sphere.array.sum() == pytest.approx(1.0 + 3 * 0.1**2, abs=0.04)


def test_a_lesion_of_one_voxel_does_not_vanish() -> None:
    for seed in range(20):
        mask = np.zeros((9, 9, 9))
        mask[4, 4, 4] = 1
        assert displaced(Volume(mask, np.eye(4)), 0.5, np.random.default_rng(seed)).array.sum() >= 1


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("robust") / "data", patients=3)


@pytest.fixture(scope="module")
def ratings(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return perturbed_features(dataset, tmp_path_factory.mktemp("cache"))


def test_every_lesion_is_measured_under_every_perturbation(
    dataset: Path, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    assert len(ratings) == 6 * len(PERTURBATIONS)
    assert list(ratings.columns) == [feature.name for feature in FEATURES]
    assert ratings.notna().all(axis=None)
    plain = extraction.extract_dataset(dataset, ["ses-01"], tmp_path, 1, ["gradient"]).at("ses-01").values
    pd.testing.assert_frame_equal(ratings.xs("none", level="perturbation"), plain)
    bright = ratings.xs("bright", level="perturbation") / plain
    assert bright["gradient.margin.magnitude.mean"].between(1.0, 1.4).all()  # gain 1.05 and some noise
    assert (ratings.xs("contour 1", level="perturbation") != ratings.xs("contour 2", level="perturbation")).any(
        axis=None
    )


def test_the_second_time_it_reads_only(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = perturbed_features(dataset, tmp_path, perturbations=PERTURBATIONS[:2])
    monkeypatch.setattr(PerturbedScan, "mask", None)
    pd.testing.assert_frame_equal(perturbed_features(dataset, tmp_path, perturbations=PERTURBATIONS[:2]), first)


def test_processes_change_no_number_and_plain_values_come_from_the_cache(
    dataset: Path, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    pd.testing.assert_frame_equal(perturbed_features(dataset, tmp_path, processes=2), ratings, check_exact=True)
    again = tmp_path / "again"
    extraction.extract_dataset(dataset, ["ses-01"], again, 1, ["gradient"])
    assert len(list(again.glob("*.json"))) == 6
    perturbed_features(dataset, again)
    assert len(list(again.glob("*.json"))) == 6 * len(PERTURBATIONS)


def test_an_unknown_group_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="unknown feature group shape; choose from gradient"):
        perturbed_features(dataset, tmp_path, groups=["shape"])


def rated(lesions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two columns of features, the first the same under every perturbation, the second noise; and their ratings."""
    rng = np.random.default_rng(1)
    subjects = [f"sub-{i:03d}" for i in range(lesions)]
    index = pd.MultiIndex.from_arrays([subjects, ["L01"] * lesions], names=["subject", "lesion"])
    names = ["gradient.core.magnitude.mean", "gradient.core.magnitude.sd"]
    frame = pd.DataFrame(rng.normal(size=(lesions, 2)), index, names).assign(**{"size.volume": 1.0})
    parts = {}
    for change in PERTURBATIONS:
        parts[change.name] = frame[names].copy()
        parts[change.name][names[1]] = rng.normal(size=lesions)
    return frame, pd.concat(parts, names=["perturbation"])


def test_the_filter_keeps_what_is_robust_or_was_not_rated() -> None:
    frame, ratings = rated(30)
    assert icc_of_table(ratings).iloc[0] == pytest.approx(1.0)
    kept = RobustnessFilter(ratings).fit(frame).kept_
    assert kept == ["gradient.core.magnitude.mean", "size.volume"]


def test_the_filter_looks_at_training_lesions_only() -> None:
    frame, ratings = rated(40)
    subjects = ratings.index.get_level_values("subject")
    ratings.loc[subjects >= "sub-020", "gradient.core.magnitude.mean"] = np.random.default_rng(2).normal(size=100)
    assert "gradient.core.magnitude.mean" in RobustnessFilter(ratings).fit(frame.iloc[:20]).kept_
    assert "gradient.core.magnitude.mean" not in RobustnessFilter(ratings).fit(frame.iloc[20:]).kept_


def test_a_pipeline_that_loses_everything_to_the_filter_says_so() -> None:
    frame, ratings = rated(30)
    labels = np.arange(30) % 3 == 0
    noise = frame[["gradient.core.magnitude.sd"]]
    fitted = build("gradient", 0, ratings=ratings).fit(noise, labels)
    np.testing.assert_allclose(fitted.predict_proba(noise)[:, 1], 1 / 3)
    assert "no feature was left" in notes(fitted)[0]


def test_too_few_rated_lesions_are_noted_and_rows_without_lesions_refused() -> None:
    frame, ratings = rated(4)
    fitted = build("gradient", 0, ratings=ratings).fit(frame, [0, 1, 0, 1])
    assert any("robustness not judged: perturbed values of 4 training lesions" in note for note in notes(fitted))
    with pytest.raises(DataProblem, match="the rows name no lesions"):
        build("gradient", 0, ratings=ratings).fit(frame.reset_index(drop=True), [0, 1, 0, 1])
