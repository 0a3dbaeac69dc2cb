"""Where stored objects lie in millimetres, by their own attributes alone."""

from __future__ import annotations

from typing import Any

import numpy as np

VALUES = """
return [...window.cornerstone.cache._volumeCache.values()].map(({ volume }) => [
  volume.referencedVolumeId ? 'map' : 'mr',
  arguments[0].map(point => volume.voxelManager.getAtIJK(...volume.imageData.worldToIndex(point).map(Math.round))),
]);"""
"""A script for OHIF's page: what every volume holds at points (LPS, mm), the MR and, times 100, the map."""


def highest_mm(parametric: Any) -> np.ndarray:
    """Centre of the upper half of a Parametric Map, by its own attributes alone, as RAS mm."""
    rows, columns = parametric.Rows, parametric.Columns
    values = np.frombuffer(parametric.FloatPixelData, np.float32).reshape(-1, rows, columns)
    shared = parametric.SharedFunctionalGroupsSequence[0]
    down, across = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    points, weights = [], []
    for plane, frame in zip(values, parametric.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(plane > 0.5):
            points.append(corner + orientation[:3] * column * across + orientation[3:] * row * down)
            weights.append(plane[row, column])
    return np.average(points, axis=0, weights=weights) * (-1, -1, 1)
