"""Convolutions that a CPU computes wrongly in bfloat16 are computed in float32.

oneDNN 3.12 (torch 2.13) reads memory that nobody wrote when it computes the weights' gradient of a convolution in
bfloat16 whose input is narrower than its kernel: the gradient differs from run to run, and now and then it is not
finite. Seen with 1D, 2D, 3D and transposed convolutions. A deep network ends on such grids (64³ through a stem and four
stages is 2³), where float32 costs next to nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_LEFT = "_autocast_left"


def float32_on_small_grids(network: nn.Module) -> None:
    """Let convolutions leave CPU autocast where their input is narrower than their kernel; nothing else changes."""
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            # `always_call`: a convolution that fails must not leave autocast off behind it.
            module.register_forward_pre_hook(_leave_autocast)
            module.register_forward_hook(_enter_autocast, always_call=True)


def _leave_autocast(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    x, kernel = given[0], module.kernel_size
    narrow = any(size < width for size, width in zip(x.shape[2:], kernel, strict=False))
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not narrow:
        return None
    torch.set_autocast_enabled("cpu", False)
    module.__dict__[_LEFT] = True
    return (x.float(), *given[1:])


def _enter_autocast(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
    if module.__dict__.pop(_LEFT, False):
        torch.set_autocast_enabled("cpu", True)
