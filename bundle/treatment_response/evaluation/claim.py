"""A folder of results says what it is made with, so that nothing made otherwise gets mixed in later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treatment_response.files import write_whole
from treatment_response.problems import DataProblem, Problem


def claim(record: Path, made: Mapping[str, Any]) -> None:
    """Write down what a folder is made with, or refuse a folder that was made otherwise.

    Args:
        record: a JSON file in the folder; both are made if needed.
        made: what decides the numbers. A value that is a mapping may gain keys later (a method more), and keeps those
            that are there already; any other value may not change. A mapping that the record lacks is taken as empty.

    Raises:
        DataProblem: the record says something else (the changed keys are named), or the folder cannot be used.
    """
    try:
        _claim(record, json.loads(json.dumps(made)))
    except OSError as error:
        what = f"the folder cannot be used ({error.strerror})"
        raise DataProblem(Problem("--out", what, "name another folder")) from None


def _claim(record: Path, now: dict[str, Any]) -> None:
    if record.is_file():
        before = _read(record)
        changed = [key for key in now if _differs(before, key, now[key])]
        if changed:
            what = f"the folder was made with another {', '.join(changed)}"
            raise DataProblem(Problem("--out", what, "name a new folder, or remove it"))
        now = {
            key: {**before.get(key, {}), **value} if isinstance(value, dict) else value for key, value in now.items()
        }
    write_whole(record, json.dumps(now, indent=1) + "\n")


def _differs(before: dict[str, Any], key: str, value: Any) -> bool:
    there = before.get(key, {})
    if isinstance(value, dict) and isinstance(there, dict):
        return any(name in there and there[name] != item for name, item in value.items())
    return key not in before or bool(before[key] != value)


def _read(record: Path) -> dict[str, Any]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    except ValueError:
        pass
    raise DataProblem(Problem("--out", f"{record.name} there cannot be read", "name a new folder, or remove it"))
