"""Threads for work that takes long, so that it never keeps the server from answering short requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import anyio

T = TypeVar("T")

_THREADS = 8


@cache
def _limiter() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(_THREADS)


async def in_worker(work: Callable[[], T]) -> T:
    """Run `work` in one of a few threads of its own and return its result; more requests than threads wait in order."""
    return await anyio.to_thread.run_sync(work, limiter=_limiter())


async def ready() -> bool:
    """Whether a worker does what it is asked to."""
    return await in_worker(lambda: True)
