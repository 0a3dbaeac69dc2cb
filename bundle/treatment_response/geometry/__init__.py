"""Volumes and contours in scanner coordinates: RAS and millimetres; DICOM's LPS stops at `dicom/`."""

from treatment_response.geometry.contours import equivalent_diameter, planimetric_volume, rasterise, surface_area
from treatment_response.geometry.dose import gradient_index
from treatment_response.geometry.outlines import outline_mask
from treatment_response.geometry.plane_region import enclosed_area
from treatment_response.geometry.volume import (
    Volume,
    above_zero,
    bounding_box,
    flip_lps_ras,
    moved_points,
    voxel_indices,
    voxel_numbers,
)

__all__ = [
    "Volume",
    "above_zero",
    "bounding_box",
    "enclosed_area",
    "equivalent_diameter",
    "flip_lps_ras",
    "gradient_index",
    "moved_points",
    "outline_mask",
    "planimetric_volume",
    "rasterise",
    "surface_area",
    "voxel_indices",
    "voxel_numbers",
]
