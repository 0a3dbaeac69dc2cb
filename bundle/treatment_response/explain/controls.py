"""What a map must beat before it explains anything: maps that know no class, no training, or no network at all.

An untrained network and a label-shuffled network are controls too: pass them to
:func:`~treatment_response.explain.cam.explain_all` and :func:`class_free` in place of the trained one.
"""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, conv1d, conv2d, conv3d, pad

from treatment_response.explain.cells import Cells, mean_pooled
from treatment_response.explain.gradients import captured_layer, evaluating
from treatment_response.explain.region import MaskChannel, Region, image_channels
from treatment_response.networks.lesion_maps import shell_residual

HIGH_PASS_SIGMA = 1.5
"""Pixels: finer structure than this is what the high-pass control responds to."""
_CONVOLUTION = {1: conv1d, 2: conv2d, 3: conv3d}
_IN_MASK = MaskChannel(1)


def class_free(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """ΣA: the sum of the feature maps inside the mask ``(B, H, W)``; no class, no gradient."""
    with torch.no_grad():
        return (network.encode(x) * network.cell_mask(x)).sum(dim=1)


def class_free_at(network: torch.nn.Module, layer: str, x: torch.Tensor) -> torch.Tensor:
    """ΣA at a named layer of any network, ``(B, *cells)``."""
    with evaluating(network), torch.no_grad(), captured_layer(network, layer) as outputs:
        network(x)
    return outputs[0].detach().sum(dim=1)


def high_pass_energy(
    x: torch.Tensor, cells: Cells = 16, sigma: float = HIGH_PASS_SIGMA, region: Region = _IN_MASK
) -> torch.Tensor:
    """Local energy of the image's fine structure inside the region; no network at all.

    The square of the image minus its Gaussian blur, averaged over the region's pixels of each cell, and over the
    image channels.

    Args:
        x: ``(B, C, *grid)``, 2D or 3D; the grid a multiple of ``cells``.
        cells: cells along every side, or along each one.
        sigma: of the Gaussian, in pixels.

    Returns:
        ``(B, *cells)``, 0 where a cell holds no pixel of the region.
    """
    images, mask = x[:, image_channels(x, region)], region(x)
    axes = x.ndim - 2
    radius = int(4 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device) / sigma) ** 2)
    taps = taps / taps.sum()
    blurred = pad(images.flatten(0, 1)[:, None], (radius,) * 2 * axes, mode="reflect")
    for axis in range(axes):
        kernel = taps.reshape(1, 1, *(-1 if axis == other else 1 for other in range(axes)))
        blurred = _CONVOLUTION[axes](blurred, kernel)
    energy = mean_pooled((images - blurred.reshape(images.shape)) ** 2 * mask, cells)
    area = mean_pooled(mask, cells)
    return torch.where(area > 0, energy / area.clamp(min=1e-9), torch.zeros_like(energy)).mean(dim=1)


def residual_energy(x: torch.Tensor, cells: int = 16) -> torch.Tensor:
    """Local energy of what rim and necrosis do not explain; no network at all, and a stronger control.

    From each pixel of the region the mean of its shell is taken away (`shell_residual`; what is left of a region made
    of shells is zero), and the square of the rest is averaged over each cell and its neighbours.

    Args:
        x: ``(B, 2, S, S)``, image and mask; S a multiple of ``cells``.
        cells: cells along a side.

    Returns:
        ``(B, cells, cells)``, 0 where a cell holds no pixel of the region.
    """
    mask = (x[:, 1:] > 0).to(x.dtype)
    residual = shell_residual(x[:, :1], mask)[:, 0]
    mask = mask[:, 0]
    side = x.shape[-1] // cells
    energy, area = (avg_pool2d(avg_pool2d(part, side), 3, stride=1, padding=1) for part in (residual**2, mask))
    inside = avg_pool2d(mask, side) > 0
    return torch.where(inside, energy / area.clamp(min=1e-9), torch.zeros_like(energy))


def oracle(niche: torch.Tensor) -> torch.Tensor:
    """The niche fraction itself: the best that a map on this grid of cells can do."""
    return niche.clone()


def random_map(cell_mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Uniform random values in the region's cells ``(B, *cells)``.

    Args:
        cell_mask: ``(B, *cells)`` or ``(B, 1, *cells)``.
        generator: fixes the values.
    """
    mask = cell_mask[:, 0] if cell_mask.ndim > 3 and cell_mask.shape[1] == 1 else cell_mask
    return torch.rand(mask.shape, generator=generator, dtype=torch.float32).to(mask) * mask
