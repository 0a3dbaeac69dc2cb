"""How often maps that have nothing to do with each other look related to the spatial null of the explanation scores.

Irregular lesions of a 16 × 16 cell grid hold two independent smooth random fields, to which the same trend with the
depth below the outline may be added. Per radius and smoothness (cells) and trend (SDs of the field): the share of pairs
with p ≤ 0.05 against turned maps, which should be near 0.05, and the share beyond 1.96 SDs of shifted maps.

    .venv/bin/python benchmarks/spatial_null.py [--pairs 300]
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from treatment_response.explain.spatial_null import SpatialNull

GRID = 16
RADII, SMOOTHNESS, TRENDS = (2, 3, 5, 7), (0.7, 2.5), (0, 1, 3)
WOBBLE, WAVES = 0.25, 3
"""Of the outline: SD of the amplitude of its first waves, shares of the radius before their mean is taken."""
FEWEST_CELLS = 6


def irregular_lesion(rng: np.random.Generator, radius: float) -> np.ndarray:
    """``(16, 16)`` bool: a disc whose outline waves, in the middle of the grid; at least 6 cells."""
    while True:
        rows, columns = np.mgrid[:GRID, :GRID] - (GRID - 1) / 2
        angle = np.arctan2(rows, columns)
        height, phase = rng.normal(scale=WOBBLE, size=WAVES), rng.uniform(0, 2 * np.pi, size=WAVES)
        waves = sum(height[k] * np.cos((k + 1) * angle + phase[k]) for k in range(WAVES)) / WAVES
        inside: np.ndarray = np.hypot(rows, columns) <= radius * (1 + waves)
        if inside.sum() >= FEWEST_CELLS:
            return inside


def smooth_field(rng: np.random.Generator, inside: np.ndarray, smoothness: float) -> np.ndarray:
    """``(C,)``, mean 0 and SD 1 over the lesion's cells."""
    field: np.ndarray = gaussian_filter(rng.normal(size=inside.shape), smoothness)[inside]
    return (field - field.mean()) / field.std()


def false_alarms(rng: np.random.Generator, radius: float, smoothness: float, trend: float, pairs: int) -> list[float]:
    """The two shares and the mean number of cells; a share of shifts that no lesion was large enough for is NaN."""
    turned, shifted, cells = [], [], []
    for _ in range(pairs):
        inside = irregular_lesion(rng, radius)
        depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1][inside]
        common = trend * (depth - depth.mean()) / max(depth.std(), 1e-9)
        one, other = (smooth_field(rng, inside, smoothness) - common for _ in range(2))
        test = SpatialNull(inside).test(one[None], other[None])
        turned.append(test.p_turned.item() <= 0.05)
        shifted.append(abs(test.z_shifted.item()))
        cells.append(inside.sum())
    large = [z > 1.96 for z in shifted if not math.isnan(z)]
    return [float(np.mean(cells)), float(np.mean(turned)), float(np.mean(large)) if large else math.nan]


def main() -> None:
    """Print a row per radius, smoothness and trend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="per row; the seed is 0")
    pairs = parser.parse_args().pairs
    if pairs < 1:
        parser.error("--pairs: at least 1")
    rng = np.random.default_rng(0)
    print("radius  smoothness  trend  cells  p ≤ 0.05 (turned)  beyond 1.96 SD (shifted)")
    for radius, smoothness, trend in itertools.product(RADII, SMOOTHNESS, TRENDS):
        cells, turned, shifted = false_alarms(rng, radius, smoothness, trend, pairs)
        print(f"{radius:6d} {smoothness:11.1f} {trend:6d} {cells:6.0f} {turned:18.3f} {shifted:25.3f}", flush=True)


if __name__ == "__main__":
    main()
