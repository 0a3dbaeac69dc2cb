"""RANO 2.0 with two diameters (Wen et al., J Clin Oncol 2023, doi 10.1200/JCO.23.01059).

What was checked against what: docs/explanation/response-criteria.md.
"""

from __future__ import annotations

from dataclasses import replace

from treatment_response.criteria.rules import CATEGORIES, CR, MR, NE, PD, PR, SD, Criteria

ENHANCING = Criteria(
    name="RANO 2.0",
    measure="product_mm2",
    words="the sum of products",
    unit="mm²",
    longest_mm=10.0,
    perpendicular_mm=10.0,
    most_targets=2,
    response=0.50,
    progression=0.25,
    confirm_within_days=84,
)
NON_ENHANCING = replace(ENHANCING, name="RANO 2.0, non-enhancing", minor=0.25)
MIXED_TARGETS = 3
"""Targets of a tumour with enhancing and non-enhancing parts, of both together."""


def mixed_category(enhancing: str, non_enhancing: str) -> str:
    """The category of a tumour with both parts, from the categories of each.

    PD of either is PD. A response of one with stable disease of the other is that response; CR with anything else is
    the other's category. Of PR and MR the lesser counts, which the publication leaves open.
    """
    both = (enhancing, non_enhancing)
    if PD in both:
        return PD
    if not all(one in CATEGORIES for one in both):
        return NE
    if CR in both:
        return both[1] if both[0] == CR else both[0]
    responses = [one for one in both if one in (PR, MR)]
    return max(responses, key=CATEGORIES.index) if responses else SD
