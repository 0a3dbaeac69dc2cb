"""Does a map depend on what the network has learned? Its parameters are replaced by fresh ones, from the head down."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

from treatment_response.explain.gradients import evaluating


def modules_from_the_head(network: torch.nn.Module, x: torch.Tensor) -> list[str]:
    """Names of the modules with parameters of their own that the prediction passes through, the last one first."""
    finished: list[str] = []
    handles = []
    try:
        for name, module in network.named_modules():
            if any(True for _ in module.parameters(recurse=False)):
                handles.append(module.register_forward_hook(lambda *_, name=name: finished.append(name)))
        with evaluating(network), torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(reversed(finished)))


def cascade(network: torch.nn.Module, fresh: torch.nn.Module, x: torch.Tensor) -> Iterator[tuple[str, torch.nn.Module]]:
    """The network with more and more of its modules as initialised, from the head down.

    Args:
        network: trained.
        fresh: the same architecture, untrained.
        x: any batch; it shows which modules the prediction passes through, and in which order.

    Yields:
        The name of the module that was replaced last, and a copy of the network in which it and all modules behind it
        have `fresh`'s parameters and buffers. The last copy predicts with no trained parameter.

    References:
        Adebayo et al., Sanity checks for saliency maps, 2018 (cascading randomisation).
    """
    state, replaced = fresh.state_dict(), copy.deepcopy(network)
    for name in modules_from_the_head(network, x):
        module = replaced.get_submodule(name)
        prefix = f"{name}." if name else ""
        own = [key for key, _ in module.named_parameters(recurse=False)]
        own += [key for key, _ in module.named_buffers(recurse=False) if f"{prefix}{key}" in state]
        with torch.no_grad():
            for key in own:
                getattr(module, key).copy_(state[f"{prefix}{key}"])
        yield name, copy.deepcopy(replaced)
