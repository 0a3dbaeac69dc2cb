"""One outline on its MR: right volumes and masks, and a note on whatever was guessed or looks odd."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from treatment_response.dicom.measured_outline import MeasuredOutline, measure_contours, measure_mask
from treatment_response.geometry import Volume, planimetric_volume, rasterise, surface_area

TURN = np.linspace(0, 2 * np.pi, 90, endpoint=False)
OBLIQUE = Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix()
SPACING = np.array([1.1, 0.9, 2.0])
SHAPE = (60, 64, 24)
Contours = list[np.ndarray]


def mr(rotation: np.ndarray = OBLIQUE, spacing: np.ndarray = SPACING, shape: tuple[int, ...] = SHAPE) -> Volume:
    """An MR with its middle voxel centre at (3, -5, 20) mm."""
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = np.array([3.0, -5, 20]) - affine[:3, :3] @ (np.array(shape) // 2)
    return Volume(np.zeros(shape, np.int16), affine)


def at(image: Volume, points: np.ndarray) -> np.ndarray:
    """RAS mm of points in mm along the image's axes from its middle voxel centre."""
    axes = image.affine[:3, :3] / image.spacing
    return points @ axes.T + image.to_world(np.array([np.array(image.array.shape) // 2]))[0]


def ellipsoid(
    image: Volume, radii: float | np.ndarray, centre: tuple[float, ...] = (0, 0, 0), step: float | None = None
) -> Contours:
    """Contours on the image's slices, or on planes ``step`` mm apart."""
    rx, ry, rz = np.broadcast_to(radii, 3)
    planes = np.arange(-30, 31) * (image.spacing[2] if step is None else step)
    contours = []
    for z in planes[np.abs(planes - centre[2]) < rz * 0.99]:
        width = np.sqrt(1 - ((z - centre[2]) / rz) ** 2)
        ring = np.column_stack([rx * width * np.cos(TURN), ry * width * np.sin(TURN), np.full(len(TURN), z)])
        contours.append(at(image, ring + np.array([*centre[:2], 0])))
    return contours


def shifted(image: Volume, contours: Contours, *offset: float) -> Contours:
    return [points + (image.affine[:3, :3] / image.spacing) @ np.array(offset) for points in contours]


def voxels_mm3(measured: MeasuredOutline) -> float:
    return float(measured.mask.array.sum()) * measured.mask.voxel_volume


def test_a_clean_outline_has_no_notes_and_the_numbers_of_the_geometry() -> None:
    image = mr()
    contours = ellipsoid(image, 9)
    measured = measure_contours(contours, image)
    assert measured.notes == ()
    assert measured.volume_mm3 == planimetric_volume(contours)
    assert measured.area_mm2 == surface_area(contours)
    np.testing.assert_array_equal(measured.mask.array, rasterise(contours, image.affine, image.array.shape))
    assert measured.outside_mm3 == 0


@pytest.mark.parametrize("step", [0.15, 0.5, 1.0])
def test_a_part_off_the_planes_counts_whole_and_is_told(step: float) -> None:
    image = mr()
    ball = ellipsoid(image, 9, (-14, 0, 0))
    measured = measure_contours([*ball, *shifted(image, ball, 28, 0, step)], image)
    assert measured.volume_mm3 == pytest.approx(2 * 4 / 3 * np.pi * 729, rel=0.02)
    assert voxels_mm3(measured) == pytest.approx(measured.volume_mm3, rel=0.02)
    assert any(f"as near as {step:.2f} mm" in note for note in measured.notes)
    assert any(note.startswith("is in 2 parts") for note in measured.notes)


def test_crossing_copies_of_a_contour_are_one_region_and_told() -> None:
    image = mr()
    ball = ellipsoid(image, 9)
    measured = measure_contours([*ball, *shifted(image, ball[3:5], 0.4, 0, 0)], image)
    assert measured.volume_mm3 == pytest.approx(planimetric_volume(ball), rel=0.02)
    assert voxels_mm3(measured) == pytest.approx(measured.volume_mm3, rel=0.03)
    assert measured.notes == ("has contours that cross each other on 2 planes; all that they enclose was taken",)
    copied = measure_contours([*ball, *ball], image)
    assert copied.volume_mm3 == pytest.approx(planimetric_volume(ball), rel=1e-3)
    assert copied.notes == (f"has contours that repeat others on {len(ball)} planes; each was taken once",)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_lies_outside_the_mr_is_told_with_its_share(axis: int) -> None:
    """A ball whose centre is on the image's last face."""
    image = mr()
    centre = np.zeros(3)
    centre[axis] = (SHAPE[axis] - 1 - SHAPE[axis] // 2 + 0.5) * SPACING[axis]
    contours = ellipsoid(image, 9, tuple(centre))
    measured = measure_contours(contours, image)
    assert measured.outside_mm3 == pytest.approx(measured.volume_mm3 / 2, rel=0.05)
    assert any("50% of its volume" in note and "outside the MR" in note for note in measured.notes)
    assert not any("counting noise" in note for note in measured.notes)
    with pytest.raises(ValueError, match="all of it lies outside the MR"):
        measure_contours(shifted(image, contours, *(20.0 * np.eye(3)[axis])), image)


def test_an_outline_on_the_last_slice_is_told_to_touch_the_edge() -> None:
    image = mr()
    height = (SHAPE[2] - 1 - SHAPE[2] // 2) * SPACING[2]
    inside = [points for points in ellipsoid(image, 9, (0, 0, height)) if image.to_index(points)[0, 2] < SHAPE[2] - 0.5]
    [note] = measure_contours(inside, image).notes
    assert note.startswith("touches the edge of the MR")


def without(contours: Contours, *dropped: int) -> Contours:
    return [points for number, points in enumerate(contours) if number not in dropped]


GAPS = {
    "one-plane": (lambda image: ellipsoid(image, 9)[4:5], "is drawn on one plane only; 2.00 mm"),
    "every-second": (lambda image: ellipsoid(image, 9, step=4.0), "about every second slice"),
    "every-third": (lambda image: ellipsoid(image, 15, step=6.0), "about every third slice"),
    "one-missing": (lambda image: without(ellipsoid(image, 9), 4), "misses 1 slice in the middle, filled"),
    "two-missing": (lambda image: without(ellipsoid(image, 9), 4, 5), "misses 2 slices in the middle, filled"),
    "four-missing": (lambda image: without(ellipsoid(image, 15), 5, 6, 7, 8), "over 10.0 mm, too many to be filled"),
}


@pytest.mark.parametrize("name", GAPS)
def test_slices_without_contours_are_told(name: str) -> None:
    image = mr()
    contours, words = GAPS[name]
    notes = measure_contours(contours(image), image).notes
    assert any(words in note for note in notes)
    assert all("miss" in note or "drawn on" in note or name == "four-missing" for note in notes)


def test_a_contour_that_voxels_and_planimetry_read_differently_is_told() -> None:
    """A 9 mm lesion whose contours run 15 % too far around: what is wound twice is outside to some."""
    image = mr(spacing=np.array([1.6, 1.6, 2.0]))
    ball = ellipsoid(image, 4.5)
    assert measure_contours(ball, image).notes == ()
    too_far = [np.concatenate([points, points[:14], points.mean(axis=0)[None]]) for points in ball]
    [note] = measure_contours(too_far, image).notes
    assert "by its voxels" in note
    assert "beyond counting noise" in note


def test_right_outlines_are_within_the_counting_noise() -> None:
    """Ellipsoids of 3 to 15 mm radius on oblique, anisotropic grids, on the slices and between them."""
    rng = np.random.default_rng(0)
    told = 0
    for number in range(120):
        rotation = Rotation.random(random_state=number).as_matrix()
        spacing = np.array([*rng.uniform(0.7, 1.6, 2), rng.choice([1.0, 1.5, 2.0, 3.0])])
        radii = rng.uniform(3, 15) * rng.uniform(0.8, 1.25, 3)
        shape = tuple(2 * np.ceil(radii / spacing).astype(int) + 8)
        image = mr(rotation, spacing, shape)
        drawn_on = image if number % 2 else mr(Rotation.random(random_state=-number % 997).as_matrix(), spacing, shape)
        contours = ellipsoid(drawn_on, radii, tuple(rng.uniform(-1, 1, 3)), None if number % 2 else 1.0)
        told += any("counting noise" in note for note in measure_contours(contours, image).notes)
    assert told <= 2


def test_a_lesion_between_voxel_centres_keeps_its_volume_and_is_told() -> None:
    image = mr(spacing=np.array([3.0, 3, 3]))
    contours = [at(image, np.column_stack([0.5 * np.cos(TURN) + 1.5, 0.5 * np.sin(TURN) + 1.5, np.full(90, 0.0)]))]
    measured = measure_contours(contours, image)
    assert measured.volume_mm3 == pytest.approx(np.pi * 0.25 * 3, rel=0.01)
    assert not measured.mask.array.any()
    assert any("its mask is empty" in note for note in measured.notes)


def test_a_mask_is_measured_by_its_voxels() -> None:
    image = mr()
    mask = rasterise(ellipsoid(image, 9), image.affine, image.array.shape)
    measured = measure_mask(mask, image)
    assert measured.volume_mm3 == pytest.approx(mask.sum() * image.voxel_volume)
    assert measured.area_mm2 == pytest.approx(4 * np.pi * 81, rel=0.15)
    assert measured.notes == ()
    np.testing.assert_array_equal(measured.mask.array, mask)
    cut = mask.copy()
    cut[:, :, 11:13] = False
    assert "is empty on 2 planes between its first and last one" in measure_mask(cut, image).notes
    edge = np.roll(mask, 10, axis=2)
    assert any(note.startswith("touches the edge of the MR") for note in measure_mask(edge, image).notes)
    both = mask | np.roll(mask, 21, axis=0)
    assert any(note.startswith("is in 2 parts") for note in measure_mask(both, image).notes)
    with pytest.raises(ValueError, match="it is empty"):
        measure_mask(np.zeros_like(mask), image)
