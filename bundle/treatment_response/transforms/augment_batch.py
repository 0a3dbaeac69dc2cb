"""Random changes of a whole batch on its own device: one resampling, then noise and intensities, per sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F


class AugmentBatch:
    """Turn, scale, bend and flip each sample of a batch differently, then change its intensities.

    Turning, scaling and bending are one interpolation. Gamma, brightness and noise follow, in this order.

    All random numbers come from torch's own streams, so a training that seeds them at every epoch
    (`treatment_response.training.handlers.SeedEveryEpoch`) repeats them when it is resumed. Each kind of change meets a
    sample with ``probability``. With all amounts at 0 the batch comes back as it is.

    Args:
        rotation_deg: most, about each axis (in 2D about the one).
        scale: most; each sample's size is multiplied by 1 ± scale.
        flip_axes: grid axes that are reversed in half of the samples, 0 the first.
        elastic_mm: standard deviation of the displacement of a coarse grid of points, in units of ``spacing``.
        elastic_points: points of that grid along each axis; between them the displacement is interpolated.
        noise: largest standard deviation, as a share of the standard deviation of the sample's channel.
        brightness: most; a channel is multiplied by 1 ± brightness.
        gamma: most; a channel, scaled to [0, 1], is raised to a power between 1 / (1 + gamma) and 1 + gamma. Two
            numbers are the least and the largest power, between which it is drawn evenly.
        intensity_channels: channels that noise, brightness and gamma meet; None is all. A dose or a mask is left out.
        each_channel: draw noise, brightness and gamma for each channel. False draws them once for all channels of a
            sample, as MONAI's dictionary transforms do for their keys: what two channels have in common stays common.
        keep_zero: leave intensities 0 where every channel is 0, as outside the brain of a stripped image; gamma, which
            raises what is above a channel's lowest value, and noise would fill that place.
        spacing: size of a voxel along each axis; None is the same for all.
        probability: of each kind of change, 0 to 1.

    Shapes:
        ``(B, C, *grid)`` float, 2D or 3D → the same, float32, channels last in memory where that is quicker (3D: a step
        of MONAI's ResNet-18 took 0.61 of the time on a processor). What turns in from outside is 0.
    """

    def __init__(
        self,
        rotation_deg: float = 15.0,
        scale: float = 0.1,
        flip_axes: Sequence[int] = (),
        elastic_mm: float = 0.0,
        elastic_points: int = 7,
        noise: float = 0.1,
        brightness: float = 0.1,
        gamma: float | Sequence[float] = 0.3,
        intensity_channels: Sequence[int] | None = None,
        each_channel: bool = True,
        keep_zero: bool = False,
        spacing: Sequence[float] | None = None,
        probability: float = 0.9,
    ) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability is {probability}, expected 0 to 1")
        powers = list(gamma) if isinstance(gamma, Sequence) else [gamma]
        if min(rotation_deg, scale, elastic_mm, noise, brightness, *powers) < 0 or scale >= 1 or brightness >= 1:
            raise ValueError("amounts are expected to be at least 0, and scale and brightness below 1")
        if isinstance(gamma, Sequence) and (len(powers) != 2 or not 0 < powers[0] <= powers[1]):
            raise ValueError(f"gamma is {powers}, expected one number, or the least and the largest power above 0")
        self.rotation_deg = rotation_deg
        self.scale = scale
        self.flip_axes = tuple(flip_axes)
        self.elastic_mm = elastic_mm
        self.elastic_points = elastic_points
        self.noise = noise
        self.brightness = brightness
        self.gamma = gamma
        self.intensity_channels = intensity_channels
        self.each_channel = each_channel
        self.keep_zero = keep_zero
        self.spacing = spacing
        self.probability = probability

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The changed batch, on the same device."""
        x = x.as_subclass(torch.Tensor).float()
        dims = x.ndim - 2
        if self.rotation_deg or self.scale or self.elastic_mm:
            x = self._resampled(x, dims)
        for axis in self.flip_axes:
            flipped = self._draw((len(x),), x.device) < 0.5
            x = torch.where(flipped.view(-1, *[1] * (dims + 1)), x.flip(axis + 2), x)
        chosen = list(range(x.shape[1]) if self.intensity_channels is None else self.intensity_channels)
        if chosen and (self.noise or self.brightness or self.gamma):
            changed = self._intensities(x[:, chosen])
            if self.keep_zero:
                changed = changed * (x != 0).any(dim=1, keepdim=True)
            x = x.clone()
            x[:, chosen] = changed
        return x.contiguous(memory_format=torch.channels_last_3d) if dims == 3 else x

    def _resampled(self, x: torch.Tensor, dims: int) -> torch.Tensor:
        sizes = torch.tensor(x.shape[2:], dtype=torch.float32, device=x.device)
        voxel = torch.ones(dims) if self.spacing is None else torch.tensor(self.spacing, dtype=torch.float32)
        half = sizes * voxel.to(x.device) / 2  # millimetres from the middle to the edge, where the grid is ±1
        matrix = self._rotations(len(x), dims, x.device) / self._factors(self.scale, (len(x), 1, 1), x.device)
        # grid_sample wants the last axis first, and shares of the half size instead of millimetres.
        order = list(range(dims))[::-1]
        theta = (matrix * half / half[:, None])[:, order][:, :, order]
        theta = torch.cat([theta, torch.zeros(len(x), dims, 1, device=x.device)], dim=2)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        if self.elastic_mm:
            coarse = torch.randn(len(x), dims, *[self.elastic_points] * dims, device=x.device) * self.elastic_mm
            coarse = coarse * self._applies((len(x), *[1] * (dims + 1)), x.device)
            shares = coarse[:, order] / half[order].view(-1, *[1] * dims)
            kind = "trilinear" if dims == 3 else "bilinear"
            grid = grid + F.interpolate(shares, x.shape[2:], mode=kind, align_corners=True).movedim(1, -1)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _rotations(self, count: int, dims: int, device: torch.device) -> torch.Tensor:
        """``(B, dims, dims)``."""
        most = torch.pi * self.rotation_deg / 180
        turns = (2 * self._draw((count, 3 if dims == 3 else 1), device) - 1) * most
        turns = turns * self._applies((count, 1), device)
        result = torch.eye(dims, device=device).expand(count, -1, -1)
        for number, (first, second) in enumerate(((0, 1), (0, 2), (1, 2)) if dims == 3 else ((0, 1),)):
            cos, sin = turns[:, number].cos(), turns[:, number].sin()
            plane = torch.eye(dims, device=device).repeat(count, 1, 1)
            plane[:, first, first], plane[:, second, second] = cos, cos
            plane[:, first, second], plane[:, second, first] = -sin, sin
            result = result @ plane
        return result

    def _intensities(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1] if self.each_channel else 1
        shape = (len(x), channels, *[1] * (x.ndim - 2))
        axes = tuple(range(2, x.ndim))
        if self.gamma:
            low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
            extent = (high - low).clamp_min(1e-6)
            x = ((x - low) / extent).pow(self._powers(shape, x.device)) * extent + low
        if self.brightness:
            x = x * self._factors(self.brightness, shape, x.device)
        if self.noise:
            deviation = x.std(axes, keepdim=True) * self.noise * self._draw(shape, x.device)
            x = x + torch.randn_like(x[:, :channels]) * deviation * self._applies(shape, x.device)
        return x

    def _powers(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        drawn, applies = self._draw(shape, device), self._applies(shape, device)
        if isinstance(self.gamma, Sequence):
            least, largest = self.gamma
            return 1 + (least + (largest - least) * drawn - 1) * applies
        return torch.as_tensor((1 + self.gamma) ** ((2 * drawn - 1) * applies))

    def _factors(self, most: float, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        return 1 + (2 * self._draw(shape, device) - 1) * most * self._applies(shape, device)

    def _applies(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        return (self._draw(shape, device) < self.probability).float()

    @staticmethod
    def _draw(shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Even numbers in [0, 1), drawn on the CPU: the same changes on every device."""
        return torch.rand(tuple(shape)).to(device)


def places_of(names: Sequence[str], among: Sequence[str]) -> list[int]:
    """Where some channels stand among all, by their names; those that are not there are left out.

    A config gives them as `intensity_channels`, whichever channels a variant has.
    """
    return [place for place, name in enumerate(among) if name in names]


class PrepareAugmented:
    """For MONAI's trainers: another ``prepare_batch`` whose first result, the input on its device, is augmented.

    An overlay names it as ``prepare_training_batch``; the cases whose curves are watched stay as they are.

    Args:
        prepare_batch: gives the input first, e.g. MONAI's ``PrepareBatchExtraInput``.
        augment: e.g. :class:`AugmentBatch`.
    """

    def __init__(self, prepare_batch: Any, augment: AugmentBatch) -> None:
        self.prepare_batch = prepare_batch
        self.augment = augment

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What ``prepare_batch`` gives, with the input changed."""
        image, *others = self.prepare_batch(*args, **kwargs)
        return (self.augment(image), *others)
