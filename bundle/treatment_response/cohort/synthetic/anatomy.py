"""A real MR image as the head into which lesions are planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label
from skimage.filters import threshold_otsu

from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

COVERINGS_MM = 16.0
BRAIN_HEIGHT_MM = 110.0


@dataclass(frozen=True)
class Anatomy:
    """A real head in head coordinates (RAS mm axes, the origin in the middle of its brain region).

    Attributes:
        image: relative signal, 1 where the brain's median is; its affine maps to head coordinates.
        depth: distance in mm of each voxel from the edge of the brain region, 0 outside.
        half_extent_mm: half the brain region's size ``(3,)`` along RAS.
    """

    image: Volume
    depth: np.ndarray
    half_extent_mm: np.ndarray

    def room(self, point: np.ndarray) -> float:
        """Distance in mm from a head point ``(3,)`` to the edge of the brain region; 0 outside it."""
        i, j, k = np.rint(self.image.to_index(point[None])[0]).astype(int)
        inside = all(0 <= index < size for index, size in zip((i, j, k), self.depth.shape, strict=True))
        return float(self.depth[i, j, k]) if inside else 0.0


def anatomy_from_image(image: Volume) -> Anatomy:
    """Find the region where a lesion can lie in a real head MR.

    No skull stripping: the region is the head without its outer 16 mm, and without what lies more than 110 mm below its
    top. That keeps lesions in or near the brain, which is all that is needed here.

    Raises:
        DataProblem: no such region, as in an image that is not a head.
    """
    smooth = gaussian_filter(image.array.astype(np.float32), 1.5 / image.spacing)
    components, _ = label(smooth > 0.5 * threshold_otsu(smooth))
    largest = np.bincount(components.ravel())[1:]
    head = components == 1 + int(largest.argmax()) if len(largest) else np.zeros(image.array.shape, dtype=bool)
    for k in range(head.shape[2]):
        head[:, :, k] = binary_fill_holes(head[:, :, k])
    height = np.indices(head.shape, dtype=np.float32).reshape(3, -1).T @ image.affine[2, :3] + image.affine[2, 3]
    height = height.reshape(head.shape)
    if head.any():
        head &= height > height[head].max() - BRAIN_HEIGHT_MM
    # The image's own edge is an edge too: a lesion must not be cut off by it.
    depth = distance_transform_edt(np.pad(head, 1), sampling=image.spacing)[1:-1, 1:-1, 1:-1] - COVERINGS_MM
    brain = depth > 0
    if not brain.any():
        raise DataProblem(
            Problem("anatomy series", "no head was found in it", "choose a T1-weighted MR series of a whole head")
        )
    world = image.to_world(np.argwhere(brain))
    low, high = world.min(axis=0), world.max(axis=0)
    affine = image.affine.copy()
    affine[:3, 3] -= (low + high) / 2
    signal = image.array.astype(np.float32) / float(np.median(image.array[brain]))
    return Anatomy(Volume(signal, affine), np.maximum(depth, 0).astype(np.float32), (high - low) / 2)
