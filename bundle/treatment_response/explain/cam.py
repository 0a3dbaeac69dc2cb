"""Class activation maps: Grad-CAM, Grad-CAM++ and the pixel-wise map, of which one method differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch

from treatment_response.explain.gradients import Attribution, head_attribution, layer_attribution
from treatment_response.explain.target import Target, TargetClass


class ClassActivationMap(ABC):
    """ReLU of the weighted sum of the feature maps, inside the mask; a variant says what the weights are.

    A map is the raw contribution in units of the logit, 0 or above, on the network's cell grid; it is never divided by
    its own maximum. A map of zeros means that the variant found no evidence for the class.

    Attributes:
        name: the variant in files and in the scales of maps.
    """

    name: ClassVar[str]

    @abstractmethod
    def weights(self, activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Weights of the feature maps.

        Args:
            activations: A, ``(B, K, *cells)``.
            gradient: ∂y/∂A, ``(B, K, *cells)``.

        Returns:
            A tensor that broadcasts against ``activations``.
        """

    def combine(self, attribution: Attribution) -> torch.Tensor:
        """The map ``(B, *cells)`` from activations and gradient at hand."""
        weights = self.weights(attribution.activations, attribution.gradient)
        summed = (weights * attribution.activations).sum(dim=1)
        return torch.relu(summed) * attribution.mask[:, 0]

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: TargetClass) -> torch.Tensor:
        """The maps ``(B, H, W)`` of a batch ``(B, 2, 4H, 4W)``, or ``(H, W)`` of one slice ``(2, 4H, 4W)``."""
        maps = self.combine(head_attribution(network, x, target))
        return maps if x.ndim == 4 else maps[0]

    def at_layer(self, network: torch.nn.Module, layer: str, x: torch.Tensor, target: Target) -> torch.Tensor:
        """The maps ``(B, *cells)`` at a named layer of any network, 2D or 3D, with one logit or K."""
        return self.combine(layer_attribution(network, layer, x, target))


def _over_cells(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(range(2, tensor.ndim))


class GradCAM(ClassActivationMap):
    """Grad-CAM: w_k = mean_ij ∂y/∂A_ij^k (equations 1 and 2 of the paper; Selvaraju et al. 2017)."""

    name = "gradcam"

    def weights(self, activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.mean(dim=_over_cells(gradient), keepdim=True)


class GradCAMPlusPlus(ClassActivationMap):
    """Grad-CAM++: w_k = Σ_ij α_ij ReLU(g_ij), α_ij = g² / (2g² + g³ Σ_ab A_ab) = 1 / (2 + g Σ_ab A_ab) where g > 0.

    The closed form assumes the score exp(y), whose derivatives are exp(y) times powers of g; the common factor exp(y)
    is left out. It also assumes A ≥ 0, as behind a ReLU (equations 3 and 4; Chattopadhay et al. 2018).
    """

    name = "gradcampp"

    def weights(self, activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        cells = _over_cells(activations)
        positive = torch.relu(gradient)
        # With A >= 0 the denominator is at least 2. A layer with negative activations could bring it to 0.
        denominator = 2 + positive * activations.sum(dim=cells, keepdim=True)
        alpha = torch.where(denominator > 0, 1 / denominator, torch.zeros_like(denominator))
        return (alpha * positive).sum(dim=cells, keepdim=True)


class PixelwiseCAM(ClassActivationMap):
    """The pixel-wise map: every cell has its own weight, ∂y/∂A_ij^k (equation 5; HiResCAM, Draelos and Carin 2020)."""

    name = "pixelwise"

    def weights(self, activations: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def same_pattern(maps: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether two families of maps ``(S, *cells)``, 0 or above, differ within each slice by a positive factor only."""
    return all(
        torch.allclose(_of_maximum(one), _of_maximum(other), rtol=0, atol=1e-4)
        for one, other in zip(maps, others, strict=True)
    )


def _of_maximum(cells: torch.Tensor) -> torch.Tensor:
    return cells / cells.max() if cells.any() else cells


VARIANTS: tuple[ClassActivationMap, ...] = (GradCAM(), GradCAMPlusPlus(), PixelwiseCAM())
"""The family."""

CamKey = tuple[str, TargetClass]
"""A variant's name and the class that its map explains."""


def all_maps(attribution: Attribution, variants: Sequence[ClassActivationMap] = VARIANTS) -> dict[CamKey, torch.Tensor]:
    """Every variant's map of both classes, from the attribution of :attr:`TargetClass.RESPONSE`."""
    of_class = {TargetClass.RESPONSE: attribution, TargetClass.NON_RESPONSE: attribution.opposite()}
    return {(variant.name, target): variant.combine(part) for variant in variants for target, part in of_class.items()}


def explain_all(network: torch.nn.Module, x: torch.Tensor) -> dict[CamKey, torch.Tensor]:
    """All maps of both classes with one encoder pass and one backward pass through the head.

    Args:
        network: the masked autoencoder-classifier.
        x: ``(B, 2, 4H, 4W)``, image and mask.

    Returns:
        Raw maps ``(B, H, W)`` by variant and class.
    """
    return all_maps(head_attribution(network, x, TargetClass.RESPONSE))
