"""The brain of the request's own image, found once and kept."""

from __future__ import annotations

from treatment_response.cases.brain_mask import HD_BET
from treatment_response.cases.brain_mask_cache import brain_mask_cached
from treatment_response.progress import tell

from pulsar_app.studies.search import FoundInput, Search


def brain_of_this_series(search: Search) -> FoundInput:
    """Mask of the brain on the grid of the image that the request names.

    Raises:
        DataProblem: the image shows no head that fits the brain template.
    """
    tell("finding the brain", 0)
    found = brain_mask_cached(search.cache, search.image.volume)
    by = "by HD-BET" if found.method == HD_BET else "by the brain template"
    return FoundInput(found.mask, f"brain {by}", tuple(f"The brain is doubtful: {doubt}." for doubt in found.doubts))
