"""The synthetic cohort's truth: burdens, labels, probabilities and places."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.cohort.synthetic import biology
from treatment_response.cohort.synthetic.lesion import Lesion
from treatment_response.cohort.synthetic.simulate import SyntheticCohort, simulate_cohort
from treatment_response.problems import DataProblem


@pytest.fixture(scope="module")
def cohort() -> SyntheticCohort:
    return simulate_cohort(340, 600, seed=11)


def lesions_of(cohort: SyntheticCohort) -> list[Lesion]:
    return [lesion for patient in cohort.patients for lesion in patient.lesions]


def points_inside(lesion: Lesion, session: int, rng: np.random.Generator) -> np.ndarray:
    reach = 1.4 * lesion.radius_mm * lesion.growth(session)
    points = rng.uniform(-reach, reach, (60_000, 3))
    distance, surface = lesion.surface(points, session)
    return points[distance < surface]


@pytest.mark.parametrize("session", [0, 2], ids=["MRI 1", "follow-up"])
def test_burden_is_the_share_of_the_volume_that_is_niche(cohort: SyntheticCohort, session: int) -> None:
    rng = np.random.default_rng(0)
    for lesion in lesions_of(cohort)[:25]:
        inside = points_inside(lesion, session, rng)
        assert lesion.is_niche(inside, session).mean() == pytest.approx(lesion.burden, abs=0.02)


def test_shape_encloses_the_volume_of_its_radius(cohort: SyntheticCohort) -> None:
    rng = np.random.default_rng(1)
    for lesion in lesions_of(cohort)[:10]:
        box = (2.8 * lesion.radius_mm) ** 3
        volume = len(points_inside(lesion, 0, rng)) / 60_000 * box
        assert volume == pytest.approx(4 / 3 * np.pi * lesion.radius_mm**3, rel=0.05)


def test_labels_follow_their_probabilities(cohort: SyntheticCohort) -> None:
    lesions = lesions_of(cohort)
    label = np.array([lesion.label for lesion in lesions])
    p = np.array([lesion.p_response for lesion in lesions])
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.01), (0.0, 1.01)):
        among = (p >= low) & (p < high)
        spread = np.sqrt((p[among] * (1 - p[among])).sum()) / among.sum()
        assert abs(label[among].mean() - p[among].mean()) < 3.5 * spread
    assert 1 - label.mean() == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.6])
def test_calibration_gives_the_wanted_share(share: float) -> None:
    burden = biology.draw_burdens(np.random.default_rng(2), 20_000)
    assert 1 - biology.calibrate(share).p_response(burden).mean() == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize("radius", [4.0, 7.0, 12.0])
def test_closed_form_of_the_probability_matches_simulated_contours(radius: float) -> None:
    rng = np.random.default_rng(3)
    model, burden = biology.calibrate(0.35), 0.38  # where the probability is steep in the noise: 0.9
    true = model.mean_log_ratio(burden) + biology.biological_sd(radius) * rng.standard_normal(200_000)
    before = radius + biology.CONTOUR_SD_MM * rng.standard_normal(true.size)
    after = radius * np.exp(true / 3) + biology.CONTOUR_SD_MM * rng.standard_normal(true.size)
    assert np.mean((after / before) ** 3 < 0.8) == pytest.approx(float(model.p_response(burden)), abs=0.008)


def test_label_is_that_of_the_drawn_volumes(cohort: SyntheticCohort) -> None:
    for lesion in lesions_of(cohort):
        if not lesion.vanished:
            assert lesion.label == int(lesion.drawn_volume(2) / lesion.drawn_volume(0) < 0.8)


def test_lesions_lie_apart_and_inside_the_brain(cohort: SyntheticCohort) -> None:
    rng = np.random.default_rng(4)
    for patient in [patient for patient in cohort.patients if len(patient.lesions) > 1][:20]:
        for session in range(3):
            surfaces = []
            for lesion in patient.lesions:
                points = lesion.centre + points_inside(lesion, session, rng)
                surfaces.append(points)
                if session == 0:
                    assert np.linalg.norm(points / patient.head.brain_mm, axis=1).max() < 1
            for lesion, others in zip(patient.lesions, range(len(surfaces)), strict=True):
                rest = np.concatenate([points for i, points in enumerate(surfaces) if i != others])
                distance, surface = lesion.surface(rest - lesion.centre, session)
                assert (distance - surface).min() > 1


def test_one_lesion_vanishes_and_it_is_a_responder(cohort: SyntheticCohort) -> None:
    vanished = [lesion for lesion in lesions_of(cohort) if lesion.vanished]
    assert [lesion.label for lesion in vanished] == [1]
    assert vanished[0].drawn_volume(2) == 0


def test_default_cohort_has_the_papers_size_and_lesions_of_steep_and_shallow_dose() -> None:
    cohort = simulate_cohort()
    lesions = lesions_of(cohort)
    assert (len(cohort.patients), len(lesions)) == (39, 69)
    assert {patient.scanner for patient in cohort.patients} == {"A", "B"}
    index = np.array([lesion.gradient_index for lesion in lesions])
    assert np.median(index) == pytest.approx(2.8, abs=0.1)
    assert 1 <= (index > 4).sum() <= 8


def test_same_seed_same_cohort_other_seed_other_cohort() -> None:
    def truth(seed: int) -> list[tuple]:
        return [
            (*lesion.centre, lesion.burden, lesion.log_ratios) for lesion in lesions_of(simulate_cohort(4, 7, seed))
        ]

    assert truth(5) == truth(5)
    assert truth(5) != truth(6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"patients": 5, "lesions": 4}, "5 patients with 4 lesions"),
        ({"patients": 1, "lesions": 9}, "1 patients with 9 lesions"),
        ({"non_response": 1.5}, "share of non-response 1.5"),
        ({"niche": "colour"}, "unknown niche 'colour'"),
    ],
)
def test_bad_arguments_are_told(arguments: dict, says: str) -> None:
    with pytest.raises(DataProblem, match=says):
        simulate_cohort(**arguments)
