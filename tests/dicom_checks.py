"""Programs of others that check and read what was written: dciodvfy and dcmqi."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from treatment_response.geometry import Volume, flip_lps_ras

ALLOWED = json.loads((Path(__file__).parent / "dciodvfy_allowed.json").read_text(encoding="utf-8"))
DCMQI = Path(sys.executable).parent

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)"
)
needs_plastimatch = pytest.mark.skipif(
    shutil.which("plastimatch") is None, reason="needs plastimatch (Debian package plastimatch)"
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run([str(part) for part in arguments], capture_output=True, text=True, check=False, timeout=60)


def save(dataset: Dataset, path: Path) -> Path:
    """Write an object as a DICOM file."""
    dataset.save_as(path, write_like_original=False)
    return path


def dciodvfy_errors(path: Path) -> set[str]:
    """What dciodvfy calls an error in a file, items of sequences not told apart.

    Raises:
        AssertionError: it could not read the file, or did not know what kind of object it is.
    """
    text = run("dciodvfy", "-new", path).stderr
    lines = [line.strip() for line in text.splitlines()]
    assert any(re.fullmatch(r"\w+", line) for line in lines), f"{path.name} was not recognised: {text[:300]}"
    return {re.sub(r"\[\d+\]", "", line) for line in lines if line.startswith("Error") or "Abort" in line}


def new_errors(written: Path, *sources: Path) -> list[str]:
    """Errors of an object beyond those of the images that it was made from and beyond the committed allow-list.

    Each entry of ``dciodvfy_allowed.json`` is ``{"error": <regular expression>, "reason": <why it may stay>}``.
    """
    known = set().union(*(dciodvfy_errors(path) for path in sources))
    allowed = [re.compile(entry["error"]) for entry in ALLOWED]
    found = dciodvfy_errors(written) - known
    return sorted(error for error in found if not any(pattern.search(error) for pattern in allowed))


def inconsistencies(paths: list[Path]) -> list[str]:
    """What dcentvfy finds: a patient, study or series of which two objects say different things."""
    done = run("dcentvfy", *paths)
    return (done.stdout + done.stderr).splitlines()


def volume_of(path: Path) -> Volume:
    """An image file as SimpleITK reads it, in RAS."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:3] = flip_lps_ras(affine[:3].T).T
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine)


def dcmqi_parametric_map(path: Path, folder: Path) -> tuple[Volume, dict]:
    """A Parametric Map as dcmqi reads it: values, and what it says of them."""
    folder.mkdir(parents=True)
    done = run(DCMQI / "paramap2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd")
    assert done.returncode == 0, done.stdout + done.stderr
    return volume_of(next(folder.glob("*.nrrd"))), json.loads(next(folder.glob("*.json")).read_text())


def dcmqi_segments(path: Path, folder: Path) -> tuple[dict[int, Volume], dict[int, dict]]:
    """A segmentation as dcmqi reads it: mask and description of each segment, by number."""
    folder.mkdir(parents=True)
    done = run(DCMQI / "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "-p", "s")
    assert done.returncode == 0, done.stdout + done.stderr
    meta = json.loads((folder / "s-meta.json").read_text())
    described = {item["labelID"]: item for group in meta["segmentAttributes"] for item in group}
    return {int(file.stem.split("-")[1]): volume_of(file) for file in folder.glob("s-*.nrrd")}, described


def assert_same_points(found: Volume, expected: Volume, tolerance_mm: float = 0.1) -> None:
    """The same values, not counting zeros, at the same millimetres, whatever grid they lie on."""
    here, there = np.argwhere(found.array != 0), np.argwhere(expected.array != 0)
    assert len(here) == len(there)
    if not len(here):
        return
    one, other = found.to_world(here), expected.to_world(there)
    distance = np.linalg.norm(one[:, None] - other[None], axis=2)
    match = distance.argmin(axis=1)
    assert len(set(match)) == len(match), "two voxels came back at one place"
    assert distance.min(axis=1).max() < tolerance_mm
    values = found.array[tuple(here.T)].astype(float), expected.array[tuple(there[match].T)].astype(float)
    np.testing.assert_allclose(*values, atol=1e-6)
