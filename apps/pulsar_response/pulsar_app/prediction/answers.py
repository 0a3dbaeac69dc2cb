"""The last answers, for panels that show what a viewer itself does not."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import Any


class LastAnswers:
    """The last answer of each of the images that were asked for most recently.

    Args:
        keep: how many images.
    """

    def __init__(self, keep: int = 64) -> None:
        self.keep = keep
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, image_id: str, answer: dict[str, Any]) -> None:
        """Remember an answer."""
        with self._lock:
            self._answers[image_id] = copy.deepcopy(answer)
            self._answers.move_to_end(image_id)
            while len(self._answers) > self.keep:
                self._answers.popitem(last=False)

    def get(self, image_id: str) -> dict[str, Any] | None:
        """The last answer for an image; None if there is none (any more)."""
        with self._lock:
            return copy.deepcopy(self._answers.get(image_id))
