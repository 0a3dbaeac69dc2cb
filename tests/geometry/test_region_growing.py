"""One click in a rendered synthetic lesion gives its outline; clicks elsewhere and leaks are told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from treatment_response.cohort.synthetic.render import RenderedSession, render_session
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.geometry import Volume, rasterise
from treatment_response.geometry.region_growing import grow_region
from treatment_response.problems import DataProblem

COHORT = simulate_cohort(10, 30, seed=5)


@pytest.fixture(scope="module", params=["A", "B"])
def rendered(request: pytest.FixtureRequest) -> tuple[RenderedSession, dict[str, np.ndarray]]:
    """MRI 1 of an axial and of an oblique scanner, and the true outlines."""
    patient = next(one for one in COHORT.patients if one.scanner == request.param and len(one.lesions) > 1)
    session = render_session(COHORT, patient, 0)
    image = session.image
    masks = {
        lesion.roi_name: rasterise(session.contours[lesion.roi_name], image.affine, image.array.shape)
        for lesion in patient.lesions
    }
    return session, masks


def enhancing_clicks(image: Volume, mask: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """RAS mm of points inside a lesion where it enhances, as a user would choose them."""
    inner = ndimage.binary_erosion(mask)
    inner = inner if inner.any() else mask
    bright = np.argwhere(inner & (image.array > np.percentile(image.array[mask], 40)))
    chosen = bright[rng.choice(len(bright), count)]
    return image.to_world(chosen) + rng.normal(0, 0.3, (count, 3))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


def test_a_click_outlines_the_lesion(
    rendered: tuple[RenderedSession, dict[str, np.ndarray]], record_property: pytest.FixtureRequest
) -> None:
    session, masks = rendered
    rng = np.random.default_rng(0)
    scores = [
        dice(grow_region(session.image, click), mask)
        for mask in masks.values()
        for click in enhancing_clicks(session.image, mask, 3, rng)
    ]
    record_property("dice", [round(score, 3) for score in scores])  # type: ignore[operator]
    assert np.median(scores) > 0.9
    assert min(scores) > 0.7


def test_the_region_holds_one_lesion_and_its_necrosis(
    rendered: tuple[RenderedSession, dict[str, np.ndarray]],
) -> None:
    session, masks = rendered
    rng = np.random.default_rng(1)
    for name, mask in masks.items():
        region = grow_region(session.image, enhancing_clicks(session.image, mask, 1, rng)[0])
        assert ndimage.label(region)[1] == 1
        assert not (ndimage.binary_fill_holes(region) & ~region).any()
        assert not any((region & other).any() for key, other in masks.items() if key != name)


def phantom(spacing: tuple[float, float, float], angles: tuple[float, float, float]) -> tuple[Volume, np.ndarray]:
    """A head of grey brain with a bright shell of 9 mm around a dark core at (12, −8, 5) mm."""
    shape = tuple(int(110 / step) for step in spacing)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.indices(shape).reshape(3, -1).T
    world = Volume(np.zeros(shape), affine).to_world(index)
    centre = np.array([12.0, -8.0, 5.0])
    values = np.where(np.linalg.norm(world, axis=1) < 50, 400.0, 10.0)
    distance = np.linalg.norm(world - centre, axis=1)
    values[distance < 9] = 800
    values[distance < 5] = 200
    noisy = values + np.random.default_rng(2).normal(0, 12, len(values))
    return Volume(noisy.reshape(shape).astype(np.float32), affine), (distance < 9).reshape(shape)


@pytest.mark.parametrize(
    ("spacing", "angles"),
    [((1, 1, 1), (0, 0, 0)), ((0.8, 0.8, 3.0), (20, -15, 30)), ((1.5, 0.9, 1.2), (80, 10, -40))],
    ids=["isotropic", "oblique-thick", "turned"],
)
def test_millimetres_are_the_grids(spacing: tuple[float, float, float], angles: tuple[float, float, float]) -> None:
    image, mask = phantom(spacing, angles)
    region = grow_region(image, np.array([12.0 + 7, -8.0, 5.0]))  # in the shell
    assert dice(region, mask) > 0.9
    middle = image.to_world(np.argwhere(region)).mean(axis=0)
    np.testing.assert_allclose(middle, [12, -8, 5], atol=0.6)


def test_a_click_outside_the_image_or_the_head_is_told() -> None:
    image, _ = phantom((1, 1, 1), (0, 0, 0))
    with pytest.raises(DataProblem, match="lies outside the image"):
        grow_region(image, np.array([300.0, 0, 0]))
    with pytest.raises(DataProblem, match="lies outside the head; click inside the enhancing tumour, or draw it"):
        grow_region(image, np.array([52.0, 50, 50]))


def test_a_click_on_brain_or_necrosis_is_told() -> None:
    image, _ = phantom((1, 1, 1), (0, 0, 0))
    for point in ([-25.0, 10, 0], [12.0, -8, 5]):
        with pytest.raises(DataProblem, match=r"not on tissue that is brighter|lies outside the head"):
            grow_region(image, np.array(point))


def test_a_leak_is_told_and_a_thin_vessel_is_cut_off() -> None:
    image, mask = phantom((1, 1, 1), (0, 0, 0))
    leaking, vessel = image.array.copy(), image.array.copy()
    i, _, k = np.rint(image.to_index(np.array([[12.0, -8, 5]]))[0]).astype(int)
    leaking[i - 4 : i + 5, :, k - 4 : k + 5] = 800  # a broad bridge through the whole head
    vessel[i, :, k + 7] = 800  # one voxel wide
    click = np.array([12.0 + 7, -8.0, 5.0])
    with pytest.raises(DataProblem, match="grows beyond a tumour, along vessels, meninges or skull"):
        grow_region(Volume(leaking, image.affine), click)
    assert dice(grow_region(Volume(vessel, image.affine), click), mask) > 0.9


def test_clicks_on_rendered_brain_find_no_tumour(rendered: tuple[RenderedSession, dict[str, np.ndarray]]) -> None:
    session, masks = rendered
    image = session.image
    lesions = ndimage.binary_dilation(np.any(list(masks.values()), axis=0), iterations=4)
    low, high = np.percentile(image.array[image.array > 0.3 * image.array.max()], [20, 60])
    brain = np.argwhere((image.array > low) & (image.array < high) & ~lesions)
    rng = np.random.default_rng(3)
    found = 0
    for click in image.to_world(brain[rng.choice(len(brain), 12)]):
        try:
            found += not (grow_region(image, click) & lesions).any()
        except DataProblem:
            continue
    assert found <= 1
