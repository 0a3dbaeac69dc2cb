"""Convolutions that a CPU computes wrongly in bfloat16 are computed in float32.

oneDNN 3.12 (torch 2.13) reads memory that nobody wrote when it computes the weights' gradient of a 3D convolution in
bfloat16 whose input is two voxels wide or less: the gradient differs from run to run, and now and then it is not
finite. A deep network ends on such grids (64³ through a stem and four stages), where float32 costs next to nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WRONG_UP_TO = 2
"""Largest width of an input, in voxels, at which wrong gradients were seen."""
_LEFT = "_autocast_left"


def float32_on_small_grids(network: nn.Module) -> None:
    """Let the 3D convolutions of `network` leave CPU autocast wherever their input is small; nothing else changes."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            # `always_call`: a convolution that fails must not leave autocast off behind it.
            module.register_forward_pre_hook(_leave_autocast)
            module.register_forward_hook(_enter_autocast, always_call=True)


def _leave_autocast(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    x = given[0]
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or min(x.shape[2:]) > WRONG_UP_TO:
        return None
    torch.set_autocast_enabled("cpu", False)
    module.__dict__[_LEFT] = True
    return (x.float(),)


def _enter_autocast(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
    if module.__dict__.pop(_LEFT, False):
        torch.set_autocast_enabled("cpu", True)
