"""Brain masks that were found before, kept by the hash of all that they depend on."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from treatment_response.cases.brain_mask import BrainMask, TemplateFit, brain_mask
from treatment_response.cases.hd_bet import hd_bet_is_installed
from treatment_response.files import make_folder, write_whole
from treatment_response.geometry import Volume

_METHOD = 1
"""Goes up when `brain_mask` gives other results for the same image."""


def brain_mask_cached(folder: Path, image: Volume) -> BrainMask:
    """What :func:`treatment_response.cases.brain_mask.brain_mask` gives, from a file if it was asked before.

    A file is named by the hash of voxels, affine, method and the version of SimpleITK; it holds no id of a patient. One
    that is damaged is made again.

    Args:
        folder: where the files are; made if it is missing.

    Raises:
        DataProblem: the folder cannot be made or written to, or as of `brain_mask`.
    """
    make_folder(folder, "cache of brain masks")
    path = folder / f"{_key(image)}.npz"
    if (kept := _read(path, image)) is not None:
        return kept
    found = brain_mask(image)
    facts = {"method": found.method, "doubts": found.doubts, "seen": found.fit.seen, "fit_doubts": found.fit.doubts}
    buffer = io.BytesIO()
    bits = np.packbits(found.mask.array > 0)
    np.savez_compressed(buffer, bits=bits, matrix=found.fit.to_template, facts=np.array(json.dumps(facts)))
    write_whole(path, buffer.getvalue())
    return found


def _key(image: Volume) -> str:
    settings = [_METHOD, hd_bet_is_installed(), sitk.Version.VersionString(), image.array.dtype.str, image.array.shape]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(np.ascontiguousarray(image.affine, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(image.array).data)
    return digest.hexdigest()


def _read(path: Path, image: Volume) -> BrainMask | None:
    """The mask in a file; None if the file is not there, was cut off, or is something else."""
    try:
        with np.load(path, allow_pickle=False) as content:  # a zip file, which checks its own sums
            mask = np.unpackbits(content["bits"], count=image.array.size).reshape(image.array.shape)
            matrix, facts = content["matrix"].reshape(4, 4), json.loads(str(content["facts"]))
            fit = TemplateFit(matrix, float(facts["seen"]), tuple(facts["fit_doubts"]))
            return BrainMask(Volume(mask, image.affine.copy()), facts["method"], fit, tuple(facts["doubts"]))
    except Exception:  # a damaged zip file fails in many ways
        return None
