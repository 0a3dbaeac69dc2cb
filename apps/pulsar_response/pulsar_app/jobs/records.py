"""Records of jobs, which survive being stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Records:
    """One JSON object per line, appended as soon as it is known; a line cut off by a kill is passed over.

    Args:
        path: of the file; it and its folder are made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A leading line break: whatever a killed process left half-written stays a line of its own.
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(record))

    def read(self) -> list[dict[str, Any]]:
        """The records in the order they were added."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return [record for record in records if isinstance(record, dict)]
