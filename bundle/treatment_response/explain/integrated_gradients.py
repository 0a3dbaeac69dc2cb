"""Integrated Gradients on the slice, reduced to the cells of the class activation maps so that all can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import IntegratedGradients

from treatment_response.explain.cells import cell_sums
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.region import MaskChannel, flattened
from treatment_response.explain.target import TargetClass

STEPS = 32
_BATCH = 32


@dataclass(frozen=True)
class IntegratedMaps:
    """Integrated Gradients of a batch, on the cells.

    Attributes:
        contribution: ``(B, H, W)``, what each cell adds to the logit of response over the baseline; signed.
        total: ``(B,)``, logit minus the baseline's logit: what the contributions of a region should add up to.
    """

    contribution: torch.Tensor
    total: torch.Tensor

    def evidence(self, target: TargetClass) -> torch.Tensor:
        """The map of one class as the other maps give it: 0 where a cell speaks against it."""
        return torch.relu(target.sign * self.contribution)

    def gap(self) -> torch.Tensor:
        """How far each region's contributions are from adding up to `total` (completeness), ``(B,)``, in logits."""
        return (self.contribution.sum(dim=(1, 2)) - self.total).abs()


def integrated_gradients(network: torch.nn.Module, x: torch.Tensor, steps: int = STEPS) -> IntegratedMaps:
    """What each cell of the region adds to the logit, along the straight line from the flattened region to the image.

    Baseline and image differ inside the region only, so no pixel outside it gets anything. A cell's contribution is the
    sum over its pixels, which keeps completeness. That of non-response is minus that of response.

    Args:
        network: with ``encode``, ``cell_mask`` and ``classify`` as in `explain.gradients.head_attribution`.
        x: ``(B, 2, S, S)``, image and mask.
        steps: points of the Gauss-Legendre rule.

    References:
        Sundararajan, Taly, Yan, Axiomatic attribution for deep networks, 2017; captum's ``IntegratedGradients``.
    """

    def logit(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        both = torch.cat([image, mask], dim=1)
        result: torch.Tensor = network.classify(network.encode(both) * network.cell_mask(both))[:, 0]
        return result

    with evaluating(network):
        with torch.no_grad():
            cells = network.cell_mask(x[:1]).shape[-1]
        baseline = flattened(x, MaskChannel(1))
        attribution, gap = IntegratedGradients(logit).attribute(
            x[:, :1],
            baselines=baseline,
            additional_forward_args=(x[:, 1:],),
            n_steps=steps,
            internal_batch_size=max(_BATCH, len(x)),
            return_convergence_delta=True,
        )
    # captum's gap is the sum of the contributions minus what they should add up to.
    pixels = attribution.detach()[:, 0].to(x.dtype)
    return IntegratedMaps(cell_sums(pixels, cells), pixels.sum(dim=(1, 2)) - gap.detach().to(x.dtype))
