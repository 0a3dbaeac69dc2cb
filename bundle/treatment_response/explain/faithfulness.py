"""Does the network use what a map shows? Cells are removed from the image in the map's order and the score is watched.

A removed cell has its pixels inside the region set to the region's mean (`region.flattened`): what is taken away is the
structure and the contrast that a map speaks of, while a region of that size, place and brightness stays. Setting code
cells to zero would test the classifier alone and feed it codes that no image has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import trapezoid

from treatment_response.explain.cells import Cells, max_pooled, pixels_of
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.region import MaskChannel, Region, flattened, image_channels, with_images
from treatment_response.explain.target import ClassScore, Target, TargetClass

RANDOM_PAIRS = 8
"""Random orders of the cells, each with its reverse."""
TIE_PAIRS = 1
"""Orders of tied cells (with their reverse) that a map's score is averaged over."""
STEPS = 16
"""A curve has at most so many steps between the whole region and none of it."""
_BATCH, _BATCH_PIXELS = 32, 2**17
"""Images at a time, and their pixels: the inner maps of slices then stay in a processor's cache."""
_IN_MASK, _CLASS_1 = MaskChannel(1), ClassScore(1)


@dataclass(frozen=True)
class RemovalScores:
    """How well an order of cells is the network's own, for the score z of the target.

    Attributes:
        deletion: how much further z falls than in random order when the map's highest cells are removed first: the
            difference of the areas under the curves, in SDs of z over the random removals. 0 is chance.
        insertion: how much further z rises than in random order when the highest cells come first; same unit.
    """

    deletion: float
    insertion: float

    def reversed(self) -> RemovalScores:
        """Those of the reversed order, which passes through the same images."""
        return RemovalScores(-self.insertion, -self.deletion)

    def of(self, target: TargetClass) -> RemovalScores:
        """Those for a class's own score."""
        return RemovalScores(target.sign * self.deletion, target.sign * self.insertion)


class CellRemoval:
    """One case whose cells can be removed.

    Args:
        network: in evaluation mode.
        x: ``(C, *grid)``.
        cells: cells along each axis; the network's own (``cell_mask``) by default.
        target: the score z; by default that of class 1.
        region: only its pixels are removed, and only cells that hold some count.

    Attributes:
        inside: ``(*cells)`` bool, the region's cells; C of them, in row-major order.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        x: torch.Tensor,
        cells: Cells | None = None,
        target: Target = _CLASS_1,
        region: Region = _IN_MASK,
    ) -> None:
        self.network, self.target, self.region = network, target, region
        self.x = x[None]
        self.flat = flattened(self.x, region)
        with torch.no_grad():
            mask = network.cell_mask(self.x) if cells is None else max_pooled(region(self.x), cells)
        self.inside: torch.Tensor = mask[0, 0] > 0

    def scores(self, removed: torch.Tensor) -> torch.Tensor:
        """z of the case without some cells.

        Args:
            removed: ``(R, C)`` bool.

        Returns:
            ``(R,)``.
        """
        parts = []
        at_once = max(1, min(_BATCH, _BATCH_PIXELS // math.prod(self.x.shape[2:])))
        whole = self.x[:, image_channels(self.x, self.region)]
        for states in removed.split(at_once):
            grid = torch.zeros(len(states), *self.inside.shape, dtype=torch.bool, device=self.x.device)
            grid[:, self.inside] = states
            images = torch.where(pixels_of(grid, self.x.shape[2:])[:, None], self.flat, whole)
            with torch.no_grad():
                parts.append(self.target(self.network(with_images(self.x, images, self.region))))
        return torch.cat(parts)

    def curves(self, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z while cells are removed in given orders.

        Args:
            orders: ``(R, C)`` indices of cells, the first to be removed first.

        Returns:
            Shares removed ``(K,)`` from 0 to 1 and z ``(R, K)``.
        """
        count = orders.shape[1]
        removed = np.unique(np.round(np.linspace(0, count, STEPS + 1)).astype(int))
        position = np.argsort(orders, axis=1)
        states = torch.from_numpy(position[:, None, :] < removed[None, :, None])
        z = self.scores(states.reshape(-1, count)).double().numpy()
        return removed / count, z.reshape(len(orders), len(removed))


