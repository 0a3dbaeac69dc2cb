"""Doses of different fractionation on one scale: the equivalent dose in fractions of 2 Gy."""

from __future__ import annotations

import numpy as np

BRAIN_ALPHA_BETA_GY = 2.0
"""Of late effects in the brain, as usually assumed (QUANTEC; Lawrence et al., IJROBP 2010, used 2.9 Gy)."""


def equivalent_dose(
    dose_gy: np.ndarray | float, fractions: int, alpha_beta_gy: float = BRAIN_ALPHA_BETA_GY
) -> np.ndarray:
    """EQD2 = D (D / n + α/β) / (2 + α/β), voxel by voxel.

    Each voxel's own dose per fraction counts, so that twice the dose is more than twice the EQD2.

    Args:
        dose_gy: total dose D of one course, of any shape, ≥ 0.
        fractions: n, in which it was given, ≥ 1.
        alpha_beta_gy: α/β of the tissue, > 0.

    Returns:
        EQD2 in Gy, of the same shape, float32 where ``dose_gy`` is.

    Raises:
        ValueError: ``fractions`` or ``alpha_beta_gy`` is out of range.

    References:
        Withers, Thames and Peters, Radiother Oncol 1, 1983; Joiner and van der Kogel, Basic Clinical Radiobiology.
    """
    if fractions < 1 or not alpha_beta_gy > 0:
        raise ValueError(f"{fractions} fractions and α/β {alpha_beta_gy:g} Gy, expected at least 1 and above 0")
    dose = np.asarray(dose_gy)
    equivalent: np.ndarray = dose * (dose / fractions + alpha_beta_gy) / (2.0 + alpha_beta_gy)
    return equivalent
