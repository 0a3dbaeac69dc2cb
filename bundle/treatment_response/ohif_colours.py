"""OHIF's MONAI Label mode paints a label by its text alone, so the text has to be one that it paints as it is meant."""

from __future__ import annotations

from collections.abc import Iterable


def ohif_colour(name: str) -> tuple[int, int, int]:
    """The colour, RGB 0 to 255, in which OHIF's MONAI Label mode paints a label of this name."""
    number = 4 * len(name) + sum(map(ord, name))
    return 2 * number % 256, 3 * number % 256, 5 * number % 256


def text_of_colour(texts: Iterable[str], colour: tuple[int, int, int]) -> str:
    """The text that OHIF paints in the colour that is nearest to this one; of equal ones the shortest."""
    return min(texts, key=lambda text: (_distance(ohif_colour(text), colour), len(text)))


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
