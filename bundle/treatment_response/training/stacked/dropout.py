"""Dropout whose masks are drawn outside the computation, each trial's from a stream of its own."""

from __future__ import annotations

import torch
from torch import nn

KINDS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
Shape = tuple[torch.Size, tuple[int, ...], torch.dtype]


class GivenDropout(nn.Module):
    """Multiplies by the buffer ``given``, in place of a dropout layer; nothing while evaluating.

    Attributes:
        given: zeros, and 1 / (1 − p) for what stays: what the layer that it stands for would have multiplied by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("given", torch.ones(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.given if self.training else x


def replace_dropout(module: nn.Module) -> dict[str, nn.Module]:
    """Put a `GivenDropout` for every dropout layer below `module`.

    Returns:
        The layers, by the name of the buffer that now stands for each.
    """
    layers = {name: layer for name, layer in module.named_modules() if type(layer) in KINDS and name}
    for name in layers:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, GivenDropout())
    return {f"{name}.given": layer for name, layer in layers.items()}


class ShapeOf:
    """Records what a dropout layer sees in one forward pass.

    Attributes:
        seen: shape, strides and type of each call's input; the order in memory decides which number meets which value.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.seen: list[Shape] = []
        self.handle = layer.register_forward_pre_hook(self._look)

    def _look(self, _: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        x = inputs[0]
        self.seen.append((x.shape, x.stride(), x.dtype))


def draw(layer: nn.Module, shape: Shape) -> torch.Tensor:
    """What the layer would multiply by, on the CPU, by torch's global stream: the layer itself applied to ones."""
    size, stride, dtype = shape
    return layer(torch.empty_strided(size, stride, dtype=dtype).fill_(1.0))
