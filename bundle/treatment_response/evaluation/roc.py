"""The ROC curve with a band over resampled patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.cohort.splits import persons_of


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
    """Pointwise band of the ROC curve by resampling patients; resamples with one class are left out.

    Args:
        frame: one row per lesion with ``subject``, ``label`` and `score` (probability of response).
        positive: the class counted as the finding.
        n, seed, level: as in `patient_bootstrap`.
    """
    truth = (frame["label"] == positive).to_numpy()
    values = frame[score].to_numpy(dtype=float) * (1 if positive == 1 else -1)
    codes, patients = pd.factorize(persons_of(frame))
    counts = np.random.default_rng(seed).multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=n)
    grid = np.linspace(0, 1, 101)
    curves = [_curve(truth, values, row[codes].astype(float)) for row in counts]
    sampled = np.stack([np.interp(grid, fpr, tpr) for fpr, tpr in (c for c in curves if c is not None)])
    tail = (1 - level) / 2
    low, high = np.quantile(sampled, [tail, 1 - tail], axis=0)
    whole = _curve(truth, values, np.ones(len(frame)))
    if whole is None:
        raise ValueError("an ROC curve needs lesions of both classes; this role holds one")
    return RocBand(*whole, grid, low, high)


def _curve(truth: NDArray, values: NDArray, weights: NDArray) -> tuple[NDArray, NDArray] | None:
    """Corners of the weighted ROC curve from (0, 0) to (1, 1), or None if one class has no weight."""
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])
    tp = np.cumsum(weights[order] * truth[order])[ends]
    fp = np.cumsum(weights[order] * ~truth[order])[ends]
    if tp[-1] == 0 or fp[-1] == 0:
        return None
    return np.r_[0.0, fp / fp[-1]], np.r_[0.0, tp / tp[-1]]
