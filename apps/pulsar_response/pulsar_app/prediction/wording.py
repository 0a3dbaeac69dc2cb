"""How a probability is put into a sentence; OHIF's panel writes it the same way."""

from __future__ import annotations

from treatment_response.dicom.results.certainty import percent_text


def probability_text(probability: float) -> str:
    """In percent with one decimal; see `percent_text`."""
    return percent_text(probability, decimals=1)
