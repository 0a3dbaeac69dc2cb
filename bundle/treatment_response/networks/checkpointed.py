"""Gradient checkpointing of a network's blocks: less memory for more time, and the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(network: nn.Module, blocks: Sequence[str]) -> nn.Module:
    """Keep only the inputs of some blocks for the backward pass, and compute what lies inside of them again there.

    Gradients, running statistics of batch norm and names of weights are those of the plain network. Without gradients,
    and outside of training, blocks run as they always did.

    Args:
        network: is changed.
        blocks: names of classes, such as ``_DenseLayer`` of MONAI's DenseNets; each module of one of them is a block.
            Blocks may lie in one another. An empty list changes nothing.

    Returns:
        The same network.

    Raises:
        ValueError: the network has no module of such a class.

    References:
        Chen et al., Training deep nets with sublinear memory cost, 2016.
    """
    found = {name: [one for one in network.modules() if type(one).__name__ == name] for name in blocks}
    if absent := [name for name, modules in found.items() if not modules]:
        kinds = sorted({type(one).__name__ for one in network.modules()})
        raise ValueError(f"The network has no block {absent[0]!r}; it has {', '.join(kinds)}.")
    for modules in found.values():
        for module in modules:
            module.forward = partial(_forward, module, module.forward)
    return network


def _forward(module: nn.Module, plain: Any, *inputs: torch.Tensor) -> Any:
    if not (module.training and torch.is_grad_enabled()):
        return plain(*inputs)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _kept_statistics(module)

    return checkpoint(plain, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _kept_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm sees the same batch a second time, and must not count it again."""
    norms = [one for one in module.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
