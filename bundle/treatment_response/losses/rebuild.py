"""A pretext task: can the input be rebuilt from a layer of the network?"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import interpolate, mse_loss


class RebuildLoss(nn.Module):
    """The mean squared error of the input that a decoder makes of a network's layer.

    The decoder belongs to the loss: a network that was trained with it has the weights of a classifier and nothing
    else, and a training can start from them. The optimiser must be given the decoder's parameters too. The
    classifier's last layers learn nothing.

    Args:
        network: the classifier; only the sizes of its layer are looked at here.
        layer: a name in ``network.named_modules()``; its output is ``(B, K, *cells)``.
        channels: C of the input that are rebuilt, the first ones. grid: of the input.
        width: channels of the decoder's first layer; each doubling of the grid halves them, down to 8.

    Shapes:
        ``forward(network, x (B, C or more, *grid), label)`` returns ``pred``, the network's logits without a gradient,
        and the scalars ``loss`` and ``reconstruction``.

    Raises:
        ValueError: the network has no such layer.
    """

    def __init__(self, network: nn.Module, layer: str, channels: int, grid: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.layer, self.channels = layer, channels
        with torch.no_grad():
            sketch = copy.deepcopy(network).to("meta").eval()
            _, cells = self._with_layer(sketch, torch.empty(1, channels, *grid, device="meta"))
        doublings = max(0, math.ceil(math.log2(max(n / m for n, m in zip(grid, cells.shape[2:], strict=True)))))
        widths = [max(8, width // 2**step) for step in range(doublings + 1)]
        steps: list[nn.Module] = [nn.Conv3d(cells.shape[1], widths[0], 1), nn.ReLU()]
        for before, after in pairwise(widths):
            steps += [nn.Upsample(scale_factor=2), nn.Conv3d(before, after, 3, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(*steps, nn.Conv3d(widths[-1], channels, 1))

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        logits, cells = self._with_layer(network, x)
        rebuilt = interpolate(self.decoder(cells), size=x.shape[2:], mode="trilinear", align_corners=False)
        loss = mse_loss(rebuilt.float(), x[:, : self.channels].float())
        return {"loss": loss, "pred": logits.detach().float(), "reconstruction": loss.detach()}

    def _with_layer(self, network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        modules = dict(network.named_modules())
        if self.layer not in modules:
            raise ValueError(f"The network has no layer {self.layer!r}; it has {', '.join(filter(None, modules))}.")
        outputs: list[torch.Tensor] = []
        handle = modules[self.layer].register_forward_hook(lambda module, inputs, output: outputs.append(output))
        try:
            logits = network(x)
        finally:
            handle.remove()
        return logits, outputs[0]
