"""The activations and the gradient a class activation map is made from, taken with as little work as possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from treatment_response.explain.target import Target, TargetClass

_CPU_SLICES = 16
"""Slices encoded at a time on a CPU."""


@dataclass(frozen=True)
class Attribution:
    """The raw material of every map of one batch.

    Attributes:
        activations: A, ``(B, K, *cells)``, before the mask.
        gradient: ∂y/∂A, ``(B, K, *cells)``.
        mask: ``(B, 1, *cells)``, 0 or 1, which every map is multiplied by.
        logits: ``(B, C)``.
    """

    activations: torch.Tensor
    gradient: torch.Tensor
    mask: torch.Tensor
    logits: torch.Tensor

    def opposite(self) -> Attribution:
        """The same for −y: with one logit, the other class's. It costs a sign, not another backward pass."""
        return Attribution(self.activations, -self.gradient, self.mask, self.logits)


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Put the network in evaluation mode and give every module its own mode back.

    In training mode batch norm would mix the cases, so the gradient of the batch's sum would not be each case's own.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def head_attribution(network: torch.nn.Module, x: torch.Tensor, target: TargetClass) -> Attribution:
    """One encoder pass without a graph, one backward pass through mask and classifier only.

    Args:
        network: the masked autoencoder-classifier: ``encode(x)`` gives the feature maps ``(B, K, h, w)`` before the
            mask, ``cell_mask(x)`` the region's cells ``(B, 1, h, w)``, ``classify(masked maps)`` the logits ``(B, 1)``.
        x: ``(B, 2, H, W)``, image and mask; or one slice ``(2, H, W)``, which is taken as a batch of one.
        target: the class whose score y is explained.

    Returns:
        The batch's attribution; its gradient is 0 outside the mask.
    """
    if x.ndim == 3:
        x = x[None]
    with evaluating(network):
        with torch.no_grad():
            activations = _encode(network, x)
            mask = network.cell_mask(x)
        with torch.enable_grad():
            leaf = activations.detach().requires_grad_()
            logits = network.classify(leaf * mask)
            # Cases do not meet in evaluation mode: the gradient of the sum is each case's own gradient.
            (gradient,) = torch.autograd.grad(target(logits).sum(), leaf)
    return Attribution(activations.detach(), gradient, mask.to(activations.dtype), logits.detach())


def _encode(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The feature maps of a batch, in plain layout; on a CPU in parts whose intermediate maps stay in its cache."""
    parts = x.split(_CPU_SLICES) if x.device.type == "cpu" else (x,)
    return torch.cat([network.encode(part) for part in parts]).contiguous()


@contextmanager
def captured_layer(network: torch.nn.Module, layer: str) -> Iterator[list[torch.Tensor]]:
    """Collect a named layer's outputs as leaves of the graph, for as long as the ``with`` block runs.

    Args:
        network: any network.
        layer: the layer's name as in ``network.named_modules()``.

    Yields:
        A list that each forward pass appends the layer's output to. Later layers work on a copy, so that an in-place
        ReLU behind the layer does not change it.

    Raises:
        ValueError: if no layer has this name.
    """
    modules = dict(network.named_modules())
    if layer not in modules:
        raise ValueError(f"The network has no layer {layer!r}; it has {', '.join(name for name in modules if name)}.")
    outputs: list[torch.Tensor] = []

    def cut(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        leaf = output.detach().requires_grad_()
        outputs.append(leaf)
        return leaf.clone()

    handle = modules[layer].register_forward_hook(cut)
    try:
        yield outputs
    finally:
        handle.remove()


def layer_attribution(network: torch.nn.Module, layer: str, x: torch.Tensor, target: Target) -> Attribution:
    """The same raw material at a named layer of any network, 2D or 3D, with one logit or K.

    Args:
        network: maps ``x`` to logits ``(B, C)``.
        layer: name of a layer with output ``(B, K, *cells)`` that the network runs once per forward pass.
        x: ``(B, …)``.
        target: the score that is explained.

    Returns:
        The batch's attribution, with a mask of ones.

    Raises:
        ValueError: if the layer is not there, or does not run exactly once.
    """
    with evaluating(network), torch.enable_grad(), captured_layer(network, layer) as outputs:
        logits = network(x)
        if len(outputs) != 1:
            raise ValueError(
                f"Layer {layer!r} ran {len(outputs)} times in one forward pass; choose one that runs once."
            )
        (gradient,) = torch.autograd.grad(target(logits).sum(), outputs[0])
    activations = outputs[0].detach()
    return Attribution(activations, gradient, torch.ones_like(activations[:, :1]), logits.detach())
