"""The MNI152 template that nilearn carries: a mean head without skull, its tissue maps and its brain mask.

Source: ICBM 152 nonlinear symmetric 2009a (Fonov et al., NeuroImage 2011), as nilearn delivers it, at 1 mm. The files
are found without importing nilearn, whose import costs seconds.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from treatment_response.geometry.volume import Volume
from treatment_response.problems import DataProblem, Problem

NAMES = ("t1", "gm", "wm", "brain")
_BRAIN_ABOVE = 0.2
"""Share of the largest T1 value, as in nilearn's `load_mni152_brain_mask`."""


@lru_cache(maxsize=len(NAMES))
def template(name: str) -> Volume:
    """One map of the template on its own grid, ``(197, 233, 189)`` voxels of 1 mm, in RAS mm of MNI space.

    The volume is shared between callers: its arrays are read-only.

    Args:
        name: ``t1`` (T1 of the brain alone, float32 0 to 1), ``gm`` and ``wm`` (share of grey and white matter,
            float32 0 to 1) or ``brain`` (uint8 mask, without holes: ventricles belong to it).

    Raises:
        ValueError: there is no such map.
        DataProblem: nilearn is not installed, or its file is not there.
    """
    if name not in NAMES:
        raise ValueError(f"'{name}' is no map of the template; choose one of {', '.join(NAMES)}")
    if name == "brain":
        whole = template("t1")
        array = ndimage.binary_fill_holes(whole.array > _BRAIN_ABOVE).astype(np.uint8)
        affine = whole.affine
    else:
        image = nibabel.load(_folder() / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        array = np.asarray(image.dataobj, dtype=np.float32) / 255.0
        affine = np.array(image.affine, dtype=np.float64)
    array.setflags(write=False)
    affine.setflags(write=False)
    return Volume(array, affine)


def _folder() -> Path:
    """Where nilearn keeps the files of the template."""
    package = find_spec("nilearn")
    places = list(package.submodule_search_locations or ()) if package else []
    folder = Path(places[0]) / "datasets" / "data" if places else None
    if folder is None or not (folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz").is_file():
        raise DataProblem(Problem("brain template", "the package nilearn is not installed", "install nilearn"))
    return folder
