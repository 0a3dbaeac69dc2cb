"""What a request's time was spent on."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._spent: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """The time since the last lap or addition was spent on this."""
        now = time.perf_counter()
        self._spent[name] = self._spent.get(name, 0.0) + now - self._last
        self._last = now

    def add(self, seconds: Mapping[str, float]) -> None:
        """Somebody else measured these parts of the time since the last lap."""
        for name, spent in seconds.items():
            self._spent[name] = self._spent.get(name, 0.0) + spent
        self._last = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        total = time.perf_counter() - self._started
        return {**{name: round(spent, 4) for name, spent in self._spent.items()}, "total": round(total, 4)}
