"""Regions: where in a network's input a map may speak, as a configuration names it.

A region is a callable ``(x) → (B, 1, *grid)``, 0 or 1, of the network's input ``x (B, C, *grid)`` in 2D or 3D.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

Region = Callable[[torch.Tensor], torch.Tensor]


class Everywhere:
    """The whole input."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(x[:, :1])


class MaskChannel:
    """Where a channel that is a mask is above 0: an outline that the network gets beside the image.

    Args:
        channel: its number.
    """

    def __init__(self, channel: int = 1) -> None:
        self.channel = channel

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, [self.channel]] > 0).to(x.dtype)


class NonZero:
    """Where any of some channels is not 0: the brain of images whose background was set to 0.

    Args:
        channels: their numbers; all by default.
    """

    def __init__(self, channels: list[int] | None = None) -> None:
        self.channels = channels

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        chosen = x if self.channels is None else x[:, self.channels]
        return (chosen != 0).any(dim=1, keepdim=True).to(x.dtype)


def on_grid(region: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:
    """A region on a coarser grid, such as the cells of a layer: a cell belongs to it if any of its voxels does.

    Args:
        region: ``(B, 1, *fine)``. grid: sizes, along each axis at most those of `region`.
    """
    if tuple(region.shape[2:]) == tuple(grid):
        return region
    pool = functional.adaptive_max_pool2d if len(grid) == 2 else functional.adaptive_max_pool3d
    return pool(region, grid)
