"""Controls of one channel, for networks trained on them: each case's own, another patient's, one value everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from treatment_response.cases.samples import NoSamples, Samples
from treatment_response.cohort.case import read_cases
from treatment_response.problems import DataProblem, Problem

OWN, SWAPPED, CONSTANT = "own", "swapped", "constant"
CONTROLS = (OWN, SWAPPED, CONSTANT)
_SEED = 0
"""Of who gets whose channel: the same for every training."""


@dataclass(frozen=True)
class ControlledImages:
    """Inputs with one channel replaced inside the region where any channel is not 0; a `StoredImages`.

    Attributes:
        images: what is changed: ``(N, C, *grid)``, or N stored images.
        place: number of the channel.
        indices: which of the images, in this order.
        donors: per image, the image whose channel it gets; None: a value.
        values: per image, the value that its channel gets; None: a donor's channel.
    """

    images: Any
    place: int
    indices: Sequence[int]
    donors: Sequence[int] | None = None
    values: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> torch.Tensor:
        own = self.indices[index]
        image: torch.Tensor = self.images[own]
        if self.donors is not None:
            return with_channel(image, self.place, self.images[self.donors[own]][self.place])
        assert self.values is not None
        return with_channel(image, self.place, torch.full_like(image[self.place], self.values[own]))

    def chosen(self, indices: Sequence[int]) -> ControlledImages:
        """Some of them."""
        return replace(self, indices=[self.indices[index] for index in indices])

    def joined(self, others: Sequence[ControlledImages]) -> ControlledImages:
        """These, and after them others of the same data set."""
        return replace(self, indices=[*self.indices, *(index for other in others for index in other.indices)])

    def in_half(self) -> ControlledImages:
        """The same in half precision, where they are stored so."""
        return self if isinstance(self.images, torch.Tensor) else replace(self, images=self.images.in_half())


def with_channel(image: torch.Tensor, place: int, channel: torch.Tensor) -> torch.Tensor:
    """An input ``(C, *grid)`` whose channel is another ``(*grid)``, where any of its own channels is not 0."""
    result = image.clone()
    result[place] = channel * (image != 0).any(dim=0)
    return result


def controlled_samples(
    samples: Samples,
    dataset_dir: str | Path,
    channels: Sequence[str],
    channel: str,
    control: str = OWN,
    column: str | None = None,
    unit: float = 1.0,
) -> Samples:
    """Samples whose channel is their own, that of another patient, or constant: an overlay's ``samples``.

    A network that is trained on its own channel is worth more than one trained on a constant by what the places in that
    channel tell. One trained on swapped channels shows what a channel that fits nobody costs.

    Args:
        samples: of the data set, such as `disk_samples` gives them.
        dataset_dir: its folder; the table of cases holds the column.
        channels: names of the input's channels. channel: the one that is replaced; without it nothing is.
        control: ``own``; ``swapped``: everybody gets the channel of one other patient, drawn once; ``constant``: the
            case's number in `column`, divided by `unit`.

    Raises:
        DataProblem: an unknown control, a column that is not there or has gaps, or one patient alone.
    """
    if control not in CONTROLS:
        what = f"'{control}' is no control of the channel {channel}"
        raise DataProblem(Problem("config", what, f"choose one of {', '.join(CONTROLS)}"))
    if control == OWN or isinstance(samples, NoSamples):
        return samples
    if channel not in channels:
        remedy = "name a control for networks that see the channel"
        raise DataProblem(Problem("config", f"the input has no channel {channel} to be {control}", remedy))
    made = ControlledImages(samples.image, list(channels).index(channel), range(len(samples)))
    if control == SWAPPED:
        made = replace(made, donors=_donors([row.unit for row in samples.rows]))
    else:
        made = replace(made, values=[value / unit for value in _values(samples, dataset_dir, column)])
    return Samples(made, samples.rows, samples.classes)


def _donors(units: Sequence[str]) -> list[int]:
    """Each sample's donor: the patients stand in a circle, and each gets a case of the next one."""
    patients = np.random.default_rng(_SEED).permutation(sorted(set(units))).tolist()
    if len(patients) < 2:
        raise DataProblem(Problem("data set", "there is one patient, and nobody to swap with", "bring more patients"))
    first = {unit: number for number, unit in reversed(list(enumerate(units)))}
    following = dict(zip(patients, [*patients[1:], patients[0]], strict=True))
    return [first[following[unit]] for unit in units]


def _values(samples: Samples, dataset_dir: str | Path, column: str | None) -> list[float]:
    table = read_cases(dataset_dir)
    if column not in table:
        raise DataProblem(Problem("data set", f"the table of cases has no column {column}", "prepare it again"))
    numbers = table.set_index(["subject", "case"])[column].astype(float).to_dict()
    values = [float(numbers.get((row.subject, row.case), float("nan"))) for row in samples.rows]
    lacking = [row.subject for row, value in zip(samples.rows, values, strict=True) if not np.isfinite(value)]
    if lacking:
        what = f"{len(lacking)} cases have no {column} ({', '.join(lacking[:3])})"
        raise DataProblem(Problem("data set", what, "fill the column in, or leave the constant control out"))
    return values
