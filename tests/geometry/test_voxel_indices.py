"""The lesion's voxels, however the array lies in memory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from treatment_response.geometry import bounding_box, voxel_indices

LAYOUTS = {
    "as nibabel reads": np.asfortranarray,
    "as numpy makes": np.ascontiguousarray,
    "sagittal": lambda array: np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0),
    "from above": lambda array: np.ascontiguousarray(array[:, ::-1, ::-1])[:, ::-1, ::-1],
    "a part": lambda array: np.pad(array, 2)[2:-2, 2:-2, 2:-2],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_they_are_those_of_argwhere(layout, kind):
    values = np.random.default_rng(0).choice([0, 1], size=(7, 5, 6), p=[0.8, 0.2]).astype(kind)
    if kind is np.float32:
        values[0] = -1  # not of the lesion
    array = layout(values)
    np.testing.assert_array_equal(array, values)
    assert sorted(map(tuple, voxel_indices(array))) == sorted(map(tuple, np.argwhere(values > 0)))


def test_an_empty_mask_has_none():
    assert voxel_indices(np.zeros((3, 4, 5), bool)).shape == (0, 3)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_the_box_is_scipys(layout, share):
    values = np.random.default_rng(1).choice([0, 1], size=(7, 5, 6), p=[1 - share, share])
    assert bounding_box(layout(values)) == (ndimage.find_objects(values) or [None])[0]
