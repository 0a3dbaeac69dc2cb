"""Is a map like another one by more than the smoothness that both have? Correlation against turned and shifted maps.

Neighbouring cells resemble each other, so two unrelated smooth maps correlate by far more than cells drawn one by one
would. A turned, mirrored or shifted map keeps that smoothness and loses the place.

Most things in a region rise or fall towards its rim, and two that do are alike whatever else they show. A turn keeps
that trend only in a round region, so it is taken out first: what is compared with the turned maps is the correlation of
what the depth below the outline (linear, squared, as a rank) does not explain of the ranks, a partial Spearman
correlation. Of simulated unrelated maps in irregular regions 3 to 9 % reach p ≤ 0.05, however steep a trend both
follow; where a dozen cells hold a map much smoother than that, 12 to 13 %. Shifts leave the trend in: with a steep one
nearly all unrelated pairs lie beyond 1.96 SDs, without one 0 to 7 % (``benchmarks/spatial_null.py``). Both are given, p
only for turning.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from treatment_response.explain.cells import spearman_between, standardised

TURN_DEGREES = 15.0
SHORTEST_SHIFT, LEAST_OVERLAP, FEWEST_SHIFTS = 2, 0.5, 8
"""Shifts go from 2 cells on, as long as half of the region's cells stay over the region; fewer than 8 are no null."""
MOST_SHIFTS = 1000
"""Of more shifts, as volumes have them, every second, third, … is taken; a slice of 16 × 16 cells has fewer."""


@dataclass(frozen=True)
class NullTest:
    """M maps against R features in one region, each ``(M, R)``.

    Attributes:
        rho: Spearman's correlation over the region's cells.
        z_turned: the correlation beyond depth, in SDs of the turned and mirrored maps' from their mean; chance is 0. It
            asks for more than "both at the rim".
        p_turned: two-sided: share of the null's values, and the map's own, that lie at least as far from their mean.
        z_shifted: `rho` in SDs of shifted maps'; a common trend from rim to centre counts here. NaN in a region too
            small for shifts.
    """

    rho: np.ndarray
    z_turned: np.ndarray
    p_turned: np.ndarray
    z_shifted: np.ndarray


class SpatialNull:
    """The turned, mirrored and shifted maps of one region, 2D or 3D; a volume is turned in each plane of two axes.

    Args:
        inside: ``(*cells)`` bool, the region's cells; C of them, in row-major order.
    """

    def __init__(self, inside: np.ndarray) -> None:
        cells = np.argwhere(inside)
        depth = distance_transform_edt(np.pad(inside, 1))[(slice(1, -1),) * inside.ndim][inside]
        trend = np.stack([np.ones_like(depth), depth, depth**2, rankdata(depth)], axis=1)
        self._trend, self._inverse_trend = trend, np.linalg.pinv(trend)
        tree = cKDTree(cells)
        centred = cells - cells.mean(axis=0)
        sources = []
        mirror = np.diag([1.0] * (inside.ndim - 1) + [-1.0])
        for mirrored, plane in product((False, True), combinations(range(inside.ndim), 2)):
            for degrees in np.arange(0.0, 360.0, TURN_DEGREES):
                if not mirrored and degrees == 0:
                    continue
                angle = np.deg2rad(degrees)
                turn = np.eye(inside.ndim)
                turn[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
                if mirrored:
                    turn = turn @ mirror
                # A point that comes from beside the region takes the region's nearest cell.
                sources.append(tree.query(centred @ turn.T + cells.mean(axis=0))[1])
        # In a region of few cells a small turn moves none; the map itself is no null, so every arrangement counts once.
        itself = tuple(range(len(cells)))
        self.turned = np.array([turn for turn in dict.fromkeys(map(tuple, sources)) if turn != itself], dtype=int)
        self.shifts = _shifts(cells, inside)

    def _beyond_depth(self, rows: np.ndarray) -> np.ndarray:
        """Of the ranks of maps ``(M, C)`` what the depth does not explain."""
        ranks: np.ndarray = rankdata(rows, axis=-1)
        rest: np.ndarray = ranks - (ranks @ self._trend) @ self._inverse_trend
        return rest

    def test(self, maps: np.ndarray, features: np.ndarray) -> NullTest:
        """Correlate maps with features.

        Args:
            maps: ``(M, C)``. features: ``(R, C)``, finite.

        Returns:
            A map that is the same everywhere has rho 0, z 0 and p 1; one that is its depth alone has z 0 and p 1.
        """
        rho = spearman_between(maps, features)
        left, of_features = (standardised(self._beyond_depth(rows)) for rows in (maps, features))
        beyond = left @ of_features.T
        turned = standardised(left[:, self.turned]) @ of_features.T  # (M, turns, R)
        middle = turned.mean(axis=1)
        far = np.abs(turned - middle[:, None]) >= np.abs(beyond - middle)[:, None] - 1e-12
        p = (1 + far.sum(axis=1)) / (1 + turned.shape[1])
        if len(self.shifts) < FEWEST_SHIFTS:
            return NullTest(rho, _z(beyond, turned), p, np.full_like(rho, np.nan))
        shifted = np.stack([spearman_between(maps[:, a], features[:, b]) for a, b in self.shifts], axis=1)
        return NullTest(rho, _z(beyond, turned), p, _z(rho, shifted))


def _shifts(cells: np.ndarray, inside: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each shift, which cells of the map come to lie on which cells of the region (C indices each)."""
    index = np.full(inside.shape, -1)
    index[inside] = np.arange(len(cells))
    # How many cells stay over the region, for every shift at once.
    there = inside.astype(float)
    overlap = np.rint(fftconvolve(there, there[(slice(None, None, -1),) * inside.ndim]))
    shifts = np.argwhere(overlap >= LEAST_OVERLAP * len(cells)) - (np.array(inside.shape) - 1)
    shifts = shifts[np.abs(shifts).max(axis=1) >= SHORTEST_SHIFT]
    result = []
    for shift in shifts[:: max(1, -(-len(shifts) // MOST_SHIFTS))]:
        target = cells + shift
        source = np.flatnonzero(((target >= 0) & (target < inside.shape)).all(axis=1))
        landed = index[tuple(target[source].T)]
        result.append((source[landed >= 0], landed[landed >= 0]))
    return result


def _z(rho: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Correlations ``(M, R)`` in SDs of the null ``(M, null, R)`` from its mean; 0 where the null does not vary."""
    spread = null.std(axis=1)
    result: np.ndarray = np.divide(rho - null.mean(axis=1), spread, out=np.zeros_like(rho), where=spread > 1e-9)
    return result
