"""Forward and backward pass of several trials' networks as one computation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from treatment_response.training.stacked.dropout import Shape, ShapeOf, draw, replace_dropout

Tensors = dict[str, torch.Tensor]
TOLERANCE = 1e-3
"""How much the stacked loss of the self-check may differ from the plain one, relative: rounding, no more."""


class CannotBeStacked(Exception):
    """A network or loss does what `torch.vmap` does not support; its text says what."""


@dataclass(frozen=True)
class TrialBatch:
    """One trial's part in a step.

    Attributes:
        step: its network and loss as one module (`TrainingStep`), which get gradients and running statistics.
        x: ``(B, …)``, and label: ``(B, …)``, on the network's device. given: its dropout, see `StackedStep.draw`.
    """

    step: nn.Module
    x: torch.Tensor
    label: torch.Tensor
    given: Tensors


class StackedStep:
    """Computes the steps of trials whose modules differ in their numbers only.

    Args:
        pattern: the module of one of them; a loss in it may be switched between steps, as in sequential training.

    Raises:
        CannotBeStacked: a dropout layer is of a kind, or used in a way, that is not known here.
    """

    def __init__(self, pattern: nn.Module) -> None:
        self.pattern = pattern
        loss = getattr(pattern, "loss", None)
        # The loss is not copied, so that a phase that a handler sets in it is seen here.
        self.module = copy.deepcopy(pattern, {} if loss is None else {id(loss): loss}).train()
        self.dropout = replace_dropout(self.module)
        self.shapes: dict[tuple[torch.Size, torch.Size], dict[str, Shape]] = {}

    def draw(self, x: torch.Tensor, label: torch.Tensor) -> Tensors:
        """One trial's dropout for a batch, from torch's global stream as its own forward pass would draw it.

        Returns:
            Buffer name → what to multiply by, on the device of `x`. Drawn on the CPU, whatever the device, so that a
            GPU trains with the same numbers.
        """
        shapes = self._shapes(x, label) if self.dropout else {}
        return {name: draw(self.dropout[name], shape).to(x.device) for name, shape in shapes.items()}

    def __call__(self, batches: Sequence[TrialBatch]) -> list[Tensors]:
        """Put the gradients into the trials' parameters and update their buffers.

        Args:
            batches: of different trials, all of one shape.

        Returns:
            Per trial what its module returns (``pred``, ``loss``, …), on the CPU, without gradients.

        Raises:
            CannotBeStacked: `torch.vmap` refuses the computation.
        """
        each = [(dict(batch.step.named_parameters()), dict(batch.step.named_buffers())) for batch in batches]
        names = [name for name, parameter in each[0][0].items() if parameter.requires_grad]
        parameters = {name: torch.stack([p[name].detach() for p, _ in each]) for name in each[0][0]}
        buffers = {name: torch.stack([b[name] for _, b in each]) for name in each[0][1]}
        given = {name: torch.stack([batch.given[name] for batch in batches]) for name in batches[0].given}
        for name in names:
            parameters[name].requires_grad_()
        x, label = (torch.stack([getattr(batch, key) for batch in batches]) for key in ("x", "label"))
        output = self._forward(parameters, {**buffers, **given}, x, label)
        gradients = torch.autograd.grad(output["loss"].sum(), [parameters[n] for n in names], allow_unused=True)
        with torch.no_grad():
            for index, (own_parameters, own_buffers) in enumerate(each):
                for name, gradient in zip(names, gradients, strict=True):
                    own_parameters[name].grad = (
                        None if gradient is None else _like(own_parameters[name], gradient[index])
                    )
                for name, buffer in own_buffers.items():
                    buffer.copy_(buffers[name][index])
            plain = {key: value.detach().cpu() for key, value in output.items()}
        return [{key: value[index] for key, value in plain.items()} for index in range(len(batches))]

    def check(self, x: torch.Tensor, label: torch.Tensor) -> None:
        """Compare a stacked step of two copies of the pattern with the plain one.

        Raises:
            CannotBeStacked: they differ, or the stacked one cannot be computed.
        """
        state = torch.get_rng_state()
        given = self.draw(x, label)
        torch.set_rng_state(state)
        copies = [copy.deepcopy(self.pattern).train() for _ in range(3)]
        plain = copies.pop()(x, label)
        torch.set_rng_state(state)
        for output in self([TrialBatch(each, x, label, given) for each in copies]):
            expected, found = float(plain["loss"].detach()), float(output["loss"])
            if abs(found - expected) > TOLERANCE * max(abs(expected), TOLERANCE):
                raise CannotBeStacked(f"its loss is {found:g} stacked and {expected:g} alone")

    def _forward(self, parameters: Tensors, buffers: Tensors, x: torch.Tensor, label: torch.Tensor) -> Tensors:
        def one(own: Tensors, kept: Tensors, image: torch.Tensor, target: torch.Tensor) -> Any:
            return torch.func.functional_call(self.module, (own, kept), (image, target))

        try:
            return torch.vmap(one, randomness="error")(parameters, buffers, x, label)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise CannotBeStacked(str(error).splitlines()[0].partition(". ")[0]) from error

    def _shapes(self, x: torch.Tensor, label: torch.Tensor) -> dict[str, Shape]:
        key = (x.shape, label.shape)
        if key not in self.shapes:
            probe = copy.deepcopy(self.pattern).train()
            hooks = {name: ShapeOf(probe.get_submodule(name.removesuffix(".given"))) for name in self.dropout}
            state = torch.get_rng_state()
            with torch.no_grad():
                probe(x, label)
            torch.set_rng_state(state)
            for name, hook in hooks.items():
                if len(hook.seen) != 1:
                    layer = name.removesuffix(".given")
                    raise CannotBeStacked(f"the dropout layer {layer} is used {len(hook.seen)} times in a step")
            self.shapes[key] = {name: hook.seen[0] for name, hook in hooks.items()}
        return self.shapes[key]


def _like(parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient in the parameter's order in memory, which fused optimisers take for granted."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
