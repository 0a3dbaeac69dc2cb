"""Paths in messages, without the names and ids of patients that folders and files are called by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from treatment_response.dicom.read_header import Header, text


class DiscreetPaths:
    """Writes paths relative to a folder, with the parts that hold a patient's name or id replaced.

    Args:
        root: the folder.
        headers: of all files, damaged ones too: the source of names and ids.
    """

    def __init__(self, root: Path, headers: Iterable[Header]) -> None:
        words: set[str] = set()
        for header in headers:
            words.add(header.patient_id.lower())
            words.update(part.lower() for part in re.split(r"[\^ ,=]+", text(header.dataset, "PatientName")))
        self._root, self._secrets = root, words - {""}

    def __call__(self, path: Path) -> str:
        """The path as messages write it."""
        return "/".join(self._part(part) for part in path.relative_to(self._root).parts) or "."

    def _part(self, part: str) -> str:
        low = part.lower()
        secret = any(low == word or Path(low).stem == word or (len(word) > 2 and word in low) for word in self._secrets)
        return "…" + Path(part).suffix if secret else part
