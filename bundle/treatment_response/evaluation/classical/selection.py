"""Steps that leave out columns of a feature table; what they leave out is decided on the rows that they were fitted to.

Every step takes and gives a data frame, so that names and lesions stay with the values, and every step may end with no
column at all: the classifier behind it then answers with the training lesions' prevalence (`platt`).
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from treatment_response.features.robustness import icc_of_table, lesions_of
from treatment_response.features.table import LESION_KEY
from treatment_response.problems import DataProblem, Problem

RELEVANT = 0.2
"""No feature is taken with less than this share of the best one's F statistic or coefficient: it would add noise."""
CONSTANT = 1e-9
"""A standard deviation below this share of a column's largest value is rounding."""
FEWEST_FOR_ICC = 5
"""With fewer training lesions an ICC says nothing, and no feature is left out for it."""


class ColumnFilter(TransformerMixin, BaseEstimator):
    """Keeps some columns of a data frame.

    Attributes:
        kept_: the columns that are kept, in the frame's order.
        note_: what a reader must know of this fit; empty if nothing.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Decide on the columns from these rows only."""
        self.note_ = ""
        kept = set(self._keep(as_frame(X), None if y is None else np.asarray(y)))
        self.kept_ = [column for column in X.columns if column in kept]
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The kept columns.

        Raises:
            DataProblem: one of them is missing.
        """
        missing = [name for name in self.kept_ if name not in as_frame(X).columns]
        if missing:
            what = f"{missing[0]} was there in training and is missing now"
            raise DataProblem(Problem("features", what, "measure the same features for every lesion"))
        return X[self.kept_]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The kept columns' names."""
        return np.array(self.kept_, dtype=object)

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        raise NotImplementedError


class MedianFill(ColumnFilter):
    """Fills gaps with the training median; a column known for fewer than ``share`` of the lesions is left out."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        self.medians_ = X.median()
        known = X.notna().mean()
        return list(X.columns[(known >= self.share) & (known > 0)])

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The kept columns without missing values."""
        values, medians = super().transform(X).to_numpy(dtype=float), self.medians_[self.kept_].to_numpy()
        return pd.DataFrame(np.where(np.isnan(values), medians, values), X.index, self.kept_)


class VarianceFilter(ColumnFilter):
    """Leaves out columns that are constant over the training lesions."""

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        return list(X.columns[X.std(ddof=0) > CONSTANT * X.abs().max()])


class RobustnessFilter(ColumnFilter):
    """Leaves out features that change when the contour or the intensities change a little.

    Args:
        ratings: values under each perturbation, from `features.robustness.perturbed_features`; the ICC is that of the
            lesions fitted to, so held-out lesions do not enter. A column that was not rated (size, clinical) is kept.
        least: the lowest ICC(2,1) that stays; 0.75 is "good" in Koo and Li, J Chiropr Med 15 (2016) 155.
    """

    def __init__(self, ratings: pd.DataFrame, least: float = 0.75) -> None:
        self.ratings = ratings
        self.least = least

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        rated = [column for column in X.columns if column in self.ratings.columns]
        if not set(LESION_KEY) <= set(X.index.names):
            raise DataProblem(Problem("features", "the rows name no lesions", f"index them by {', '.join(LESION_KEY)}"))
        training = lesions_of(self.ratings.index).isin(lesions_of(X.index))
        rows = self.ratings.loc[training, rated]
        count = len(lesions_of(rows.index).unique())
        if count < FEWEST_FOR_ICC:
            self.note_ = f"robustness not judged: perturbed values of {count} training lesions"
            return list(X.columns)
        icc = icc_of_table(rows)
        return [column for column in X.columns if column not in icc.index or icc[column] >= self.least]


class CorrelationFilter(ColumnFilter):
    """Of columns that say the same (rank correlation above ``most``), keeps the first."""

    def __init__(self, most: float = 0.9) -> None:
        self.most = most

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        alike = rank_correlation(X.to_numpy()) > self.most
        kept: list[int] = []
        for column in range(X.shape[1]):
            if not alike[column, kept].any():
                kept.append(column)
        return list(X.columns[kept])


