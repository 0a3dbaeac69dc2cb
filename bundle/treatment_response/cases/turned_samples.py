"""A pretext task: which way was the head turned? Each case in six directions, with the direction as its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from treatment_response.cases.samples import NoSamples, Samples
from treatment_response.classes import Classes
from treatment_response.problems import DataProblem, Problem

TURNS: dict[str, tuple[int, tuple[int, int]]] = {
    "up": (0, (1, 2)),
    "front": (3, (1, 2)),
    "down": (2, (1, 2)),
    "back": (1, (1, 2)),
    "right": (3, (0, 2)),
    "left": (1, (0, 2)),
}
"""Where the top of the head points to: quarter turns, and the two grid axes (of a RAS grid) that they are in."""
CLASSES = Classes(tuple(TURNS), "up", "balanced_accuracy")


@dataclass(frozen=True)
class TurnedImages:
    """Inputs ``(C, N, N, N)`` of which each has its own turn; a `StoredImages`.

    Attributes:
        images: as they are: ``(N, C, *grid)``, or N stored images.
        places: which of them, in this order. turns: for each, a number of `TURNS`.
    """

    images: Any
    places: Sequence[int]
    turns: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self.images[self.places[index]]
        if len(set(image.shape[1:])) > 1:
            what = f"an input of {' × '.join(map(str, image.shape[1:]))} voxels is no cube, and cannot be turned"
            raise DataProblem(Problem("--patch_size", what, "give three equal numbers"))
        quarters, (first, second) = list(TURNS.values())[self.turns[index]]
        return torch.rot90(image, quarters, (first + 1, second + 1)).contiguous()

    def chosen(self, indices: Sequence[int]) -> TurnedImages:
        """Some of them."""
        places, turns = ([given[index] for index in indices] for given in (self.places, self.turns))
        return replace(self, places=places, turns=turns)

    def joined(self, others: Sequence[TurnedImages]) -> TurnedImages:
        """These, and after them others of the same data set."""
        parts = [self, *others]
        places = [place for part in parts for place in part.places]
        return replace(self, places=places, turns=[turn for part in parts for turn in part.turns])

    def in_half(self) -> TurnedImages:
        """The same in half precision, where they are stored so."""
        return self if isinstance(self.images, torch.Tensor) else replace(self, images=self.images.in_half())


def turned_samples(samples: Samples) -> Samples:
    """Each case once for each of `TURNS`, whose number is its class; folds and patients stay. An overlay's ``samples``.

    The case's own class plays no part, so that cases without one serve too. Turn off random flips: a head that is
    mirrored from top to bottom looks like one that is turned.

    Args:
        samples: inputs that are cubes, their axes along RAS.
    """
    if isinstance(samples, NoSamples):
        return samples
    places = [place for place in range(len(samples)) for _ in TURNS]
    turns = [turn for _ in range(len(samples)) for turn in range(len(TURNS))]
    rows = [
        replace(samples.rows[place], case=f"{samples.rows[place].case} {CLASSES.names[turn]}", label=turn)
        for place, turn in zip(places, turns, strict=True)
    ]
    return Samples(TurnedImages(samples.image, places, turns), rows, CLASSES)
