"""The stronger network: every cell of the lesion votes, by the same rule, and the logit is the mean vote."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from treatment_response.networks.lesion_maps import Darkness, StructureEnergy, mean_residual, shell_residual


class CellVoteClassifier(nn.Module):
    """Predict response from fixed maps of the lesion, pooled over the GTV, with one learned weight per map.

    B batch, S side of the input, K maps, S' = S / 4.

    - Maps, nothing learned, inside the GTV: structure energy at several scales and darkness above several thresholds of
      the shell residual (`lesion_maps`), and the image itself.
    - Code: each map's mean over the pixels of a cell (pixels outside the GTV count as 0), and as the last channel the
      share of the cell that is GTV.
    - Classifier: the maps' means over the GTV, standardised by the training lesions, times one weight each.

    The logit is the area-weighted mean of the cells' votes: with mean m_k and SD s_k of the training lesions,
    ``logit = Σ_cells [bias · a + Σ_k w_k (A_k − m_k a) / s_k] / area``. The pixel-wise map sums to it exactly. Nothing
    depends on where in the patch a cell lies, nor on flips and quarter turns.

    Args:
        in_size: S, pixels along each side; a multiple of 4.
        scales: sigma of the structure energies, in pixels (0.5 mm); may be empty.
        energy_window: sigma of their local average, in pixels.
        thresholds: of the darkness, in units of the image (white matter is 0.45); may be empty.
        reference: quantile of the residual that counts as brightest tissue, in (0, 1].
        dark_window: sigma of the smoothing before that, in pixels.
        shells: take rim and core away by depth (`shell_residual`); False takes the GTV's mean away only.
        shared: one weight per map; False gives each cell its own, as a flat dense layer has.
        momentum: of the running mean and variance of the pooled maps.

    Shapes:
        input ``(B, 2, S, S)``: image in [0, 1], then binary mask. Output ``(B, 1)``: the logit of response.

    Raises:
        ValueError: ``in_size`` is not a multiple of 4.
    """

    fixed_encoder = True
    """Nothing in `encode` is learned: networks with the same settings share its output."""

    def __init__(
        self,
        in_size: int = 64,
        scales: Sequence[float] = (0.75, 1.0, 1.5, 2.0, 3.0),
        energy_window: float = 2.0,
        thresholds: Sequence[float] = (0.0, 0.05, 0.1, 0.15),
        reference: float = 0.95,
        dark_window: float = 1.0,
        shells: bool = True,
        shared: bool = True,
        momentum: float = 0.05,
    ) -> None:
        super().__init__()
        if in_size <= 0 or in_size % 4:
            raise ValueError(f"in_size must be a positive multiple of 4, got {in_size}.")
        maps = 2 * len(scales) + len(thresholds) + 1
        self.in_size = in_size
        self.shells = shells
        self.momentum = momentum
        self.energies = StructureEnergy(in_size, tuple(scales), energy_window) if scales else None
        self.darkness = Darkness(in_size, tuple(thresholds), reference, dark_window) if thresholds else None
        side = 1 if shared else in_size // 4
        # Near zero: training forgets the start, yet an untrained network has maps to be compared with.
        self.weight = nn.Parameter(torch.empty(maps, side, side).uniform_(-0.01, 0.01))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("mean", torch.zeros(maps))
        self.register_buffer("variance", torch.ones(maps))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(x) * self.cell_mask(x))

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The code before the mask, ``(B, K + 1, S', S')``, not negative: the A of the CAM equations."""
        image, mask = x[:, :1], x[:, 1:]
        residual = shell_residual(image, mask) if self.shells else mean_residual(image, mask)
        maps = [image * mask, mask]
        if self.darkness is not None:
            maps.insert(0, self.darkness(residual, mask))
        if self.energies is not None:
            maps.insert(0, self.energies(residual, mask))
        return nn.functional.avg_pool2d(torch.cat(maps, dim=1), 4)

    @torch.jit.export
    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        """The GTV on the code's grid, ``(B, 1, S', S')``, 0 or 1: 1 where any pixel of the cell is in the GTV."""
        return nn.functional.max_pool2d(x[:, 1:], 4)

    @torch.jit.export
    def classify(self, code: torch.Tensor) -> torch.Tensor:
        """The logit of response ``(B, 1)`` from the masked code ``(B, K + 1, S', S')``."""
        maps, area = code[:, :-1], code[:, -1:]
        # A constant to the gradient, so that the cells' contributions add up to the logit.
        whole = area.sum((2, 3), keepdim=True).detach().clamp(min=1e-6)
        mean, variance = self.mean, self.variance
        if self.training and code.shape[0] > 1:
            pooled = (maps / whole).sum((2, 3)).detach()
            mean, variance = pooled.mean(0), pooled.var(0, unbiased=False)
            self.batches.add_(1)
            share = max(self.momentum, 1.0 / int(self.batches))  # the first batches count the same
            self.mean.lerp_(mean, share)
            self.variance.lerp_(variance, share)
        weight = self.weight * (variance + 1e-6).rsqrt()[:, None, None]
        votes = ((maps - mean[:, None, None] * area) * weight).sum(1, keepdim=True) + self.bias * area
        return (votes / whole).sum((2, 3))
