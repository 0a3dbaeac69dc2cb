"""Which class a map explains: an object of its own, never a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from treatment_response.classes import CLASS_NAMES

Target = Callable[[torch.Tensor], torch.Tensor]
"""Maps logits ``(B, K)`` to the score ``(B,)`` whose gradient is explained."""


class TargetClass(Enum):
    """The two classes of a network with one logit z, which is the logit of response.

    The score of response is z, that of non-response is −z; so the gradient of one is minus that of the other.
    The value is the class number.
    """

    NON_RESPONSE = 0
    RESPONSE = 1

    @property
    def sign(self) -> int:
        """+1 for response, −1 for non-response."""
        return 1 if self is TargetClass.RESPONSE else -1

    @property
    def label(self) -> str:
        """The class in files and on screens: ``response`` or ``non-response``."""
        return CLASS_NAMES[self.value]

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """The class's score ``(B,)`` of logits ``(B, 1)``."""
        if logits.shape[1] != 1:
            raise ValueError(f"{self} needs one logit per case, got {logits.shape[1]}; use ClassIndex for K classes.")
        return self.sign * logits[:, 0]


@dataclass(frozen=True)
class ClassIndex:
    """One class of a network with K logits: its score is its logit.

    Attributes:
        index: the class, ``0 <= index < K``.
    """

    index: int

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """The class's score ``(B,)`` of logits ``(B, K)``."""
        if not 0 <= self.index < logits.shape[1]:
            raise ValueError(f"The network has classes 0 to {logits.shape[1] - 1}, there is no class {self.index}.")
        return logits[:, self.index]
