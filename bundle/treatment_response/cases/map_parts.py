"""Parts of an input that a map may point at: the case's mask, labels of a label map, or where a channel is high."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from treatment_response.cohort.layout import read_volume


class Part(Protocol):
    """From a case and its input to a part of the input's grid."""

    def __call__(self, case: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor | None:
        """``(*grid)`` float32, the share of each voxel in [0, 1]; None if the case has no such part.

        Args:
            case: an entry of the data list, as `cohort.case.case_of` gives it.
            image: the network's input ``(C, *grid)``, a MetaTensor with its affine.
        """


@dataclass(frozen=True)
class MaskPart:
    """The case's mask, brought onto the input's grid through both affines."""

    def __call__(self, case: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor | None:
        if "mask" not in case:
            return None
        mask = read_volume(Path(case["mask"]), f"{case['subject']} {case['case']} mask")
        return _on_grid(mask.array > 0, mask.affine, image)


@dataclass(frozen=True)
class LabelPart:
    """Some numbers of a label map among the case's images, brought onto the input's grid through both affines.

    Attributes:
        image: its name among the case's images. labels: the numbers.
        outside: the part is where the map has other numbers, and what lies beyond it.
    """

    image: str
    labels: Sequence[int]
    outside: bool = False

    def __call__(self, case: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor | None:
        if self.image not in case["images"]:
            return None
        given = read_volume(Path(case["images"][self.image]), f"{case['subject']} {case['case']} {self.image}")
        inside = _on_grid(np.isin(given.array, list(self.labels)), given.affine, image)
        return 1 - inside if self.outside and inside is not None else inside


def is_outside(part: Part) -> bool:
    """Whether a part is what surrounds the labels, where a map should not point."""
    return isinstance(part, LabelPart) and part.outside


@dataclass(frozen=True)
class ChannelPart:
    """Where a channel reaches a share of its own largest value.

    Attributes:
        channel: its name. channels: names of the input's channels; without this one there is no such part.
        share: in (0, 1]; 0.9 of the largest dose lies near the 95 % isodose of a plan with a hot spot of 105 %.
    """

    channel: str
    channels: Sequence[str]
    share: float = 0.9

    def __call__(self, case: Mapping[str, Any], image: torch.Tensor) -> torch.Tensor | None:
        if self.channel not in self.channels:
            return None
        values = torch.as_tensor(image)[list(self.channels).index(self.channel)].as_subclass(torch.Tensor)
        return (values >= self.share * values.max()).float()


def _on_grid(inside: NDArray[np.bool_], affine: NDArray[np.float64], image: torch.Tensor) -> torch.Tensor | None:
    """A part of one grid as shares of the voxels of an input ``(C, *grid)``; None if the input has no place."""
    if not isinstance(image, MetaTensor) or image.ndim != 4:
        return None
    to_part = np.linalg.inv(affine) @ np.asarray(image.affine, dtype=np.float64)
    share = affine_transform(
        inside.astype(np.float32), to_part[:3, :3], to_part[:3, 3], output_shape=tuple(image.shape[1:]), order=1
    )
    return torch.from_numpy(share).clamp(0, 1)
