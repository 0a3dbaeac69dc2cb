"""Where an explanation counts: inside a mask, inside the head, or everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional


class Region(Protocol):
    """From a network's input ``(B, C, *grid)`` to the region ``(B, 1, *grid)``, 0 or 1.

    Attributes:
        mask_channel: the channel of the input that is no image but the region's mask, if there is one.
    """

    @property
    def mask_channel(self) -> int | None: ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class MaskChannel:
    """The region lies in the input itself, as one of its channels: above 0 inside."""

    mask_channel: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, self.mask_channel, None] > 0).to(x.dtype)


@dataclass(frozen=True)
class Foreground:
    """Where any channel differs from the background, as inside the brain of a stripped image.

    Attributes:
        background: its value in every channel.
        channels: those that are looked at; all by default.
    """

    background: float = 0.0
    channels: Sequence[int] | None = None
    mask_channel: None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        chosen = x if self.channels is None else x[:, list(self.channels)]
        return (chosen != self.background).any(dim=1, keepdim=True).to(x.dtype)


@dataclass(frozen=True)
class NotAsCorner:
    """Where any channel differs clearly from its value in the grid's first corner, as inside a head.

    Whatever number the scaling made of the background, it is found. A channel of one value has no place inside.

    Attributes:
        share: of a channel's range, by which it must differ.
    """

    share: float = 0.1
    mask_channel: None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        places = tuple(range(2, x.ndim))
        corner = x[(..., *[slice(0, 1)] * (x.ndim - 2))]
        extent = x.amax(dim=places, keepdim=True) - x.amin(dim=places, keepdim=True)
        return ((x - corner).abs() > self.share * extent).any(dim=1, keepdim=True).to(x.dtype)


@dataclass(frozen=True)
class Everywhere:
    """The whole image."""

    mask_channel: None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(x[:, :1])


def on_grid(region: torch.Tensor, grid: tuple[int, ...]) -> torch.Tensor:
    """A region on a coarser grid, such as the cells of a layer: a cell belongs to it if any of its voxels does.

    Args:
        region: ``(B, 1, *fine)``. grid: sizes, along each axis at most those of `region`.
    """
    if tuple(region.shape[2:]) == tuple(grid):
        return region
    pool = functional.adaptive_max_pool2d if len(grid) == 2 else functional.adaptive_max_pool3d
    return pool(region, grid)


def flattened(x: torch.Tensor, region: Region) -> torch.Tensor:
    """The images with every place of the region set to the region's mean, channel by channel.

    What is taken away is structure and contrast inside the region; a region of that size, place and brightness stays.
    Black would be a hole that no network has seen, and would make every bright place evidence.

    Args:
        x: ``(B, C, *grid)``.

    Returns:
        The image channels, ``(B, I, *grid)``; outside the region they are as they were.
    """
    images, mask = x[:, image_channels(x, region)], region(x)
    places = tuple(range(2, x.ndim))
    mean = (images * mask).sum(dim=places, keepdim=True) / mask.sum(dim=places, keepdim=True).clamp(min=1)
    return torch.where(mask > 0, mean, images)


def with_images(x: torch.Tensor, images: torch.Tensor, region: Region) -> torch.Tensor:
    """Inputs whose image channels are replaced, ``(R, C, *grid)``.

    Args:
        x: ``(R, C, *grid)`` or ``(1, C, *grid)``. images: ``(R, I, *grid)``.
    """
    result = x.expand(len(images), *x.shape[1:]).clone()
    result[:, image_channels(x, region)] = images
    return result


def image_channels(x: torch.Tensor, region: Region) -> list[int]:
    """The channels of an input that are images."""
    return [channel for channel in range(x.shape[1]) if channel != region.mask_channel]
