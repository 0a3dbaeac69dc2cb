"""Which class a map explains: an object of its own, never a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from treatment_response.classes import CLASS_NAMES

Target = Callable[[torch.Tensor], torch.Tensor]
"""Maps logits ``(B, K)`` to the score ``(B,)`` whose gradient is explained."""


@dataclass(frozen=True)
class ClassScore:
    """The score of one class: the log of its odds, log p / (1 − p).

    With K ≥ 2 logits this is the class's logit minus the logsumexp of the others. The bare logit would not do: adding
    a number to all logits changes no probability, and must change no map. One logit z is the case K = 2: it is the log
    of the odds of class 1, so the scores are z and −z, and the unit of a map is the same for every network.

    Attributes:
        index: the class, ``0 <= index < K``.
    """

    index: int

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """The class's score ``(B,)`` of logits ``(B, K)``, or ``(B, 1)`` for two classes.

        Raises:
            ValueError: the network has no such class.
        """
        classes = max(2, logits.shape[1])
        if not 0 <= self.index < classes:
            raise ValueError(f"The network has classes 0 to {classes - 1}, there is no class {self.index}.")
        if logits.shape[1] == 1:
            return logits[:, 0] if self.index else -logits[:, 0]
        others = [index for index in range(classes) if index != self.index]
        return logits[:, self.index] - torch.logsumexp(logits[:, others], dim=1)


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
            raise ValueError(f"{self} needs one logit per case, got {logits.shape[1]}; use ClassScore for K classes.")
        return ClassScore(self.value)(logits)
