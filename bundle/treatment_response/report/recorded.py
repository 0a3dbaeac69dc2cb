"""Recorded settings in words; what was not recorded is said to be so, and no default takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treatment_response.report.shown import Row

UNKNOWN = "not recorded"


def said(value: Any) -> str:
    """A value, or “not recorded” for None."""
    return UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    """A share in per cent, with the decimals that it has: a threshold is not to be rounded."""
    return UNKNOWN if value is None else f"{round(100 * value, 6):g}%"


def inner(record: Any, *keys: str) -> Any:
    """What lies under nested keys, or None."""
    for key in keys:
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def flat(record: Any, prefix: str = "") -> str:
    """Nested settings in one line: names of groups before the values, ``grid step_mm 1, grid padding 40``."""
    if isinstance(record, Mapping):
        return ", ".join(flat(value, f"{prefix} {key}".strip()) for key, value in record.items())
    if isinstance(record, list | tuple):
        return f"{prefix} {' '.join(said(item) for item in record)}".strip()
    return f"{prefix} {said(record)}".strip()


def class_name(record: Any) -> str:
    """The last part of a recorded object's class."""
    return said(inner(record, "class")).rsplit(".", 1)[-1]


def scalars(record: Any) -> str:
    """An object's own settings that are no objects, in one line."""
    if not isinstance(record, Mapping):
        return UNKNOWN
    return flat({key: item for key, item in record.items() if key != "class" and not isinstance(item, Mapping)})


def flat_rows(content: Mapping[str, Any], prefix: str = "") -> list[Row]:
    """A nested mapping as (dotted name, value)."""
    rows: list[Row] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += flat_rows(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", str(value)))
    return rows
