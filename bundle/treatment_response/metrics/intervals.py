"""The ends of an interval, from an estimate and its standard error: one rule for every number of the project.

Shares (AUC, sensitivity, …) get their ends on the logit scale and correlations on Fisher's z, with the standard error
taken on the number's own scale and carried over by the delta method. Percentile ends of a bootstrap are too short near
1: ``benchmarks/coverage.py`` measures both. Differences and scores without limits keep their own scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

_ROUNDING = 1e-9
"""An estimate as near to an end of its scale as this lies on it."""


@dataclass(frozen=True)
class Scale:
    """Where a number lies, and whether its interval is made on a bent scale.

    Attributes:
        low, high: the least and the largest value that it can have.
        bent: whether the ends are made on the logit of its place between `low` and `high`. For −1 to 1 that is twice
            Fisher's z, which gives the same ends as Fisher's z.
    """

    low: float
    high: float
    bent: bool


SHARE = Scale(0.0, 1.0, bent=True)
CORRELATION = Scale(-1.0, 1.0, bent=True)
UNLIMITED = Scale(-math.inf, math.inf, bent=False)


COVERED = (
    "A 95 % interval is for these fitted models and new patients like these. It leaves out how much other training "
    "patients would have changed the models: counting that, 84 to 90 % of intervals hold the truth (simulated)."
)
"""What is said wherever intervals stand."""


Ends = tuple[float | None, float | None]
"""Lower and upper end of an interval; None or NaN where it has none."""


@dataclass(frozen=True)
class Interval:
    """A number with its interval over resampled patients.

    Attributes:
        estimate: the number on all rows; low, high: the interval's ends at `level`, NaN where patients are too few.
        patients, n: resampled patients and their rows; resamples: how many gave the standard error.
        redrawn: resamples that were drawn again because the number was undefined there.
    """

    estimate: float
    low: float
    high: float
    level: float
    patients: int
    n: int
    resamples: int
    redrawn: int

    def __str__(self) -> str:
        if math.isnan(self.estimate):
            return "undefined"
        return f"{self.estimate:.3f} [{ends_text(self.low, self.high, '.3f')}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """The numbers for JSON: an undefined value is ``None``."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(self).items()}


def estimable(low: float | None, high: float | None) -> bool:
    """Whether an interval has two ends, and they differ.

    Where every resample gives the same number, both ends are that number: nothing is known of its spread, and the
    interval must not pass for a narrow one.
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return False
    return high - low > _ROUNDING * max(1.0, abs(low))


def ends_text(low: float | None, high: float | None, form: str = ".2f", between: str = ", ") -> str:
    """The ends of an interval in words, wherever one is shown: ``0.43, 0.71``, ``not estimable`` or ``no interval``.

    Args:
        form: of each number. between: what stands between them.
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "no interval"
    return f"{low:{form}}{between}{high:{form}}" if estimable(low, high) else "not estimable"


def side_of_zero(patients: Ends, *others: Ends) -> int:
    """1 or −1 where all intervals of a difference lie above or below 0; 0 where no order may be claimed.

    Args:
        patients: ends of the interval over patients, which must be estimable.
        others: further opinions; those that are not estimable do not count.
    """
    counted = [ends for ends in (patients, *others) if estimable(*ends)]
    if patients not in counted:
        return 0
    if all(low is not None and low > 0 for low, _ in counted):
        return 1
    return -1 if all(high is not None and high < 0 for _, high in counted) else 0


def interval_ends(
    estimate: ArrayLike, error: ArrayLike, patients: int, scale: Scale, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper end of the interval of one or more numbers.

    At an end of a bent scale (perfect separation) there is no spread to measure. The other end is then the one-sided
    exact bound of a share of which every patient is a success, ``((1 − level) / 2) ** (1 / patients)``.

    Args:
        estimate, error: of any one shape; the error on the estimate's own scale.
        patients: how many the number rests on; of two classes, those of the smaller one. Below 2 the error says
            nothing, and ends that rest on it are NaN.
        level: coverage aimed at, in (0, 1).
    """
    value, spread = np.asarray(estimate, dtype=float), np.asarray(error, dtype=float)
    reach = float(norm.ppf(0.5 + level / 2)) * (spread if patients > 1 else np.full_like(spread, np.nan))
    if not scale.bent:
        return np.clip(value - reach, scale.low, scale.high), np.clip(value + reach, scale.low, scale.high)
    width = scale.high - scale.low
    place = (value - scale.low) / width
    lowest, highest = place <= _ROUNDING, place >= 1 - _ROUNDING
    inner = np.where(lowest | highest, 0.5, place)
    bent_reach = reach / width / (inner * (1 - inner))
    bound = ((1 - level) / 2) ** (1 / max(patients, 1))
    low = np.where(highest, bound, np.where(lowest, 0.0, expit(logit(inner) - bent_reach)))
    high = np.where(lowest, 1 - bound, np.where(highest, 1.0, expit(logit(inner) + bent_reach)))
    return scale.low + width * low, scale.low + width * high
