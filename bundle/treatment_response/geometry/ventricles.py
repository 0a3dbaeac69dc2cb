"""The fluid of the brain template: all of it, and the lateral ventricles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from treatment_response.geometry.template import template
from treatment_response.geometry.volume import Volume

_DEEP_MM = 20.0
"""Fluid nearer to the brain's surface than this lies in sulci."""
_PLACE_MM = (8.0, -5.0, 15.0)
"""A point between the bodies of the two ventricles; the component nearest to it is taken."""


@lru_cache(maxsize=1)
def template_fluid() -> Volume:
    """Mask of the voxels of the template's brain that are less than half grey or white matter, uint8; read-only.

    Raises:
        DataProblem: the template is not there, see `template`.
    """
    brain, tissue = template("brain"), template("gm").array + template("wm").array
    mask = ((brain.array > 0) & (tissue < 0.5)).astype(np.uint8)
    mask.setflags(write=False)
    return Volume(mask, brain.affine)


@lru_cache(maxsize=1)
def template_ventricles() -> Volume:
    """Mask of the lateral ventricles in MNI space, uint8 on the template's grid, about 18 ml; read-only.

    They are the fluid that lies deep in the brain, as far as it is connected.

    Raises:
        DataProblem: the template is not there, see `template`.
    """
    brain = template("brain")
    deep = (ndimage.distance_transform_edt(brain.array) > _DEEP_MM) & (template_fluid().array > 0)
    labels = ndimage.label(deep)[0]
    place = brain.to_index(np.array([_PLACE_MM]))[0]
    distance = np.linalg.norm(np.argwhere(deep) - place, axis=1)
    nearest = labels[deep][int(np.argmin(distance))]
    mask = (labels == nearest).astype(np.uint8)
    mask.setflags(write=False)
    return Volume(mask, brain.affine)
