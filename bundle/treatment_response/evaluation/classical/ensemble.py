"""The ensemble feature selection model: the features that each group's own selection agrees on, put together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from treatment_response.evaluation.classical.columns import group_of
from treatment_response.evaluation.classical.selection import (
    RELEVANT,
    ColumnFilter,
    affordable,
    l1_order,
    mrmr_order,
    relevance_of,
)

AGREED = 1 / 3
"""Features named less often do not enter, but for the most voted one."""


class EnsembleSelection(ColumnFilter):
    """Chooses within each group by the votes of two selectors on resampled training lesions, and joins the groups.

    In every resample (drawn with replacement within each class) mRMR and the L1 penalty each name their ``count`` best
    features of a group; a feature's votes are how often it was named. Each group sends its ``count`` most voted
    features. Of these the most voted make the model, as long as a third of the votes named them (``AGREED``) and they
    are not far less relevant than the best (``RELEVANT``): a group that knows nothing must not dilute one that does. At
    most one per five lesions (`affordable`); with equal votes the earlier column wins.

    Args:
        count: features of the model, and of each group before they are joined.
        resamples: how often the selectors vote. strength: of the L1 penalty. seed: of the resamples.

    Attributes:
        votes_: share of the votes of each column that got any, by name.

    References:
        Zhang et al., Cancers 16 (2024) 3425 (the EFS model of radiomics, dosiomics and delta features for
        PULSAR). Voting over resamples and selectors follows Saeys et al., ECML PKDD 2008, LNAI 5212, 313.
    """

    def __init__(self, count: int = 10, resamples: int = 10, strength: float = 0.3, seed: int = 0) -> None:
        self.count = count
        self.resamples = resamples
        self.strength = strength
        self.seed = seed

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        assert y is not None
        count = affordable(self.count, len(X))
        groups: dict[str, list[str]] = {}
        for column in X.columns:
            groups.setdefault(group_of(column), []).append(column)
        random = np.random.default_rng(self.seed)
        samples = [_resample(y, random) for _ in range(self.resamples)]
        voted = [self._votes(X[columns], y, samples, count) for columns in groups.values()]
        votes = pd.concat(voted) / (2 * self.resamples)
        self.votes_ = votes[votes > 0]
        relevance = relevance_of(X[self.votes_.index].to_numpy(), y)
        order = self.votes_[relevance >= RELEVANT * relevance.max()].sort_values(ascending=False, kind="stable")
        return list(order.index[: max(1, min(count, int((order >= AGREED).sum())))])

    def _votes(self, X: pd.DataFrame, y: np.ndarray, samples: list[np.ndarray], count: int) -> pd.Series:
        values, votes = X.to_numpy(), np.zeros(X.shape[1])
        for rows in samples:
            drawn, labels = values[rows], y[rows]
            votes[mrmr_order(drawn, labels, count)] += 1
            votes[l1_order(drawn, labels, self.strength, self.seed)[:count]] += 1
        return pd.Series(votes, index=X.columns).nlargest(count)


def _resample(y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    parts = [random.choice(np.flatnonzero(y == label), np.count_nonzero(y == label)) for label in np.unique(y)]
    return np.concatenate(parts)
