"""Rendered sessions: lesions, contours, niches and dose lie where the truth says, in both scanners."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from treatment_response.cohort.synthetic.contours import lesion_contours
from treatment_response.cohort.synthetic.dose import render_dose
from treatment_response.cohort.synthetic.patch import lesion_signal
from treatment_response.cohort.synthetic.render import RenderedSession, render_session
from treatment_response.cohort.synthetic.scanner import SCANNERS, session_grid
from treatment_response.cohort.synthetic.simulate import Patient, simulate_cohort
from treatment_response.geometry import planimetric_volume

COHORT = simulate_cohort(12, 20, seed=21)


def first_on(scanner: str) -> Patient:
    return next(patient for patient in COHORT.patients if patient.scanner == scanner)


def without_lesions(patient: Patient) -> RenderedSession:
    return render_session(COHORT, replace(patient, lesions=()), 0)


@pytest.fixture(scope="module", params=["A", "B"])
def patient(request: pytest.FixtureRequest) -> Patient:
    return first_on(request.param)


@pytest.fixture(scope="module")
def mri1(patient: Patient) -> RenderedSession:
    return render_session(COHORT, patient, 0, with_dose=True)


def test_scanner_a_is_axial_and_b_oblique(patient: Patient, mri1: RenderedSession) -> None:
    across = mri1.image.affine[:3, 2] / mri1.image.spacing[2]
    angle = np.degrees(np.arccos(across[2]))
    assert angle == pytest.approx(0 if patient.scanner == "A" else 12.4, abs=0.2)
    assert mri1.image.spacing == pytest.approx(SCANNERS[patient.scanner].voxel_mm)


def test_lesion_is_bright_where_its_contours_are(patient: Patient, mri1: RenderedSession) -> None:
    difference = mri1.image.array.astype(float) - without_lesions(patient).image.array
    for lesion in patient.lesions:
        drawn = np.concatenate(mri1.contours[lesion.roi_name])
        reach = np.linalg.norm(drawn - drawn.mean(axis=0), axis=1).max() + 3
        voxels = np.argwhere(difference > 0.3 * SCANNERS[patient.scanner].white_matter)
        world = mri1.image.to_world(voxels)
        near = np.linalg.norm(world - drawn.mean(axis=0), axis=1) < reach
        middle = (world[near].min(axis=0) + world[near].max(axis=0)) / 2
        np.testing.assert_allclose(middle, (drawn.min(axis=0) + drawn.max(axis=0)) / 2, atol=1.0)
        np.testing.assert_allclose(
            drawn.mean(axis=0), patient.sessions[0].to_world(lesion.centre[None])[0], atol=0.25 * lesion.radius_mm
        )


def test_contours_lie_on_slice_planes(mri1: RenderedSession) -> None:
    for contours in mri1.contours.values():
        number = mri1.image.to_index(np.concatenate(contours))[:, 2]
        np.testing.assert_allclose(number, np.rint(number), atol=1e-6)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("scanner", ["A", "B"])
def test_planimetry_of_the_contours_gives_the_drawn_volume(scanner: str, number: int) -> None:
    errors = []
    for patient in [patient for patient in COHORT.patients if patient.scanner == scanner]:
        session = patient.sessions[number]
        grid = session_grid(SCANNERS[scanner], session)
        for lesion in patient.lesions:
            contours = lesion_contours(lesion, grid, session, number)
            if not lesion.is_present(number):
                assert contours == []
                continue
            thick = grid.voxel_mm[2] / (lesion.radius_mm * lesion.growth(number))
            error = planimetric_volume(contours, float(grid.voxel_mm[2])) / lesion.drawn_volume(number) - 1
            # Midpoint rule on a ball's areas: at most h²/4r² off; irregular shapes a little more.
            assert abs(error) < 0.01 + 0.4 * thick**2
            errors.append(error)
    assert abs(np.mean(errors)) < 0.012


def test_niche_volume_lies_in_the_lesion_and_has_its_burden(patient: Patient, mri1: RenderedSession) -> None:
    session = patient.sessions[0]
    for lesion in patient.lesions:
        niche = mri1.niches[lesion.lesion]
        true_volume = 4 / 3 * np.pi * lesion.radius_mm**3
        assert niche.array.sum() * niche.voxel_volume == pytest.approx(lesion.burden * true_volume, rel=0.04, abs=8)
        inside = session.to_head(niche.to_world(np.argwhere(niche.array > 0.9))) - lesion.centre
        if len(inside):
            distance, surface = lesion.surface(inside, 0)
            assert (distance - surface).max() < 0.6
            assert lesion.is_niche(inside, 0).mean() > 0.95


@pytest.mark.parametrize("kind", ["texture", "intensity"])
def test_niche_changes_no_lesion_mean(kind: str) -> None:
    """The mean signal of a lesion is the same whatever part of it is niche."""
    lesion = replace(first_on("A").lesions[0], niche_kind=kind)
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.4, 1.4, (60_000, 3)) * lesion.radius_mm
    distance, surface = lesion.surface(points, 0)
    points = points[distance < surface]
    means, spreads = [], []
    for threshold in (-10.0, 0.0, 10.0):
        signal, _ = lesion_signal(replace(lesion, niche_threshold=threshold), points, 0, contrast=True)
        means.append(signal.mean())
        spreads.append(signal.std())
    np.testing.assert_allclose(means, means[0], atol=1e-4)
    assert max(spreads) - min(spreads) > 0.01  # it does change the picture


def test_dose_covers_the_lesion_with_the_gradient_index_it_was_planned_for() -> None:
    patient = next(patient for patient in COHORT.patients if len(patient.lesions) == 1)
    (lesion,) = patient.lesions
    dose = render_dose(patient)
    covered = [(dose.array >= share * lesion.prescription_gy).sum() * dose.voxel_volume for share in (1.0, 0.5)]
    assert covered[0] == pytest.approx(4 / 3 * np.pi * lesion.radius_mm**3, rel=0.06)
    assert covered[1] / covered[0] == pytest.approx(lesion.gradient_index, rel=0.06)
    peak = dose.to_world(np.array(np.unravel_index(dose.array.argmax(), dose.array.shape))[None])[0]
    assert np.linalg.norm(peak - patient.sessions[0].to_world(lesion.centre[None])[0]) < 1.5


def test_follow_up_has_no_contrast_and_misses_the_vanished_lesion() -> None:
    patient, lesion = next((p, lesion) for p in COHORT.patients for lesion in p.lesions if lesion.vanished)
    first, last = render_session(COHORT, patient, 0), render_session(COHORT, patient, 2)
    assert lesion.roi_name in first.contours
    assert lesion.roi_name not in last.contours
    assert first.contrast
    assert not last.contrast
    assert {"Skull", "Brainstem"} <= set(last.contours)


def test_same_seed_same_image_and_noise_differs_between_sessions(patient: Patient, mri1: RenderedSession) -> None:
    again = render_session(COHORT, patient, 0)
    np.testing.assert_array_equal(again.image.array, mri1.image.array)
    other = render_session(COHORT, patient, 1)
    air = (slice(0, 4), slice(0, 4), slice(0, 4))
    assert not np.array_equal(other.image.array[air], mri1.image.array[air])


def test_scanners_differ_in_intensity_scale() -> None:
    images = [render_session(COHORT, first_on(scanner), 0).image.array for scanner in "AB"]
    brain = [np.median(image[image > np.percentile(image, 60)]) for image in images]
    assert brain[1] > 1.8 * brain[0]
    assert all(image.max() <= 4095 for image in images)
