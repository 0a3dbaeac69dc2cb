"""A label map drawn in a viewer: one lesion per value, or per separate part where there is one value only."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from treatment_response.cohort.nifti_file import read_header, read_placed_nifti
from treatment_response.cohort.nrrd_file import read_nrrd, read_nrrd_shape
from treatment_response.geometry import Volume, above_zero, bounding_box
from treatment_response.geometry.grids import grid_difference, same_grid
from treatment_response.problems import DataProblem, Problem

ISLAND_MM = 5.0
"""Parts of one value that are nearer than this are islands of one lesion (enhancing rims around necrosis)."""
_MOST_VALUES = 100


def read_label_map(path: Path, image: Volume, where: str) -> dict[int, np.ndarray]:
    """Read the lesions of a label map on an MR's grid.

    Args:
        path: NIfTI or NRRD.
        image: the MR.
        where: how to call the label in problems.

    Returns:
        Value → bool ``(I, J, K)``, ascending; empty if the map is.

    Raises:
        DataProblem: unreadable, on another grid or on none, or no label map (fractions, negative values, over 100
            values).
    """
    shape = _stated_shape(path)
    if shape is not None and shape != image.array.shape:  # before its voxels fill the memory
        voxels = " × ".join(map(str, shape)), " × ".join(map(str, image.array.shape))
        raise _another_grid(f"{voxels[0]} voxels against {voxels[1]}", where)
    label = read_nrrd(path, where) if _is_nrrd(path) else read_placed_nifti(path, where)
    if not same_grid(label, image):
        raise _another_grid(grid_difference(label, image), where)
    # In the order of the memory, which is quickest; most of a head is 0, and sorting that would take longest.
    stored = label.array.ravel(order="K")
    values = np.unique(stored[stored != 0])
    if values.size > _MOST_VALUES or (values < 0).any() or not np.array_equal(values, np.rint(values)):
        what = "is no label map: expected whole numbers, 0 outside and one per lesion"
        raise DataProblem(Problem(where, what, "save the outlines as a label map"))
    return {int(value): label.array == value for value in values}


def separate_parts(mask: Volume, gap_mm: float = ISLAND_MM) -> list[np.ndarray]:
    """Split the mask of several lesions, keeping the islands of one lesion together.

    Two connected components (26-neighbourhood) belong to one lesion if their voxel centres come nearer than
    ``gap_mm``, directly or by way of others.

    Returns:
        bool ``(I, J, K)`` each, largest first.
    """
    inside = above_zero(mask.array)
    around = bounding_box(inside)
    if around is None:
        return []
    # Lesions are a small part of a head: the rest need not be labelled.
    components, count = ndimage.label(inside[around], structure=np.ones((3, 3, 3)))
    if count < 2:
        return [inside]
    labelled = np.zeros(inside.shape, np.int32)
    labelled[around] = components
    boxes = ndimage.find_objects(labelled)
    surfaces = [_surface(labelled[box] == number, box, mask) for number, box in enumerate(boxes, start=1)]
    near = [(a, b) for a, b in combinations(range(count), 2) if _near(surfaces[a], surfaces[b], gap_mm)]
    graph = coo_matrix((np.ones(len(near)), tuple(np.array(near, dtype=int).reshape(-1, 2).T)), shape=(count, count))
    number, group = connected_components(graph, directed=False)
    lesion_of = np.concatenate([[-1], group])[labelled]
    parts = [lesion_of == index for index in range(number)]
    return sorted(parts, key=lambda part: -int(part.sum()))


def _another_grid(difference: str, where: str) -> DataProblem:
    what = f"lies on another grid than the MR ({difference})"
    return DataProblem(Problem(where, what, "draw it on this MR, or resample it to the MR's grid"))


def _stated_shape(path: Path) -> tuple[int, ...] | None:
    """The shape in a file's header; None if it cannot be read, which reading the file then tells."""
    try:
        if _is_nrrd(path):
            return read_nrrd_shape(path, "")
        shape = read_header(path).get_data_shape()
        return shape[:3] if shape[3:] == (1,) else shape
    except Exception:  # nibabel raises many kinds for files that are cut off or are something else
        return None


def _is_nrrd(path: Path) -> bool:
    return path.name.endswith(".nrrd")


def _surface(part: np.ndarray, box: tuple[slice, ...], mask: Volume) -> np.ndarray:
    """RAS mm ``(N, 3)`` of a component's outermost voxels."""
    edge = part & ~ndimage.binary_erosion(part)
    return mask.to_world(np.argwhere(edge) + [side.start for side in box])


def _near(one: np.ndarray, other: np.ndarray, gap_mm: float) -> bool:
    apart = np.maximum(one.min(axis=0) - other.max(axis=0), other.min(axis=0) - one.max(axis=0)).clip(0)
    if np.linalg.norm(apart) >= gap_mm:
        return False
    return bool(cKDTree(one).query(other, distance_upper_bound=gap_mm)[0].min() < gap_mm)
