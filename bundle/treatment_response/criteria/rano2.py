"""RANO 2.0 with two diameters (Wen et al., J Clin Oncol 2023, doi 10.1200/JCO.23.01059).

What was checked against what: docs/explanation/response-criteria.md.
"""

from __future__ import annotations

from dataclasses import replace

from treatment_response.criteria.rules import Criteria

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
"""For tumour without enhancement, where RANO 2.0 knows a minor response."""
