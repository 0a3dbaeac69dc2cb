"""What a map must beat before it explains anything: maps that know no class, no training, or no network at all.

An untrained network and a label-shuffled network are controls too: pass them to
:func:`~treatment_response.explain.cam.explain_all` and :func:`class_free` in place of the trained one.
"""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, conv2d, pad

from treatment_response.networks.lesion_maps import shell_residual

HIGH_PASS_SIGMA = 1.5
"""Pixels (0.75 mm): finer structure than this is what the high-pass control responds to."""


def class_free(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """ΣA: the sum of the feature maps inside the mask ``(B, H, W)``; no class, no gradient."""
    with torch.no_grad():
        return (network.encode(x) * network.cell_mask(x)).sum(dim=1)


def high_pass_energy(x: torch.Tensor, cells: int = 16, sigma: float = HIGH_PASS_SIGMA) -> torch.Tensor:
    """Local energy of the image's fine structure inside the lesion; no network at all.

    The square of the image minus its Gaussian blur, averaged over the lesion's pixels of each cell.

    Args:
        x: ``(B, 2, S, S)``, image and mask; S a multiple of ``cells``.
        cells: cells along a side.
        sigma: of the Gaussian, in pixels.

    Returns:
        ``(B, cells, cells)``, 0 where a cell holds no pixel of the lesion.
    """
    image, mask = x[:, :1], x[:, 1:]
    radius = int(4 * sigma + 0.5)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device) / sigma) ** 2)
    taps = taps / taps.sum()
    padded = pad(image, (radius,) * 4, mode="reflect")
    blurred = conv2d(conv2d(padded, taps[None, None, :, None]), taps[None, None, None, :])
    side = x.shape[-1] // cells
    energy = avg_pool2d((image - blurred) ** 2 * mask, side)
    area = avg_pool2d(mask, side)
    return torch.where(area > 0, energy / area.clamp(min=1e-9), torch.zeros_like(energy))[:, 0]


def residual_energy(x: torch.Tensor, cells: int = 16) -> torch.Tensor:
    """Local energy of what rim and necrosis do not explain; no network at all, and a stronger control.

    From each pixel of the lesion the mean of its shell is taken away (`shell_residual`; what is left of a lesion made
    of shells is zero), and the square of the rest is averaged over each cell and its neighbours.

    Args:
        x: ``(B, 2, S, S)``, image and mask; S a multiple of ``cells``.
        cells: cells along a side.

    Returns:
        ``(B, cells, cells)``, 0 where a cell holds no pixel of the lesion.
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
    """Uniform random values in the lesion's cells ``(B, H, W)``.

    Args:
        cell_mask: ``(B, H, W)`` or ``(B, 1, H, W)``.
        generator: fixes the values.
    """
    mask = cell_mask if cell_mask.ndim == 3 else cell_mask[:, 0]
    return torch.rand(mask.shape, generator=generator, dtype=torch.float32).to(mask) * mask
