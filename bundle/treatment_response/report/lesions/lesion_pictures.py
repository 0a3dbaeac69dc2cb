"""A small picture of every lesion: with its map where a network has mapped it, else of its slice in the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treatment_response.cohort.dataset import load_datalist
from treatment_response.cohort.layout import read_volume
from treatment_response.evaluation.views import LesionView, cell_mask
from treatment_response.geometry import voxel_indices
from treatment_response.geometry.brain_range import brain_range
from treatment_response.geometry.slice_patch import SlicePatch, axial_plane, cut_slice_patch, largest_slice
from treatment_response.report.lesions.figures.thumbnails import lesion_thumbnail
from treatment_response.report.lesions.lesion_table import LesionPicture

PICTURED = ("pixelwise", 0)
"""The map beside each lesion: what speaks for non-response, the finding that a clinic looks for."""
BRAIN_VALUE = 0.45
"""The grey of white matter, as in ``train.json``."""
COARSER = 1 + 1e-3
Key = tuple[str, str]
"""(subject, lesion)."""


def lesion_pictures(dataset_dir: Path, views: Sequence[LesionView]) -> dict[Key, LesionPicture]:
    """A thumbnail of every lesion of the data set at MRI 1.

    Args:
        dataset_dir: a prepared data set.
        views: of the lesions that a network has mapped; may be empty.

    Raises:
        DataProblem: a volume of the data set cannot be read.
    """
    slices: dict[Key, tuple[NDArray, NDArray, NDArray | None, float]] = {
        (view.subject, view.lesion): (view.image, view.mask, view.cams[PICTURED], view.pixel_mm) for view in views
    }
    unmapped = [entry for entry in load_datalist(dataset_dir) if (entry["subject"], entry["lesion"]) not in slices]
    for key, patch in _patches(unmapped).items():
        slices[key] = (patch.image, patch.mask, None, patch.pixel)
    finest = min((pixel for _, _, _, pixel in slices.values()), default=0.0)
    return {
        key: LesionPicture(
            lesion_thumbnail(image, mask, cam), cam is not None, pixel > finest * COARSER, int(cell_mask(mask).sum())
        )
        for key, (image, mask, cam, pixel) in slices.items()
    }


def _patches(entries: Sequence[Mapping[str, Any]]) -> dict[Key, SlicePatch]:
    """Each lesion's largest slice, cut and scaled as the transforms of ``train.json`` do.

    Args:
        entries: of the data list.
    """
    of_image: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        of_image.setdefault(entry["image"], []).append(entry)
    patches = {}
    for path, lesions in of_image.items():
        where = f"{lesions[0]['subject']} {lesions[0]['session']}"
        volume = read_volume(Path(path), where)
        image = np.asarray(volume.array, dtype=np.float32)
        low, high = brain_range(image, case=where)
        scaled = ((image - low) * (BRAIN_VALUE / (high - low))).clip(0, 1)
        plane = axial_plane(volume.affine)
        for entry in lesions:
            voxels = voxel_indices(read_volume(Path(entry["mask"]), f"{where} {entry['lesion']}").array)
            patch = cut_slice_patch(scaled, voxels, volume.affine, plane, largest_slice(voxels, plane))
            patches[entry["subject"], entry["lesion"]] = patch
    return patches
