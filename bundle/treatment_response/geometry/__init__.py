"""Volumes and contours in scanner coordinates: RAS and millimetres; DICOM's LPS stops at `dicom/`."""

from treatment_response.geometry.volume import Volume, flip_lps_ras

__all__ = ["Volume", "flip_lps_ras"]
