"""3D Slicer's core, without its windows: an image file as Slicer reads it into a scene.

It is the package ``slicer-core`` (the extra ``slicer``). Slicer's module for DICOM results hands Parametric Maps and
segmentations to dcmqi and reads what that writes, so a test does the same.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from treatment_response.geometry import Volume

needs_slicer = pytest.mark.skipif(
    importlib.util.find_spec("slicer_core") is None,
    reason='needs the extra: pip install -c requirements.txt -e ".[slicer]"',
)


def slicer_volume(path: Path, label: bool = False) -> Volume:
    """The voxels of an image file in Slicer's scene and where Slicer puts them, RAS mm.

    Args:
        label: read as a label map, as the extension MONAILabel reads the server's answers.
    """
    import slicer
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode" if label else "vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)
    assert storage.ReadData(node) == 1, f"Slicer does not read {path.name}"
    image, matrix = node.GetImageData(), vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    # VTK's first axis varies fastest. The copy outlives the scene.
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).T.copy()
    return Volume(array, np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]))


def assert_slicer_sees(path: Path, expected: Volume, label: bool = False) -> None:
    """Slicer has the same values at the same millimetres, voxel by voxel, whichever way it stores the axes."""
    found = slicer_volume(path, label)
    assert found.array.size == expected.array.size, path.name
    index = np.indices(expected.array.shape).reshape(3, -1).T
    there = found.to_index(expected.to_world(index))
    nearest = there.round().astype(int)
    assert np.abs(there - nearest).max() < 0.01, path.name
    np.testing.assert_array_equal(found.array[tuple(nearest.T)], expected.array[tuple(index.T)], err_msg=path.name)
