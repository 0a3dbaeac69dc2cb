"""How much a feature changes when the contour or the intensities change a little: its intraclass correlation (ICC)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from treatment_response.features.table import LESION_KEY


def icc_2_1(ratings: np.ndarray) -> np.ndarray:
    """ICC(2,1): two-way random effects, absolute agreement, a single measurement.

    Absolute agreement, because a model fitted to one contour meets values from another: a feature that all larger
    contours shift alike is not robust.

    Args:
        ratings: ``(lesions, perturbations, features)``; a lesion with a missing value does not count for that feature.

    Returns:
        ``(features,)``, at most 1; NaN where all values are equal or fewer than two lesions are complete.

    References:
        Shrout and Fleiss, Psychol Bull 86 (1979) 420.
    """
    complete = ~np.isnan(ratings).any(axis=1)
    values = np.where(complete[:, None, :], ratings, np.nan)
    n, k = complete.sum(axis=0).astype(float), ratings.shape[1]
    filled = np.where(complete[:, None, :], values, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        grand = filled.sum(axis=(0, 1)) / (n * k)
        centred = np.where(complete[:, None, :], filled - grand, 0.0)
        between_lesions = k * (centred.mean(axis=1) ** 2).sum(axis=0)
        between_raters = n * ((centred.sum(axis=0) / n) ** 2).sum(axis=0)
        residual = np.maximum((centred**2).sum(axis=(0, 1)) - between_lesions - between_raters, 0.0)
        bms, jms = between_lesions / (n - 1), between_raters / (k - 1)
        ems = residual / ((n - 1) * (k - 1))
        icc = (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n)
    result: np.ndarray = np.where(n >= 2, icc, np.nan)
    return result


def lesions_of(index: pd.Index) -> pd.MultiIndex:
    """The ``(subject, lesion)`` of every row."""
    return pd.MultiIndex.from_frame(index.to_frame(index=False)[LESION_KEY])


def icc_of_table(ratings: pd.DataFrame) -> pd.Series:
    """ICC(2,1) of every column.

    Args:
        ratings: index ``(subject, lesion, perturbation)``; a lesion without one of the perturbations counts as missing.
    """
    lesions = lesions_of(ratings.index).unique()
    perturbations = ratings.index.get_level_values("perturbation").unique()
    wanted = pd.MultiIndex.from_tuples([(*lesion, p) for lesion in lesions for p in perturbations])
    values = ratings.reorder_levels([*LESION_KEY, "perturbation"]).reindex(wanted).to_numpy(dtype=float)
    return pd.Series(icc_2_1(values.reshape(len(lesions), len(perturbations), -1)), index=ratings.columns, name="icc")
