"""One visit of one patient as its scanner sees it, with what is drawn on it, all in scanner RAS mm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from treatment_response.cohort.synthetic.contours import CONTOUR_STEP_MM, slice_contours
from treatment_response.cohort.synthetic.head import AIR
from treatment_response.cohort.synthetic.patch import head_offsets
from treatment_response.cohort.synthetic.rice.head import on_grid, template_head
from treatment_response.cohort.synthetic.rice.placement import Planted
from treatment_response.cohort.synthetic.rice.region import Lesion, Region, cavity_signal
from treatment_response.cohort.synthetic.rice.scanners import SCANNERS, visit_grid
from treatment_response.cohort.synthetic.rice.simulate import RiceCohort, RicePatient
from treatment_response.cohort.synthetic.scanner import (
    FINE_MM,
    Grid,
    average_blocks,
    bias_field,
    fine_factors,
    rician,
    scan,
)
from treatment_response.cohort.synthetic.simulate import Session
from treatment_response.geometry import Volume

MARGIN_VOXELS = 4
CAVITY_LATER = 0.92
"""The cavity's lengths after radiotherapy, relative to those after the operation."""
OEDEMA, OEDEMA_MM = 0.12, 4.0
TARGET_STEP_MM = 1.5
BEFORE_RADIOTHERAPY = ("post-operative", "planning")


def render_visit(
    cohort: RiceCohort, patient: RicePatient, planted: Planted, name: str, contrast: bool = True
) -> Volume:
    """Render a visit's T1.

    Args:
        cohort: gives the seed of the noise and the size of the voxels.
        patient: one of the cohort's patients.
        planted: from `plant`.
        name: of the visit.
        contrast: whether contrast agent was given; without it the lesion and the cavity's rim are not drawn.

    Returns:
        uint16 ``(I, J, K)``.
    """
    visit = patient.visits[name]
    scanner, _ = SCANNERS[patient.facts.site]
    grid = grid_of(cohort, patient, name)
    rng = np.random.default_rng([cohort.seed, 23, patient.index, visit.day, int(contrast)])
    head = template_head().enhanced if contrast else template_head().plain
    signal = on_grid(head, patient.head, visit.session, grid, AIR)
    _blend_cavity(signal, planted, grid, visit.session, 1.0 if name in BEFORE_RADIOTHERAPY else CAVITY_LATER)
    if visit.lesion and contrast:
        _blend_lesion(signal, planted.lesion, visit.lesion, grid, visit.session)
    for factor in bias_field(grid.shape, scanner.bias, rng):
        signal *= factor
    image = rician(signal, scanner.noise, rng)
    image *= scanner.white_matter
    return Volume(np.clip(np.rint(image, out=image), 0, 4095, out=image).astype(np.uint16), grid.affine)


def grid_of(cohort: RiceCohort, patient: RicePatient, name: str) -> Grid:
    """The voxel grid of a visit's series."""
    return visit_grid(patient.facts.site, patient.visits[name].session, cohort.spacing_mm)


def lesion_occupancy(cohort: RiceCohort, patient: RicePatient, planted: Planted) -> Volume:
    """Share of lesion in each voxel of the event's series, float32 0 to 1, on the voxels around the lesion."""
    grid, session = grid_of(cohort, patient, "event"), patient.visits["event"].session
    low, high = _window(planted.lesion.region, grid, session)
    fine = _occupancy(planted.lesion.region, _fine_points(planted.lesion.region, low, high, grid, session))
    factors = fine_factors(grid.voxel_mm)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(low[None])[0]
    return Volume(average_blocks(fine.reshape((high - low) * factors), factors).astype(np.float32), affine)


def planning_contours(cohort: RiceCohort, patient: RicePatient, planted: Planted) -> dict[str, list[np.ndarray]]:
    """What was drawn for planning: cavity, GTV (it too, with its wall) and PTV, as closed contours in RAS mm."""
    name = patient.planning_visit
    grid, session, treatment = grid_of(cohort, patient, name), patient.visits[name].session, planted.treatment
    wall = planted.cavity.scaled(1.1)
    margin = treatment.margin_mm

    def target(points: np.ndarray) -> np.ndarray:
        return -treatment.outside(points)

    reach = np.full(3, planted.cavity.reach_mm + margin + 2)
    return {
        "Cavity": region_contours(planted.cavity, grid, session),
        "GTV": region_contours(wall, grid, session),
        "PTV": slice_contours(target, planted.cavity.centre, reach, grid, session, TARGET_STEP_MM),
    }


