"""One session of one patient: image, contours, dose and niches, all in scanner RAS mm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import SimpleITK as sitk

from treatment_response.cohort.synthetic.anatomy import Anatomy
from treatment_response.cohort.synthetic.contours import lesion_contours, organ_contours
from treatment_response.cohort.synthetic.dose import render_dose
from treatment_response.cohort.synthetic.head import AIR, HeadShape, RenderedHead, render_head
from treatment_response.cohort.synthetic.patch import LesionPatch, render_patch
from treatment_response.cohort.synthetic.scanner import SCANNERS, Grid, bias_field, rician, session_grid
from treatment_response.cohort.synthetic.simulate import Patient, Session, SyntheticCohort
from treatment_response.geometry import Volume


@dataclass(frozen=True)
class RenderedSession:
    """A session as arrays.

    Attributes:
        image: uint16 MR ``(I, J, K)``.
        contrast: whether contrast agent was given.
        contours: ROI name to closed contours, each ``(N, 3)`` RAS mm; a vanished lesion has no entry.
        dose: Gy, with MRI 1 only.
        niches: lesion (``L01``) to the niche share of each voxel, on the MR's voxels around the lesion, 0 to 1.
        slice_burdens: lesion to the niche share of the slice in which the lesion is largest.
    """

    image: Volume
    contrast: bool
    contours: dict[str, list[np.ndarray]]
    dose: Volume | None
    niches: dict[str, Volume]
    slice_burdens: dict[str, float]


def render_session(cohort: SyntheticCohort, patient: Patient, number: int, with_dose: bool = False) -> RenderedSession:
    """Render one session.

    Args:
        cohort: gives the seed of the noise.
        patient: one of the cohort's patients.
        number: 0 (MRI 1), 1 (MRI 2) or 2 (follow-up, without contrast, thicker slices).
        with_dose: add the planned dose (MRI 1 only).
    """
    scanner, session = SCANNERS[patient.scanner], patient.sessions[number]
    anatomy = cohort.anatomy
    grid = session_grid(scanner, session) if anatomy is None else _anatomy_grid(anatomy, session)
    rng = np.random.default_rng([cohort.seed, 3, patient.index, number])
    signal = _head_signal(patient.head if anatomy is None else anatomy, session, grid)
    contours: dict[str, list[np.ndarray]] = {}
    niches, slice_burdens = {}, {}
    for lesion in patient.lesions:
        if not lesion.is_present(number):
            continue
        patch = render_patch(lesion, grid, session, number)
        signal[patch.window] = patch.blend(signal[patch.window])
        contours[lesion.roi_name] = lesion_contours(lesion, grid, session, number)
        niches[lesion.lesion] = niche_volume(patch, grid)
        slice_burdens[lesion.lesion] = slice_burden(patch)
    contours.update(organ_contours(patient.head, grid, session))
    for factor in bias_field(grid.shape, scanner.bias, rng):
        signal *= factor
    image = rician(signal, scanner.noise, rng)
    image *= scanner.white_matter
    return RenderedSession(
        image=Volume(np.clip(np.rint(image, out=image), 0, 4095, out=image).astype(np.uint16), grid.affine),
        contrast=session.contrast,
        contours=contours,
        dose=render_dose(patient) if with_dose and number == 0 else None,
        niches=niches,
        slice_burdens=slice_burdens,
    )


def niche_volume(patch: LesionPatch, grid: Grid) -> Volume:
    """The patch's niche shares as a volume with its own affine, float32."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(patch.corner[None])[0]
    return Volume(patch.niche.astype(np.float32), affine)


def slice_burden(patch: LesionPatch) -> float:
    """Niche share of the slice in which the lesion is largest."""
    area = patch.occupancy.sum(axis=(0, 1))
    largest = int(area.argmax())
    return float(patch.niche[:, :, largest].sum() / area[largest])


@lru_cache(maxsize=1)
def _cached_head(seed: int, brain_mm: tuple[float, ...], ventricle_scale: float) -> RenderedHead:
    return render_head(HeadShape(np.array(brain_mm), ventricle_scale, seed))


def _anatomy_grid(anatomy: Anatomy, session: Session) -> Grid:
    """The real series' own grid, moved with the head's centre but not turned: the head turns in it."""
    i, j, k = anatomy.image.array.shape
    affine = anatomy.image.affine.copy()
    affine[:3, 3] += np.round(session.shift)
    return Grid((i, j, k), affine)


def _head_signal(head: HeadShape | Anatomy, session: Session, grid: Grid) -> np.ndarray:
    """The head's relative signal on a session's grid, float32 ``(I, J, K)``."""
    if isinstance(head, Anatomy):
        image, array = head.image, head.image.array
    else:
        rendered = _cached_head(head.seed, tuple(head.brain_mm), head.ventricle_scale)
        image = rendered.plain
        array = image.array + rendered.enhancement if session.contrast else image.array
    source = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    source.SetSpacing(image.spacing.tolist())
    source.SetDirection((image.affine[:3, :3] / image.spacing).ravel().tolist())
    source.SetOrigin(image.affine[:3, 3].tolist())
    # Voxel index to head coordinates, as the direction and origin of a grid that lies in head coordinates.
    axes = session.rotation.T @ grid.affine[:3, :3]
    resample = sitk.ResampleImageFilter()
    resample.SetSize(grid.shape)
    resample.SetOutputSpacing(grid.voxel_mm.tolist())
    resample.SetOutputDirection((axes / grid.voxel_mm).ravel().tolist())
    resample.SetOutputOrigin(session.to_head(grid.affine[None, :3, 3])[0].tolist())
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetDefaultPixelValue(AIR)
    resample.SetNumberOfThreads(1)
    return sitk.GetArrayFromImage(resample.Execute(source)).transpose(2, 1, 0)
