"""The ROC curve with a band over resampled patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.cohort.splits import persons_of
from treatment_response.metrics.bootstrap import patient_strata, resample_weights
from treatment_response.metrics.intervals import SHARE, interval_ends


@dataclass(frozen=True)
class RocBand:
    """An ROC curve and its pointwise band.

    Attributes:
        fpr, tpr: the empirical curve's corners, each in [0, 1].
        grid: (G,) false-positive rates; low, high: (G,) the band's true-positive rates there.
    """

    fpr: NDArray
    tpr: NDArray
    grid: NDArray
    low: NDArray
    high: NDArray


def roc_band(
    frame: pd.DataFrame, positive: int = 1, score: str = "p_response", n: int = 1000, seed: int = 0, level: float = 0.95
) -> RocBand:
    """Pointwise band of the ROC curve from its standard errors over patients resampled within classes.

    A curve never falls, so a lower end holds at every larger false-positive rate too, and an upper end at every smaller
    one.

    Args:
        frame: one row per case with ``subject``, ``label`` and `score` (probability of response).
        positive: the class counted as the finding.
        n, seed, level: as in `patient_bootstrap`.

    Raises:
        ValueError: the cases are of one class.
    """
    truth = (frame["label"] == positive).to_numpy()
    if truth.all() or not truth.any():
        raise ValueError("an ROC curve needs cases of both classes; this role holds one")
    values = frame[score].to_numpy(dtype=float) * (1 if positive == 1 else -1)
    codes, _ = pd.factorize(persons_of(frame))
    weights = resample_weights(patient_strata(frame, codes), n, np.random.default_rng(seed))
    grid = np.linspace(0, 1, 101)
    sampled = np.stack([np.interp(grid, *_curve(truth, values, row[codes])) for row in weights])
    fpr, tpr = _curve(truth, values, np.ones(len(frame)))
    patients = min(len(set(codes[truth])), len(set(codes[~truth])))
    low, high = interval_ends(np.interp(grid, fpr, tpr), sampled.std(axis=0, ddof=1), patients, SHARE, level)
    return RocBand(fpr, tpr, grid, np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1])


def _curve(truth: NDArray, values: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Corners of the weighted ROC curve from (0, 0) to (1, 1)."""
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])
    tp = np.cumsum(weights[order] * truth[order])[ends]
    fp = np.cumsum(weights[order] * ~truth[order])[ends]
    return np.r_[0.0, fp / fp[-1]], np.r_[0.0, tp / tp[-1]]
