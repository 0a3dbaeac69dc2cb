"""Is a map like another one by more than the smoothness that both have? Correlation against turned and shifted maps.

Neighbouring cells resemble each other, so two unrelated smooth maps correlate by far more than cells drawn one by one
would. A turned, mirrored or shifted map keeps that smoothness and loses the place.

Turning is the sound null: of unrelated smooth maps, 4 to 6 % reach p ≤ 0.05, also when both rise towards the rim, as
almost everything in a lesion does or falls. Shifting destroys that trend too and then finds 23 to 67 % of such pairs
beyond 1.96 SDs; without a trend it is cautious (1 to 3 %). Both are given, p only for turning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from treatment_response.explain.cells import spearman_between

TURN_DEGREES = 15.0
SHORTEST_SHIFT, LEAST_OVERLAP, FEWEST_SHIFTS = 2, 0.5, 8
"""Shifts go from 2 cells on, as long as half of the lesion's cells stay over the lesion; fewer than 8 are no null."""


@dataclass(frozen=True)
class NullTest:
    """M maps against R features in one lesion, each ``(M, R)``.

    Attributes:
        rho: Spearman's correlation over the lesion's cells.
        z_turned: `rho` in SDs of the turned and mirrored maps' from their mean; chance is 0. Keeps what both maps
            have in common as functions of the depth below the outline, so it asks for more than "both at the rim".
        p_turned: two-sided: share of the null's values, and `rho`, that lie at least as far from the null's mean.
        z_shifted: the same against shifted maps; a common trend from rim to centre counts here. NaN in a lesion too
            small for shifts.
    """

    rho: np.ndarray
    z_turned: np.ndarray
    p_turned: np.ndarray
    z_shifted: np.ndarray


class SpatialNull:
    """The turned, mirrored and shifted maps of one lesion.

    Args:
        inside: ``(H, W)`` bool, the lesion's cells; C of them, in row-major order.
    """

    def __init__(self, inside: np.ndarray) -> None:
        cells = np.argwhere(inside)
        tree = cKDTree(cells)
        centred = cells - cells.mean(axis=0)
        sources = []
        for mirrored in (False, True):
            for degrees in np.arange(0.0, 360.0, TURN_DEGREES):
                if not mirrored and degrees == 0:
                    continue
                angle = np.deg2rad(degrees)
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                if mirrored:
                    turn = turn @ np.diag([1.0, -1.0])
                # A point that comes from beside the lesion takes the lesion's nearest cell.
                sources.append(tree.query(centred @ turn.T + cells.mean(axis=0))[1])
        # In a lesion of few cells a small turn moves none; the map itself is no null, so every arrangement counts once.
        itself = tuple(range(len(cells)))
        self.turned = np.array([turn for turn in dict.fromkeys(map(tuple, sources)) if turn != itself], dtype=int)
        self.shifts = _shifts(cells, inside.shape)

    def test(self, maps: np.ndarray, features: np.ndarray) -> NullTest:
        """Correlate maps with features.

        Args:
            maps: ``(M, C)``. features: ``(R, C)``, finite.

        Returns:
            A map that is the same everywhere has rho 0, z 0 and p 1.
        """
        rho = spearman_between(maps, features)
        turned = spearman_between(maps[:, self.turned], features)  # (M, turns, R)
        middle = turned.mean(axis=1)
        far = np.abs(turned - middle[:, None]) >= np.abs(rho - middle)[:, None] - 1e-12
        p = (1 + far.sum(axis=1)) / (1 + turned.shape[1])
        if len(self.shifts) < FEWEST_SHIFTS:
            return NullTest(rho, _z(rho, turned), p, np.full_like(rho, np.nan))
        shifted = np.stack([spearman_between(maps[:, a], features[:, b]) for a, b in self.shifts], axis=1)
        return NullTest(rho, _z(rho, turned), p, _z(rho, shifted))


def _shifts(cells: np.ndarray, shape: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each shift, which cells of the map come to lie on which cells of the lesion (C indices each)."""
    index = np.full(shape, -1)
    index[tuple(cells.T)] = np.arange(len(cells))
    result = []
    reach = max(shape)
    for di in range(-reach, reach + 1):
        for dj in range(-reach, reach + 1):
            if max(abs(di), abs(dj)) < SHORTEST_SHIFT:
                continue
            target = cells + np.array([di, dj])
            valid = ((target >= 0) & (target < shape)).all(axis=1)
            source = np.flatnonzero(valid)
            landed = index[tuple(target[valid].T)]
            source, landed = source[landed >= 0], landed[landed >= 0]
            if len(source) >= LEAST_OVERLAP * len(cells):
                result.append((source, landed))
    return result


def _z(rho: np.ndarray, null: np.ndarray) -> np.ndarray:
    """`rho` ``(M, R)`` in SDs of the null ``(M, null, R)`` from its mean; 0 where the null does not vary."""
    spread = null.std(axis=1)
    result: np.ndarray = np.divide(rho - null.mean(axis=1), spread, out=np.zeros_like(rho), where=spread > 1e-9)
    return result
