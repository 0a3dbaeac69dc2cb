"""The files of fold models: they lie beside a single network's ``model.pt``, and its ``model.json`` names them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from treatment_response.certainty import MOST_FOLDS
from treatment_response.files import read_at_most, write_whole
from treatment_response.problems import DataProblem, Problem

_FILE = re.compile(r"\w[\w-]{0,99}\.pt", re.ASCII)
"""A name in the same folder."""


def write_fold_model(path: Path, number: int, weights: bytes) -> dict[str, str]:
    """Write a fold model as ``model_fold_0.pt``, or by its SHA-256 too where another one has that name.

    Args:
        path: of the single network's ``model.pt``. number: of the fold. weights: the file's bytes.

    Returns:
        Its entry in ``model.json``.
    """
    sha256 = hashlib.sha256(weights).hexdigest()
    file = path.with_name(f"{path.stem}_fold_{number}.pt")
    if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        file = path.with_name(f"{path.stem}_fold_{number}_{sha256[:12]}.pt")
    write_whole(file, weights)
    return {"file": file.name, "sha256": sha256}


def fold_models_of(content: dict[str, Any], path: Path, name: str, where: str) -> dict[str, bytes]:
    """The bytes of the fold models that a description names, by their files' names.

    Args:
        content: of the ``model.json``. path: of the ``model.pt`` that it belongs to. name: of the description.
        where: what the user should look at if something is wrong.

    Raises:
        DataProblem: the entries are wrong, or a file is missing or another one.
    """
    listed = content.get("fold_models", [])
    if not isinstance(listed, list) or len(listed) > MOST_FOLDS or not all(map(_is_entry, listed)):
        what = f"{name}: its fold_models are not up to {MOST_FOLDS} files of its folder, each with its SHA-256"
        raise DataProblem(Problem(where, what, f"take the {name} that was written with {path.name}"))
    remedy = f"copy {path.name}, {name} and the fold models together"
    files: dict[str, bytes] = {}
    for entry in listed:
        file = path.with_name(entry["file"])
        if file.name in files:
            raise DataProblem(Problem(where, f"{name} names the fold model {file.name} twice", remedy))
        if not file.is_file():
            raise DataProblem(Problem(where, f"the fold model {file.name} is not beside {path.name}", remedy))
        files[file.name] = read_at_most(file, where, 2 * path.stat().st_size)  # it is of the same network
        if hashlib.sha256(files[file.name]).hexdigest() != entry["sha256"]:
            what = f"{file.name} is not the fold model that {name} names (their SHA-256 differs)"
            raise DataProblem(Problem(where, what, remedy))
    return files


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"file", "sha256"}:
        return False
    return all(isinstance(value, str) for value in entry.values()) and bool(_FILE.fullmatch(entry["file"]))
