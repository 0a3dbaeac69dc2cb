"""Closed choices that are texts: what ``enum.StrEnum`` is from Python 3.11 on, for bundles that run on 3.10 too."""

from __future__ import annotations

from enum import Enum


class TextEnum(str, Enum):
    """An enumeration whose members are their values: equal to them, written like them, found by them."""

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)
