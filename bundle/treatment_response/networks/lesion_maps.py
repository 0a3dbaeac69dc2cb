"""Fixed maps of a lesion slice: how much fine structure, and how dark against the lesion's brightest tissue.

Everything is measured on the *shell residual*: from each pixel of the GTV the mean of all its pixels equally deep below
the outline is taken away, so a bright rim and a necrotic core, which differ from lesion to lesion, leave nothing.
"""

from __future__ import annotations

import torch
from torch import nn

# TorchScript reads no module constants, so the few numbers below stand where they are used.


def shell_residual(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Image minus the mean of its shell, 0 outside the GTV.

    A shell holds the pixels that survive the same number of erosions by a 3×3 square.

    Args:
        image: ``(B, 1, S, S)``.
        mask: ``(B, 1, S, S)``, 0 or 1.
    """
    depth = torch.zeros_like(mask)
    left = mask
    while bool(left.any()):
        depth = depth + left
        left = -nn.functional.max_pool2d(nn.functional.pad(-left, [1, 1, 1, 1]), 3, 1)
    shell = depth.long().flatten(1)
    empty = torch.zeros(image.shape[0], int(depth.max()) + 1, dtype=image.dtype, device=image.device)
    area = empty.scatter_add(1, shell, mask.flatten(1))
    total = empty.scatter_add(1, shell, (image * mask).flatten(1))
    mean = (total / area.clamp(min=1.0)).gather(1, shell).view_as(image)
    return (image - mean) * mask


def mean_residual(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Image minus its mean over the GTV, 0 outside: what `shell_residual` is compared with."""
    mean = (image * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1.0)
    return (image - mean) * mask


def gaussian_matrix(size: int, sigma: float, order: int) -> torch.Tensor:
    """A Gaussian or its derivative along one axis as a banded ``(size, size)`` matrix, scale-normalised.

    ``matrix @ x`` filters the columns of ``x``, ``x @ matrix.T`` its rows; beyond the edge ``x`` is taken as 0.
    Matrix products are several times quicker on a CPU than convolutions with one channel.

    Args:
        size: pixels along the side.
        sigma: in pixels.
        order: of the derivative: 0, 1 or 2.
    """
    t = torch.arange(-size + 1, size, dtype=torch.float64)
    g = torch.exp(-0.5 * (t / sigma) ** 2)
    g = g / g.sum()
    if order == 1:
        g = -t / sigma * g
    if order == 2:
        g = (t**2 / sigma**2 - 1) * g
        g = g - g.sum() * torch.exp(-0.5 * (t / sigma) ** 2) / torch.exp(-0.5 * (t / sigma) ** 2).sum()
    index = torch.arange(size)
    return g[index[:, None] - index[None] + size - 1].float()


class StructureEnergy(nn.Module):
    """Local energy of fine structure at several scales, ``(B, 2 n, S, S)``, not negative.

    Per scale the length of the gradient and the size of the Laplacian of Gaussian, scale-normalised and averaged over
    the GTV around each pixel: neither depends on the direction of the structure.

    Args:
        size: S.
        scales: sigma of each scale, in pixels.
        window: sigma of the local average, in pixels.
    """

    def __init__(self, size: int, scales: tuple[float, ...], window: float) -> None:
        super().__init__()
        for name, order in (("smooth", 0), ("first", 1), ("second", 2)):
            matrices = [gaussian_matrix(size, sigma, order) for sigma in scales]
            self.register_buffer(name, torch.stack(matrices), persistent=False)
        self.register_buffer("window", gaussian_matrix(size, window, 0), persistent=False)

    def forward(self, residual: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        smooth = residual @ self.smooth.transpose(1, 2)
        along_first = self.first @ smooth
        along_second = self.smooth @ (residual @ self.first.transpose(1, 2))
        curvature = self.second @ smooth + self.smooth @ (residual @ self.second.transpose(1, 2))
        # The square root's slope at 0 is infinite; the small number keeps the gradient finite outside the lesion.
        slope = (along_first.square() + along_second.square() + 1e-12).sqrt()
        return local_mean(torch.cat([slope, curvature.abs()], dim=1), mask, self.window)


class Darkness(nn.Module):
    """How far each pixel is below the lesion's brightest tissue, above each threshold: ``(B, n, S, S)``, not negative.

    The reference is a high quantile of the smoothed residual inside the GTV, not its mean: against the mean, a small
    dark part looks very dark and a large one hardly dark, so the mean over the lesion would say nothing and the map
    would point away from what is dark.

    Args:
        size: S.
        thresholds: in the image's units, ascending, 0 or above.
        quantile: of the reference, in (0, 1].
        window: sigma of the smoothing, in pixels.
    """

    def __init__(self, size: int, thresholds: tuple[float, ...], quantile: float, window: float) -> None:
        super().__init__()
        self.quantile = quantile
        self.register_buffer("thresholds", torch.tensor(thresholds).view(-1, 1, 1), persistent=False)
        self.register_buffer("window", gaussian_matrix(size, window, 0), persistent=False)

    def forward(self, residual: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        value = local_mean(residual, mask, self.window)
        ordered = torch.where(mask > 0, value, torch.full_like(value, float("inf"))).flatten(1).sort(dim=1).values
        pixels = mask.flatten(1).sum(1)
        rank = (self.quantile * (pixels - 1.0)).round().clamp(min=0.0).long()
        reference = ordered.gather(1, rank[:, None])[:, :, None, None]
        # A slice without any lesion has no reference: nothing is dark there.
        reference = torch.where(torch.isfinite(reference), reference, torch.zeros_like(reference))
        return torch.relu(reference - value - self.thresholds) * mask


def local_mean(value: torch.Tensor, mask: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Mean of ``value (B, C, S, S)`` over the GTV around each pixel, 0 outside; ``window`` is one axis' filter."""
    total = window @ (value * mask) @ window.T
    weight = window @ mask @ window.T
    return total / weight.clamp(min=1e-6) * mask
