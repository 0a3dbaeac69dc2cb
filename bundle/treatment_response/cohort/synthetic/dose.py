"""A Gamma-Knife-like dose."""

from __future__ import annotations

import math

import numpy as np

from treatment_response.cohort.synthetic.lesion import SHAPE_RANGE
from treatment_response.cohort.synthetic.simulate import Patient
from treatment_response.geometry import Volume

DOSE_VOXEL_MM = 1.5
DOSE_MARGIN_MM = 24.0


def render_dose(patient: Patient) -> Volume:
    """The course's planned dose in Gy in the scanner coordinates of MRI 1, on a box around all targets.

    Each lesion adds ``2 P / (1 + s^n)`` with ``s`` the distance from its centre relative to its surface: the
    prescription ``P`` is the 50 % isodose and lies on the surface; ``n = 3 ln 3 / ln G`` makes the Gradient Index
    ``G``.
    """
    session = patient.sessions[0]
    centres = session.to_world(np.array([lesion.centre for lesion in patient.lesions]))
    reach = np.array([lesion.radius_mm * SHAPE_RANGE[1] + DOSE_MARGIN_MM for lesion in patient.lesions])[:, None]
    low, high = (centres - reach).min(axis=0), (centres + reach).max(axis=0)
    shape = np.ceil((high - low) / DOSE_VOXEL_MM).astype(int)
    affine = np.diag([-DOSE_VOXEL_MM, -DOSE_VOXEL_MM, DOSE_VOXEL_MM, 1.0])
    affine[:3, 3] = [high[0], high[1], low[2]]
    index = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    head = session.to_head(index @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)
    dose = np.zeros(len(head), dtype=np.float32)
    for lesion in patient.lesions:
        distance, surface = lesion.surface(head - lesion.centre.astype(np.float32), 0)
        power = 3 * math.log(3) / math.log(lesion.gradient_index)
        dose += 2 * lesion.prescription_gy / (1 + (distance / surface) ** power)
    return Volume(dose.reshape(shape), affine)
