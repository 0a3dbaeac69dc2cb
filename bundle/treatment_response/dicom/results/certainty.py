"""What is known of a probability, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def certainty_text(lesion: Mapping[str, Any]) -> str:
    """Its conformal set, or that it is not calibrated.

    Args:
        lesion: as the server answers it; ``certainty`` holds ``calibrated``, ``level`` and ``set_text``, or is missing.
    """
    certainty = lesion.get("certainty")
    if not certainty or not certainty["calibrated"]:
        return "not calibrated"
    return f"calibrated; set at {100 * certainty['level']:.0f} %: {certainty['set_text']}"


def percent_text(probability: float) -> str:
    """In whole percent; none is called certain."""
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
