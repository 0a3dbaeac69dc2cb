"""Gradient features on images whose gradients are known by formula."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_lesions import AFFINES, CENTRE, make_lesion, stored_otherwise, three_voxels
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.features.gradients import (
    FEATURES,
    OCTANTS,
    QUANTITIES,
    REGIONS,
    gradient_features,
    gradient_maps,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

each_affine = pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES)


def bowl(points: np.ndarray) -> np.ndarray:
    """Gradient 4 · distance, straight outwards; a cubic spline and central differences have it exactly."""
    return 2.0 * (points**2).sum(axis=1) + 7.0


def ramp(direction: np.ndarray, slope: float):
    return lambda points: slope * (points @ direction) + 50.0


def points_of(maps) -> np.ndarray:
    indices = np.argwhere(np.ones(maps.magnitude.shape, dtype=bool))
    return Volume(maps.magnitude, maps.affine).to_world(indices).reshape(*maps.magnitude.shape, 3) - CENTRE


def test_there_are_ninety_features_in_the_documented_order() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names) == 90
    assert ("core", "margin", *(f"margin_{octant}" for octant in OCTANTS)) == REGIONS
    assert list(gradient_features(*make_lesion(bowl))) == names


@each_affine
@pytest.mark.parametrize(("sign", "alignment", "angle"), [(1, 1.0, 0.0), (-1, -1.0, 180.0)], ids=["bowl", "hill"])
def test_a_bowl_is_radial_everywhere(matrix: np.ndarray, sign: int, alignment: float, angle: float) -> None:
    found = gradient_features(*make_lesion(lambda points: sign * bowl(points), matrix=matrix))
    for region in REGIONS:
        assert found[f"gradient.{region}.radial_gradient.mean"] == pytest.approx(alignment, abs=1e-6)
        assert found[f"gradient.{region}.radial_gradient.sd"] == pytest.approx(0, abs=1e-6)
        assert found[f"gradient.{region}.radial_deviation.mean"] == pytest.approx(angle, abs=0.02)


@each_affine
def test_magnitude_is_per_millimetre_and_statistics_are_over_the_region(matrix: np.ndarray) -> None:
    image, mask = make_lesion(bowl, matrix=matrix)
    maps, found = gradient_maps(image, mask), gradient_features(image, mask)
    expected = 4.0 * np.linalg.norm(points_of(maps), axis=-1)
    for region, inside in maps.regions.items():
        name = f"gradient.{region}.magnitude"
        assert found[f"{name}.mean"] == pytest.approx(expected[inside].mean(), rel=1e-4)
        assert found[f"{name}.sd"] == pytest.approx(expected[inside].std(), rel=1e-3)
        assert found[f"{name}.cv"] == pytest.approx(expected[inside].std() / expected[inside].mean(), rel=1e-3)


@each_affine
def test_a_radial_ramp_has_its_slope_radial_gradient_one_and_deviation_zero(matrix: np.ndarray) -> None:
    # The tip of the cone at the centre is no smooth function: in the margin, far from it, the rest is discretisation.
    found = gradient_features(*make_lesion(lambda points: 3.0 * np.linalg.norm(points, axis=1), matrix=matrix))
    for region in REGIONS[1:]:
        assert found[f"gradient.{region}.magnitude.mean"] == pytest.approx(3.0, rel=2e-3)
        assert found[f"gradient.{region}.radial_gradient.mean"] == pytest.approx(1.0, abs=1e-3)
        assert found[f"gradient.{region}.radial_deviation.mean"] == pytest.approx(0.0, abs=0.5)


@each_affine
def test_a_plane_ramp_has_one_magnitude_and_the_angle_to_its_direction(matrix: np.ndarray) -> None:
    direction = np.array([0.6, -0.48, 0.64])
    image, mask = make_lesion(ramp(direction, 5.0), matrix=matrix)
    maps, found = gradient_maps(image, mask), gradient_features(image, mask)
    points = points_of(maps)
    cosine = points @ direction / np.linalg.norm(points, axis=-1)
    inside = maps.regions["margin"] | maps.regions["core"]
    np.testing.assert_allclose(maps.radial_gradient[inside], cosine[inside], atol=1e-5)
    np.testing.assert_allclose(maps.radial_deviation[inside], np.degrees(np.arccos(cosine[inside])), atol=0.01)
    for region in REGIONS:
        assert found[f"gradient.{region}.magnitude.mean"] == pytest.approx(5.0, rel=1e-5)
        assert found[f"gradient.{region}.magnitude.cv"] == pytest.approx(0.0, abs=1e-4)
    # Opposite octants see the ramp from opposite sides.
    ras, lpi = (found[f"gradient.margin_{octant}.radial_gradient.mean"] for octant in ("RAS", "LPI"))
    assert ras == pytest.approx(-lpi, abs=0.02)
    assert found["gradient.margin_RPS.radial_gradient.mean"] > 0.8


@each_affine
@pytest.mark.parametrize(("radius", "margin"), [(8.03, 1.0), (12.03, 3.0)], ids=["small", "large"])
def test_core_and_margin_have_the_papers_millimetres(matrix: np.ndarray, radius: float, margin: float) -> None:
    image, mask = make_lesion(bowl, radius=radius, matrix=matrix)
    maps = gradient_maps(image, mask)
    assert maps.margin_mm == margin
    radius_of = lambda volume: (3 * volume / (4 * np.pi)) ** (1 / 3)  # noqa: E731
    filled = radius_of(mask.sum() * image.voxel_volume)
    cell = abs(np.linalg.det(maps.affine[:3, :3]))
    core, margin_volume = (maps.regions[name].sum() * cell for name in ("core", "margin"))
    # The mask's staircase of 0.5 to 1.6 mm leaves a quarter of a millimetre.
    assert radius_of(core) == pytest.approx(filled - margin, abs=0.25)
    assert radius_of(core + margin_volume) == pytest.approx(filled + margin, abs=0.25)
    octants = [maps.regions[f"margin_{octant}"] for octant in OCTANTS]
    assert (np.sum(octants, axis=0) == maps.regions["margin"]).all()
    assert not (maps.regions["core"] & maps.regions["margin"]).any()


@pytest.mark.parametrize("volume", [3999.0, 4001.0])
def test_the_margin_changes_at_4000_cubic_millimetres(volume: float) -> None:
    image, mask = make_lesion(bowl, radius=9.0)
    scale = (volume / mask.sum()) ** (1 / 3)
    affine = image.affine @ np.diag([scale, scale, scale, 1.0])
    assert gradient_maps(Volume(image.array, affine), mask).margin_mm == (3.0 if volume > 4000 else 1.0)


@each_affine
@pytest.mark.parametrize("octant", ["RAS", "LPS", "RPI"])
def test_an_edge_is_found_in_the_octant_where_it_lies(matrix: np.ndarray, octant: str) -> None:
    signs = np.array([1 if letter in "RAS" else -1 for letter in octant])
    corner = signs * 8.0 / np.sqrt(3)
    spot = lambda points: 100.0 * np.exp(-((points - corner) ** 2).sum(axis=1) / (2 * 2.0**2))  # noqa: E731
    found = gradient_features(*make_lesion(spot, matrix=matrix))
    steepness = {name: found[f"gradient.margin_{name}.magnitude.mean"] for name in OCTANTS}
    others = sorted(steepness.values())
    assert max(steepness, key=steepness.get) == octant
    assert steepness[octant] > 4 * others[-2]


@each_affine
def test_the_order_of_storage_changes_nothing(matrix: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    image, mask = make_lesion(lambda points: rng.normal(100, 20, len(points)), radius=6.0, matrix=matrix)
    mask[: mask.shape[0] // 2, :, :4] = False
    first, second = gradient_features(image, mask), gradient_features(*stored_otherwise(image, mask))
    assert second == pytest.approx(first, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=15)
@given(gain=st.floats(0.01, 1000), shift=st.floats(-1000, 1000))
def test_gain_scales_magnitudes_and_leaves_directions(gain: float, shift: float) -> None:
    rng = np.random.default_rng(1)
    image, mask = make_lesion(lambda points: rng.normal(100, 20, len(points)), radius=4.0, reach=4.0)
    first = gradient_features(image, mask)
    second = gradient_features(Volume(image.array * gain + shift, image.affine), mask)
    for name, value in first.items():
        scaled = gain if ".magnitude." in name and not name.endswith(".cv") else 1.0
        assert second[name] == pytest.approx(value * scaled, rel=1e-4, abs=1e-6), name


@each_affine
def test_a_lesion_of_three_voxels_is_its_own_core(matrix: np.ndarray) -> None:
    image, _ = make_lesion(bowl, matrix=matrix)
    mask = three_voxels(image)
    maps, found = gradient_maps(image, mask), gradient_features(image, mask)
    assert all(np.isfinite(value) for value in found.values())
    assert maps.regions["core"].any()
    assert found["gradient.core.radial_gradient.mean"] == pytest.approx(1.0, abs=1e-5)


def test_a_constant_image_has_no_gradient_and_no_direction() -> None:
    found = gradient_features(*make_lesion(lambda points: np.full(len(points), 321.7), matrix=AFFINES["oblique"]))
    expected = {"magnitude": 0.0, "radial_gradient": 0.0, "radial_deviation": 90.0}
    for region in REGIONS:
        for quantity in QUANTITIES:
            name = f"gradient.{region}.{quantity}"
            assert found[f"{name}.mean"] == pytest.approx(expected[quantity], abs=1e-9)
            assert found[f"{name}.sd"] == pytest.approx(0.0, abs=1e-9)
            assert found[f"{name}.cv"] == 0.0


def test_a_coefficient_of_variation_around_zero_is_cut() -> None:
    found = gradient_features(*make_lesion(ramp(np.array([0.0, 0.0, 1.0]), 1.0)))
    assert found["gradient.margin.radial_gradient.mean"] == pytest.approx(0, abs=1e-9)
    assert found["gradient.margin.radial_gradient.cv"] == 100.0


@pytest.mark.parametrize("corner", [0, -1], ids=["first-corner", "last-corner"])
def test_a_lesion_at_the_images_corner_has_all_features(corner: int) -> None:
    image, mask = make_lesion(bowl)
    mask[:] = False
    mask[np.ix_(*[np.arange(4) if corner == 0 else np.arange(-4, 0)] * 3)] = True
    assert all(np.isfinite(value) for value in gradient_features(image, mask).values())


def test_one_slice_is_enough() -> None:
    image, mask = make_lesion(bowl)
    middle = image.array.shape[2] // 2
    found = gradient_features(Volume(image.array[:, :, [middle]], image.affine), mask[:, :, [middle]])
    assert all(np.isfinite(value) for value in found.values())


def test_bad_input_is_one_sentence() -> None:
    image, mask = make_lesion(bowl)
    holed = image.array.copy()
    holed[tuple(np.argwhere(mask)[0])] = np.nan
    with pytest.raises(DataProblem, match=r"sub-001 L01: the image holds NaN"):
        gradient_features(Volume(holed, image.affine), mask, "sub-001 L01")
    with pytest.raises(DataProblem, match="the mask is empty"):
        gradient_features(image, np.zeros_like(mask))
    with pytest.raises(DataProblem, match="the mask has"):
        gradient_features(image, mask[1:])
