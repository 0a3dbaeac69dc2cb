"""Registrations that were found before, kept by the hash of all that they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from treatment_response.cases.registration import DEFAULT, Registration, RegistrationSettings, register
from treatment_response.files import make_folder, write_whole
from treatment_response.geometry import Volume

_METHOD = 1
"""Goes up when `register` gives other results with the same settings."""


def register_cached(
    folder: Path,
    fixed: Volume,
    moving: Volume,
    fixed_mask: Volume | None = None,
    moving_mask: Volume | None = None,
    settings: RegistrationSettings = DEFAULT,
) -> Registration:
    """What :func:`treatment_response.cases.registration.register` gives, from a file if it was asked before.

    A file is named by the hash of voxels, affines, masks, settings and the version of SimpleITK; it holds no id of a
    patient. One that is damaged is made again. Several processes and threads may write at once.

    Args:
        folder: where the files are; made if it is missing.

    Raises:
        DataProblem: the folder cannot be made or written to, or as of `register`.
    """
    make_folder(folder, "registration cache")
    path = folder / f"{_key(fixed, moving, fixed_mask, moving_mask, settings)}.json"
    if (kept := _read(path)) is not None:
        return kept
    result = register(fixed, moving, fixed_mask, moving_mask, settings)
    _keep(path, "registration", {**asdict(result), "matrix": result.matrix.tolist()})
    return result


def matrix_cached(
    folder: Path, settings: Sequence[Any], volumes: Sequence[Volume], make: Callable[[], np.ndarray]
) -> np.ndarray:
    """A ``(4, 4)`` transform of another kind, from a file if it was asked before.

    Args:
        folder: where the files are; made if it is missing.
        settings: plain values that it depends on. volumes: images that it depends on.
        make: finds it.

    Raises:
        DataProblem: the folder cannot be made or written to, or as of `make`.
    """
    make_folder(folder, "registration cache")
    digest = hashlib.sha256(json.dumps([sitk.Version.VersionString(), *settings]).encode())
    for volume in volumes:
        _add(digest, volume)
    path = folder / f"{digest.hexdigest()}.json"
    if (kept := _content(path, "transform")) is not None:
        try:
            return np.array(kept["matrix"], dtype=np.float64).reshape(4, 4)
        except (ValueError, KeyError, TypeError):
            pass
    matrix = make()
    _keep(path, "transform", {"matrix": matrix.tolist()})
    return matrix


def _key(
    fixed: Volume, moving: Volume, fixed_mask: Volume | None, moving_mask: Volume | None, settings: RegistrationSettings
) -> str:
    library = sitk.Version.VersionString()
    digest = hashlib.sha256(json.dumps([_METHOD, library, asdict(settings)], sort_keys=True).encode())
    for volume in (fixed, moving, fixed_mask, moving_mask):
        if volume is None:
            digest.update(b"none")
            continue
        _add(digest, volume)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, volume: Volume) -> None:
    digest.update(f"{volume.array.dtype.str} {volume.array.shape}".encode())
    digest.update(np.ascontiguousarray(volume.affine, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(volume.array).data)


def _keep(path: Path, kind: str, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps({kind: content, "sha256": _digest(content)}, allow_nan=False))


def _content(path: Path, kind: str) -> dict[str, Any] | None:
    """What `_keep` wrote; None if the file is not there, was cut off, changed, or is something else."""
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        content: dict[str, Any] = file[kind]
        return content if file["sha256"] == _digest(content) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> Registration | None:
    """The registration in a file; None where `_content` is, or if it is none."""
    if (content := _content(path, "registration")) is None:
        return None
    try:
        matrix = np.array(content["matrix"], dtype=np.float64).reshape(4, 4)
        return Registration(**{**content, "matrix": matrix, "doubts": tuple(content["doubts"])})
    except (ValueError, KeyError, TypeError):
        return None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
