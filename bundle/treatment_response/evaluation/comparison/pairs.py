"""Which pairs of methods people are shown, where there are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST = 30
"""Pairs in a table that people still read."""


def shown_pairs(entries: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """All pairs, or, of many, those with the method that others are compared with; and a sentence on the rest.

    Args:
        entries: of `case_statistics.differences`, whose first pairs are with that method.
    """
    if len(entries) <= MOST:
        return entries, []
    reference = entries[0]["minus"]
    shown = [entry for entry in entries if entry["minus"] == reference]
    return shown, [f"The other {len(entries) - len(shown)} pairs of methods are in table.json."]
