"""Explanations of any network as objects that a config can name: from a network and an image to a map on its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from captum import attr
from torch.nn.functional import interpolate

from treatment_response.explain.cam import VARIANTS
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.target import Target
from treatment_response.networks.ensemble import Ensemble

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Explanation(Protocol):
    """From a network, images ``(B, C, *grid)`` and a target to maps ``(B, *grid)``, 2D or 3D.

    Where a map is positive, the image speaks for the target. :class:`~treatment_response.explain.occlusion.Occlusion`
    is one too.
    """

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Target) -> torch.Tensor: ...


@runtime_checkable
class SharedWork(Protocol):
    """An explanation whose work is the same for every target, such as occlusion: it is done once for all of them."""

    def of_targets(
        self, network: torch.nn.Module, x: torch.Tensor, targets: Sequence[Target]
    ) -> list[torch.Tensor]: ...


def maps_of_targets(
    explanation: Explanation, network: torch.nn.Module, x: torch.Tensor, targets: Sequence[Target]
) -> list[torch.Tensor]:
    """One map ``(B, *grid)`` for each target, as the explanation gives them one by one."""
    if isinstance(explanation, SharedWork):
        return explanation.of_targets(network, x, targets)
    return [explanation(network, x, target) for target in targets]


class LayerCAM:
    """A class activation map of one layer's feature maps, brought to the image's grid by linear interpolation.

    Jiang et al. (2021) call one such map LayerCAM; here the name only says that the layer is chosen. Of an ensemble it
    is the mean of its members' maps: each has a layer of that name.

    Args:
        layer: a name in ``network.named_modules()``; its output is ``(B, K, *cells)``.
        variant: ``gradcam``, ``gradcampp`` or ``pixelwise``, see :mod:`treatment_response.explain.cam`.

    Raises:
        ValueError: the variant is not one of these; when called, the network has no such layer.
    """

    def __init__(self, layer: str, variant: str = "gradcam") -> None:
        variants = {one.name: one for one in VARIANTS}
        if variant not in variants:
            raise ValueError(f"There is no variant {variant!r}; choose one of {', '.join(variants)}.")
        self.layer, self.variant = layer, variants[variant]

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Target) -> torch.Tensor:
        members = list(network.networks) if isinstance(network, Ensemble) else [network]
        maps = sum(self.variant.at_layer(member, self.layer, x, target) for member in members)[:, None] / len(members)
        return interpolate(maps, size=x.shape[2:], mode=_LINEAR[x.ndim - 2], align_corners=False)[:, 0]


class Saliency:
    """How steeply the score changes with each voxel: the largest absolute gradient among the channels.

    It has no sign: it says where the image matters, not for what.

    References:
        Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014; captum's ``Saliency``.
    """

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Target) -> torch.Tensor:
        with evaluating(network):
            gradients = attr.Saliency(_score(network, target)).attribute(_leaf(x).requires_grad_(), abs=True)
        return gradients.detach().amax(dim=1)


class SmoothGrad:
    """The mean of the saliency of noisy copies of an image.

    Args:
        noise: SD of the noise, as a share of the image's range.
        samples: noisy copies.
        seed: of the noise, which is the same for every image of a shape.
        at_once: copies that are computed together.

    References:
        Smilkov et al., SmoothGrad: removing noise by adding noise, 2017; captum's ``NoiseTunnel``.
    """

    def __init__(self, noise: float = 0.15, samples: int = 25, seed: int = 0, at_once: int = 5) -> None:
        self.noise, self.samples, self.seed, self.at_once = noise, samples, seed, at_once

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Target) -> torch.Tensor:
        tunnel = attr.NoiseTunnel(attr.Saliency(_score(network, target)))
        devices = [x.device] if x.device.type == "cuda" else []
        maps = []
        for image in x.split(1):
            with evaluating(network), torch.random.fork_rng(devices):
                torch.manual_seed(self.seed)
                gradients = tunnel.attribute(
                    _leaf(image),
                    nt_type="smoothgrad",
                    nt_samples=self.samples,
                    nt_samples_batch_size=self.at_once,
                    stdevs=float(self.noise * (image.max() - image.min())),
                    abs=True,
                )
            maps.append(gradients.detach().amax(dim=1))
        return torch.cat(maps)


class IntegratedGradients:
    """What each voxel adds to the score along the straight line from a baseline to the image, over all channels.

    The map has a sign, and adds up to the score of the image minus that of the baseline.

    Args:
        baseline: one number, or one per channel; 0 is the mean of an image with z-scores.
        steps: points of the Gauss-Legendre rule.
        at_once: points that are computed together.

    References:
        Sundararajan, Taly, Yan, Axiomatic attribution for deep networks, 2017; captum's ``IntegratedGradients``.
    """

    def __init__(self, baseline: float | Sequence[float] = 0.0, steps: int = 32, at_once: int = 8) -> None:
        self.baseline, self.steps, self.at_once = baseline, steps, at_once

    def __call__(self, network: torch.nn.Module, x: torch.Tensor, target: Target) -> torch.Tensor:
        level = torch.as_tensor(self.baseline, dtype=x.dtype, device=x.device).reshape(1, -1, *[1] * (x.ndim - 2))
        with evaluating(network):
            contribution = attr.IntegratedGradients(_score(network, target)).attribute(
                _leaf(x),
                baselines=level.expand_as(x).contiguous(),
                n_steps=self.steps,
                internal_batch_size=max(self.at_once, len(x)),
            )
        return contribution.detach().sum(dim=1)


def _leaf(x: torch.Tensor) -> torch.Tensor:
    """A copy without history and without MONAI's metadata, which captum's arithmetic would drag along."""
    return x.detach().as_subclass(torch.Tensor).clone()


def _score(network: torch.nn.Module, target: Target) -> Target:
    """From images to scores, as captum wants it."""
    return lambda x: target(network(x))
