"""What is known of a probability, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEAST, MOST = 0.01, 0.99
"""A probability beyond these is shown as beyond them."""


def certainty_text(lesion: Mapping[str, Any]) -> str:
    """Its conformal set, or that it is not calibrated.

    Args:
        lesion: as the server answers it; ``certainty`` holds ``calibrated``, ``level`` and ``set_text``, or is missing.
    """
    certainty = lesion.get("certainty")
    if not certainty or not certainty["calibrated"]:
        return "not calibrated"
    return f"calibrated; set at {100 * certainty['level']:.0f} %: {certainty['set_text']}"


def percent_text(probability: float, decimals: int = 0) -> str:
    """In percent, and none is called certain: there is no 0 % and no 100 %."""
    if probability < LEAST:
        return f"< {100 * LEAST:.0f} %"
    return f"> {100 * MOST:.0f} %" if probability > MOST else f"{100 * probability:.{decimals}f} %"
