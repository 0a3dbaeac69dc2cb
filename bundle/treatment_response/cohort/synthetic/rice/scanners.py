"""The sites' scanners: axial, oblique, and sagittal slices, each with its own scale, noise and bias."""

from __future__ import annotations

import numpy as np

from treatment_response.cohort.synthetic.rice.head import CENTRE
from treatment_response.cohort.synthetic.scanner import Grid, Scanner
from treatment_response.cohort.synthetic.simulate import Session, rotation_about_axes

FIELD_OF_VIEW_MM = np.array([198.0, 240.0, 178.0])
"""Right-left, front-back, up-down."""
CENTRE_ABOVE_MM = 5.0
AXIAL = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
"""Columns run to the patient's left, rows to the back, slices upward."""
SAGITTAL = np.array([[0.0, 0, -1], [-1, 0, 0], [0, -1, 0]])
"""Columns run to the back, rows down, slices to the left."""
SCANNERS = {
    "A": (Scanner((1.0, 1.0, 1.2), (0, 0, 0), 640.0, 0.030, 0.10, "SYNTHETIC IMAGING", "Axial 1.5T"), AXIAL),
    "B": (Scanner((0.9, 0.9, 1.6), (12, 3, 0), 1650.0, 0.025, 0.16, "SYNTHETIC RESONANCE", "Oblique 3T"), AXIAL),
    "C": (Scanner((1.0, 1.0, 1.0), (0, 4, -3), 410.0, 0.035, 0.12, "SYNTHETIC MR", "Sagittal 3T"), SAGITTAL),
}
"""By site; voxels are those of a cohort whose spacing is 1 mm."""


def visit_grid(site: str, session: Session, spacing_mm: float) -> Grid:
    """The grid on which a site scans a head: around it, as its slices lie, all voxels times ``spacing_mm``."""
    scanner, slices = SCANNERS[site]
    voxel = np.array(scanner.voxel_mm) * spacing_mm
    tilt = rotation_about_axes(np.deg2rad(scanner.tilt_degrees))
    # A tilted box has to be longer to hold the head.
    sizes = (FIELD_OF_VIEW_MM * (1 + 0.1 * (max(scanner.tilt_degrees) > 5))) @ np.abs(slices)
    shape = tuple(int(size) for size in 2 * np.ceil(sizes / voxel / 2))
    affine = np.eye(4)
    affine[:3, :3] = tilt @ slices * voxel
    # The technician centres the box by eye, to the millimetre.
    centre = np.round(session.to_world(CENTRE[None])[0] + np.array([0, 0, CENTRE_ABOVE_MM]))
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)