class MinRedundancyMaxRelevance(ColumnFilter):
    """mRMR: one by one, the feature with the largest F statistic over mean rank correlation with those chosen already.

    Args:
        count: how many to choose at most; at most one per five lesions (`affordable`), and none that is far less
            relevant than the best (``RELEVANT``).

    References:
        Ding and Peng, J Bioinform Comput Biol 3 (2005) 185: relevance by F, redundancy by correlation, as a quotient
        (FCQ in Zhao, Anand and Wang, IEEE DSAA 2019).
    """

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        assert y is not None
        return [X.columns[i] for i in mrmr_order(X.to_numpy(), y, affordable(self.count, len(X)))]


class L1Selection(ColumnFilter):
    """The features with the largest coefficients of an L1-regularised logistic regression on standardised values.

    If the penalty removes all of them, the one with the largest F statistic stays.

    Args:
        count: how many to choose at most; at most one per five lesions (`affordable`).
        strength: inverse of the penalty (scikit-learn's ``C``).
        seed: of the solver.
    """

    def __init__(self, count: int = 10, strength: float = 0.3, seed: int = 0) -> None:
        self.count = count
        self.strength = strength
        self.seed = seed

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        assert y is not None
        order = l1_order(X.to_numpy(), y, self.strength, self.seed)[: affordable(self.count, len(X))]
        return [X.columns[i] for i in (order or mrmr_order(X.to_numpy(), y, 1))]


def mrmr_order(X: np.ndarray, y: np.ndarray, count: int) -> list[int]:
    """Positions of the chosen columns, best first (`MinRedundancyMaxRelevance`)."""
    relevance = relevance_of(X, y)
    ranks = _unit_ranks(X)
    worthy = relevance >= RELEVANT * relevance.max()
    redundancy = np.zeros(X.shape[1])
    chosen: list[int] = []
    for _ in range(min(count, int(worthy.sum()))):
        # Uncorrelated features would divide by almost nothing and win whatever their relevance.
        score = relevance / np.maximum(redundancy / max(1, len(chosen)), 0.1) if chosen else relevance.copy()
        score[chosen] = -np.inf
        score[~worthy] = -np.inf
        best = int(np.argmax(score))
        chosen.append(best)
        redundancy += np.abs(ranks.T @ ranks[:, best])
    return chosen


def relevance_of(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """F statistic of each column's ranks between the classes; 0 for a constant column."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a column that is constant in a resample is 0 here
        found: np.ndarray = np.nan_to_num(f_classif(_unit_ranks(X), y)[0], posinf=1e12)
    return found


def l1_order(X: np.ndarray, y: np.ndarray, strength: float, seed: int) -> list[int]:
    """Positions of the columns that an L1 penalty leaves, largest coefficient first, down to ``RELEVANT`` of it."""
    model = LogisticRegression(
        l1_ratio=1.0, solver="liblinear", C=strength, class_weight="balanced", random_state=seed, max_iter=1000
    )
    size = np.abs(model.fit(StandardScaler().fit_transform(X), y).coef_[0])
    return [int(i) for i in np.argsort(-size, kind="stable") if size[i] > RELEVANT * size.max()]


def affordable(count: int, lesions: int) -> int:
    """How many features some lesions can carry: at most one per five, at least one."""
    return max(1, min(count, lesions // 5))


def rank_correlation(X: np.ndarray) -> np.ndarray:
    """Size of Spearman's correlation between all columns; no value may be missing or a column constant."""
    ranks = _unit_ranks(X)
    return np.abs(ranks.T @ ranks)


def _unit_ranks(X: np.ndarray) -> np.ndarray:
    ranks = rankdata(X, axis=0)
    ranks = ranks - ranks.mean(axis=0)
    length = np.linalg.norm(ranks, axis=0)
    return ranks / np.where(length > 0, length, 1.0)


def as_frame(X: Any) -> pd.DataFrame:
    """X itself.

    Raises:
        DataProblem: it is no data frame; the features' names would be lost.
    """
    if not isinstance(X, pd.DataFrame):
        what = "they came without names"
        raise DataProblem(Problem("features", what, "give a data frame, one column per feature"))
    return X
