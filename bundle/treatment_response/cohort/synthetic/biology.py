"""The label model: how the burden of resistant niche decides a lesion's volume change.

    log(V3 / V1) = intercept + slope · burden + noise,    response = (V3 / V1 < 0.8)

The noise has two parts: biology, and the contouring error of both sessions. Together their standard deviation is
``SIGMA`` for every lesion size, so size carries nothing about the label and P(response | x) has a closed form. Nothing
here was chosen by looking at how a network scores; ``ceilings.py`` computes what these constants allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm

RESPONSE_RATIO = 0.8
SLOPE = 2.2
SIGMA = 0.26
CONTOUR_SD_MM = 0.1
BURDEN_BETA = (0.55, 0.75)
BURDEN_RANGE = (0.02, 0.90)
LOG_RATIO_RANGE = (-3.0, 0.9)
EARLY_SHARE = 0.4
EARLY_SD = 0.06
DOSE_SLOPE_PER_GY = 0.0


@dataclass(frozen=True)
class Biology:
    """The label model of one cohort.

    Attributes:
        intercept: mean log volume ratio at burden 0, calibrated to the wanted share of non-response.
        dose_slope: change of the log volume ratio per Gy of prescription above 16.5 Gy; 0 by default.
    """

    intercept: float
    dose_slope: float = DOSE_SLOPE_PER_GY

    def mean_log_ratio(self, burden: np.ndarray | float, prescription_gy: float = 16.5) -> np.ndarray:
        """Expected log(V3 / V1) of lesions with this burden (0 to 1)."""
        return self.intercept + SLOPE * np.asarray(burden) + self.dose_slope * (prescription_gy - 16.5)

    def p_response(self, burden: np.ndarray | float, prescription_gy: float = 16.5) -> np.ndarray:
        """True P(response | x): ``Phi((log 0.8 − mean) / SIGMA)``, contouring error included."""
        return norm.cdf((np.log(RESPONSE_RATIO) - self.mean_log_ratio(burden, prescription_gy)) / SIGMA)


def contour_log_sd(radius_mm: np.ndarray | float) -> np.ndarray:
    """SD of log(V3 / V1) that the drawn contours add, by the delta method.

    A contour drawn ``d`` mm outside the surface changes log V by ``3 d / r``; the follow-up radius is taken where the
    label is decided, ``r · 0.8^(1/3)``.
    """
    return 3 * CONTOUR_SD_MM / np.asarray(radius_mm) * np.sqrt(1 + RESPONSE_RATIO ** (-2 / 3))


def biological_sd(radius_mm: np.ndarray | float) -> np.ndarray:
    """SD of the biological part of log(V3 / V1), so that both parts together have SD ``SIGMA``."""
    return np.sqrt(SIGMA**2 - contour_log_sd(radius_mm) ** 2)


def draw_burdens(rng: np.random.Generator, size: int) -> np.ndarray:
    """Burdens ``(size,)``: a beta distribution over ``BURDEN_RANGE``, one draw from each of ``size`` equal strata.

    Strata, shuffled, keep a small cohort's share of non-response near the wanted one.
    """
    strata = (rng.permutation(size) + rng.random(size)) / size
    return _burden_quantile(strata)


def _burden_quantile(share: np.ndarray) -> np.ndarray:
    low, high = BURDEN_RANGE
    return low + (high - low) * beta.ppf(share, *BURDEN_BETA)


def calibrate(non_response: float) -> Biology:
    """The label model whose expected share of non-response is ``non_response`` (between 0 and 1, both excluded)."""
    burdens = _burden_quantile((np.arange(4000) + 0.5) / 4000)

    def excess(intercept: float) -> float:
        return float(1 - Biology(intercept).p_response(burdens).mean() - non_response)

    return Biology(float(brentq(excess, -10, 10)))
