"""The last answers, for panels that show what a viewer itself does not."""

from __future__ import annotations

import copy
import threading
from typing import Any

from cachetools import FIFOCache


class LastAnswers:
    """The last answer of each of the images that were asked for most recently.

    Args:
        keep: how many images.
    """

    def __init__(self, keep: int = 64) -> None:
        self._answers: FIFOCache[str, dict[str, Any]] = FIFOCache(keep)
        self._lock = threading.Lock()

    def put(self, image_id: str, answer: dict[str, Any]) -> None:
        """Remember an answer."""
        with self._lock:
            self._answers[image_id] = copy.deepcopy(answer)

    def get(self, image_id: str) -> dict[str, Any] | None:
        """The last answer for an image; None if there is none (any more)."""
        with self._lock:
            return copy.deepcopy(self._answers.get(image_id))