def region_contours(region: Region, grid: Grid, session: Session) -> list[np.ndarray]:
    """Contours of a region on a series' slices, exactly on its surface."""

    def level(points: np.ndarray) -> np.ndarray:
        return -region.outside(points)

    reach = np.full(3, region.reach_mm + 1)
    return slice_contours(level, region.centre, reach, grid, session, CONTOUR_STEP_MM)


def _window(region: Region, grid: Grid, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """First index and end ``(3,)`` of the voxels around a region, cut at the grid's edges."""
    middle = grid.to_index(session.to_world(region.centre[None]))[0]
    reach = region.reach_mm / grid.voxel_mm + MARGIN_VOXELS
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    return low, np.minimum(np.ceil(middle + reach) + 1, grid.shape).astype(int)


def _slices(low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
    i, j, k = (slice(int(first), int(end)) for first, end in zip(low, high, strict=True))
    return i, j, k


def _voxel_points(region: Region, low: np.ndarray, high: np.ndarray, grid: Grid, session: Session) -> np.ndarray:
    axes = [np.arange(first, end) for first, end in zip(low, high, strict=True)]
    return head_offsets(axes, grid, session, region.centre) + region.centre


def _fine_points(region: Region, low: np.ndarray, high: np.ndarray, grid: Grid, session: Session) -> np.ndarray:
    """Head points of the fine samples in the voxels ``low`` to ``high``."""
    factors = fine_factors(grid.voxel_mm)
    axes = [
        first - 0.5 + (np.arange((end - first) * n) + 0.5) / n for first, end, n in zip(low, high, factors, strict=True)
    ]
    return head_offsets(axes, grid, session, region.centre) + region.centre


def _occupancy(region: Region, points: np.ndarray) -> np.ndarray:
    """Share of the region ``(N,)``, 0 to 1, in the fine samples at head points ``(N, 3)``."""
    near = ((points - region.centre) ** 2).sum(axis=1) < (region.reach_mm + FINE_MM) ** 2
    occupancy = np.zeros(len(points), dtype=np.float32)
    occupancy[near] = np.clip(0.5 - region.outside(points[near]) / FINE_MM, 0, 1)
    return occupancy


def _blend_cavity(signal: np.ndarray, planted: Planted, grid: Grid, session: Session, factor: float) -> None:
    region = planted.cavity.scaled(factor)
    low, high = _window(region, grid, session)
    points = _voxel_points(region, low, high, grid, session)
    inner, share = (
        array.reshape(high - low).astype(np.float32) for array in cavity_signal(region, planted.cavity_rim, points)
    )
    depth = planted.treatment.head.sample(template_head().depth, points).reshape(high - low)
    share *= np.clip(depth / 2 + 1, 0, 1)  # the skull is not part of it
    part = signal[_slices(low, high)]
    part += share * (inner - part)


def _blend_lesion(signal: np.ndarray, lesion: Lesion, size: float, grid: Grid, session: Session) -> None:
    region = lesion.region.scaled(size)
    low, high = _window(region, grid, session)
    fine_shape = (high - low) * fine_factors(grid.voxel_mm)
    points = _fine_points(region, low, high, grid, session)
    occupancy = _occupancy(region, points)
    touched = np.flatnonzero(occupancy)
    enhancing = np.zeros_like(occupancy)
    enhancing[touched] = replace(lesion, region=region).signal(points[touched])
    enhancing *= occupancy
    factors = fine_factors(grid.voxel_mm)
    cover, added = (scan(array.reshape(fine_shape), factors) for array in (occupancy, enhancing))
    outside = region.outside(_voxel_points(region, low, high, grid, session)).reshape(high - low)
    oedema = OEDEMA / (1 + np.exp((outside - OEDEMA_MM) / 0.8))
    part = signal[_slices(low, high)]
    part *= (1 - oedema) * (1 - cover)
    part += added
