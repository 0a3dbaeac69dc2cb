"""The Gradient Index on dose distributions whose isodose radii are known."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.geometry import Volume, gradient_index

TURN = np.linspace(0, 2 * np.pi, 90, endpoint=False)
POWER = 3.2
TRUTH = 3 ** (3 / POWER)


def sphere(radius: float, centre: tuple[float, float, float]) -> list[np.ndarray]:
    out = []
    for z in np.arange(-radius + 0.5, radius, 1.0):
        r = np.sqrt(radius**2 - z**2)
        plane = np.column_stack([r * np.cos(TURN), r * np.sin(TURN), np.full(90, z)])
        out.append(plane + centre)
    return out


def fall_off(lesions: list[tuple[float, tuple]], spacing: tuple, axes: np.ndarray | None = None) -> Volume:
    """40 Gy / (1 + (r/a)^p) around each lesion of radius a, or the larger one: 20 Gy at r = a, 10 Gy at (r/a)^p = 3."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if axes is None else axes) @ np.diag(spacing)
    shape = np.ceil(70 / np.array(spacing)).astype(int)
    affine[:3, 3] = 0.37 - affine[:3, :3] @ (shape / 2)
    world = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    radii = [np.linalg.norm(world - centre, axis=1) / a for a, centre in lesions]
    dose = np.max([40 / (1 + r**POWER) for r in radii], axis=0)
    return Volume(dose.reshape(shape).astype(np.float32), affine)


SAGITTAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("radius", [2.5, 4, 10])
@pytest.mark.parametrize(("spacing", "axes"), [((1, 1, 1), None), ((1, 0.8, 1.5), None), ((1, 1, 1.5), SAGITTAL)])
def test_index_of_an_analytic_fall_off(radius: float, spacing: tuple, axes: np.ndarray | None) -> None:
    centre = (3.3, -5.2, 4.6)
    dose = fall_off([(radius, centre)], spacing, axes)
    assert gradient_index(dose, sphere(radius, centre), 20) == pytest.approx(TRUTH, rel=0.015)


def test_bridged_isodoses_count_for_the_nearest_lesion() -> None:
    left, right = (5.0, (-7.0, 0.0, 0.0)), (5.0, (7.0, 0.0, 0.0))  # half-isodose radius 7.05: they touch
    dose = fall_off([left, right], (1, 1, 1))
    alone = gradient_index(dose, sphere(*left), 20, others=[sphere(*right)])
    assert alone == pytest.approx(TRUTH, rel=0.015)
    assert gradient_index(dose, sphere(*left), 20) == pytest.approx(2 * TRUTH, rel=0.015)


def test_a_separate_hot_spot_does_not_count() -> None:
    here, there = (4.0, (-15.0, 0.0, 0.0)), (6.0, (15.0, 0.0, 0.0))
    dose = fall_off([here, there], (1, 1, 1))
    assert gradient_index(dose, sphere(*here), 20) == pytest.approx(TRUTH, rel=0.015)


def test_a_lesion_without_its_prescription_has_no_index() -> None:
    dose = fall_off([(5.0, (-10.0, 0.0, 0.0))], (1, 1, 1))
    assert gradient_index(dose, sphere(4, (18.0, 0, 0)), 20) is None
    assert gradient_index(dose, sphere(4, (-10.0, 0, 0)), 60) is None
    with pytest.raises(ValueError, match="positive dose"):
        gradient_index(dose, sphere(4, (-10.0, 0, 0)), 0)
