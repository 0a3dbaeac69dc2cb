"""Features already measured, kept by the hash of all that they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treatment_response.files import make_folder, write_whole


class FeatureCache:
    """One JSON file per lesion, session and feature group, named by a hash; it holds no id of a patient.

    Args:
        folder: where the files are; made if it is missing.

    Raises:
        DataProblem: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder, "feature cache")

    def get(self, key: str, names: Sequence[str]) -> dict[str, float] | None:
        """The values of ``names``; None if they are not there, or the file is cut off or is something else."""
        try:
            content = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            return {name: float("nan") if content[name] is None else float(content[name]) for name in names}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, values: Mapping[str, float]) -> None:
        """Keep values, exact to the last bit; a reader sees the whole file or none."""
        content = {name: None if value != value else value for name, value in values.items()}
        write_whole(self.folder / f"{key}.json", json.dumps(content, allow_nan=False))


def hash_of(*files: Path, **facts: Any) -> str:
    """SHA-256 of the files' bytes, in their order, and of facts that JSON can say."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
