"""Whether the server gets work done, and not only whether it lives: for who starts it and watches it."""

from __future__ import annotations

import time

import anyio

from pulsar_app.server import workers

_LASTS_S = 2.0
_PATIENCE_S = 10.0


class Readiness:
    """Has a worker do a piece of work, at most every two seconds, however many ask: anybody may."""

    def __init__(self) -> None:
        self._lock: anyio.Lock | None = None
        self._found, self._when = False, -_LASTS_S

    async def __call__(self) -> bool:
        """Whether the work was done within ten seconds."""
        self._lock = self._lock or anyio.Lock()
        async with self._lock:
            if time.monotonic() - self._when >= _LASTS_S:
                self._found = False
                with anyio.move_on_after(_PATIENCE_S):
                    self._found = await workers.ready()
                self._when = time.monotonic()
            return self._found
