"""How a probability is put into a sentence; OHIF's panel writes it the same way."""

from __future__ import annotations

LEAST, MOST = 0.01, 0.99


def probability_text(probability: float) -> str:
    """In percent, and none is called certain: there is no 0 % and no 100 %."""
    if probability < LEAST:
        return f"< {100 * LEAST:.0f} %"
    return f"> {100 * MOST:.0f} %" if probability > MOST else f"{100 * probability:.1f} %"