def single_cell_effects(
    network: torch.nn.Module,
    x: torch.Tensor,
    cells: Cells | None = None,
    target: Target = _CLASS_1,
    region: Region = _IN_MASK,
) -> torch.Tensor:
    """How much the score falls when each cell alone is removed: what a map of single cells should be.

    Args:
        network, cells, target, region: as in `CellRemoval`.
        x: one case ``(C, *grid)``.

    Returns:
        ``(*cells)``, signed, 0 outside the region; what captum's ``FeatureAblation`` gives for these cells.
    """
    with evaluating(network):
        removal = CellRemoval(network, x, cells, target, region)
        count = int(removal.inside.sum())
        z = removal.scores(torch.cat([torch.zeros(1, count, dtype=torch.bool), torch.eye(count, dtype=torch.bool)]))
    result = torch.zeros(removal.inside.shape, dtype=z.dtype)
    result[removal.inside] = z[0] - z[1:]
    return result


def single_code_effects(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """How much the logit of response falls when one cell's code alone is set to zero, the image untouched.

    This is what a CAM approximates to first order; `single_cell_effects` also holds what the encoder carries from a
    cell's pixels into its neighbours' codes.

    Args:
        network: with ``encode``, ``cell_mask`` and ``classify``.
        x: one case ``(2, S, S)``.

    Returns:
        ``(H, W)``, signed, 0 outside the region.
    """
    with evaluating(network), torch.no_grad():
        mask = network.cell_mask(x[None])
        code = network.encode(x[None]) * mask
        inside = mask[0, 0] > 0
        count = int(inside.sum())
        kept = torch.ones(count + 1, *inside.shape, dtype=code.dtype)
        kept[1:, inside] -= torch.eye(count, dtype=code.dtype)
        z = network.classify(code * kept[:, None])[:, 0]
    result = torch.zeros(inside.shape, dtype=z.dtype)
    result[inside] = z[0] - z[1:]
    return result


def removal_scores(
    network: torch.nn.Module,
    x: torch.Tensor,
    maps: Mapping[str, torch.Tensor],
    seed: int = 0,
    target: Target = _CLASS_1,
    region: Region = _IN_MASK,
) -> dict[str, RemovalScores]:
    """Score the order that each map gives to a region's cells.

    Deletion and insertion share one replacement, so inserting in the map's order passes through the same images as
    deleting in the reversed order; a reversed map therefore has minus the insertion as its deletion. Tied cells are
    ordered at random, forth and back; a map that is the same everywhere gets exactly the random orders, so 0.

    Args:
        network: any; it is used in evaluation mode.
        x: one case ``(C, *grid)``.
        maps: name → ``(*cells)``, all on the same cells; only the order of the region's cells matters.
        seed: of the random orders.
        target: the score z; by default that of class 1. region: as in `CellRemoval`.

    References:
        Petsiuk, Das, Saenko, RISE, 2018 (deletion and insertion; here relative to random orders, because the curves of
        two cases have no common scale).
    """
    rng = np.random.default_rng(seed)
    with evaluating(network):
        cells = tuple(next(iter(maps.values())).shape)
        removal = CellRemoval(network, x, cells, target, region)
        count = int(removal.inside.sum())
        forth = np.stack([rng.permutation(count) for _ in range(RANDOM_PAIRS)])
        chance = np.concatenate([forth, forth[:, ::-1]])
        orders = {name: _orders(one_map[removal.inside].numpy(), chance) for name, one_map in maps.items()}
        # Each order, then its reverse; the random orders hold theirs already.
        blocks = [chance, *(np.concatenate([order, order[:, ::-1]]) for order in orders.values())]
        share, z = removal.curves(np.concatenate(blocks))
    area = trapezoid(z, share, axis=1)
    spread = z[: len(chance)].std()
    random_area, start = area[: len(chance)].mean(), len(chance)
    result = {}
    for name, order in orders.items():
        middle, end = start + len(order), start + 2 * len(order)
        down, up = random_area - area[start:middle].mean(), area[middle:end].mean() - random_area
        start = end
        deletion, insertion = (down / spread, up / spread) if spread > 0 else (0.0, 0.0)
        result[name] = RemovalScores(float(deletion), float(insertion))
    return result


def _orders(value: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Cells from the highest value down, ``(R, C)``: ties in the order of some of the random orders."""
    levels = len(np.unique(value))
    if levels == 1:
        return chance
    half = len(chance) // 2
    ties = chance[:1] if levels == len(value) else np.concatenate([chance[:TIE_PAIRS], chance[half : half + TIE_PAIRS]])
    return np.stack([order[np.argsort(-value[order], kind="stable")] for order in ties])
