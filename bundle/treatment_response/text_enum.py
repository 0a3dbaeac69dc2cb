"""Closed choices that are texts: what ``enum.StrEnum`` is from Python 3.11 on, for bundles that run on 3.10 too."""

from __future__ import annotations

from enum import Enum


class TextEnum(str, Enum):
    """An enumeration whose members are their values: equal to them, written like them, found by them."""

    __str__ = str.__str__
    __format__ = str.__format__
