"""How a probability is put into a sentence."""

from __future__ import annotations

LEAST, MOST = 0.01, 0.99


def probability_text(probability: float) -> str:
    """Two digits; since it is not calibrated, none is called certain: there is no 0.00 and no 1.00."""
    if probability < LEAST:
        return f"< {LEAST}"
    return f"> {MOST}" if probability > MOST else f"{probability:.2f}"
