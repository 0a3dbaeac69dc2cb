"""Where work that takes long is done: in threads for requests, in processes for files that may be hostile."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import anyio
from treatment_response.limited_workers import Limits, MemoryLimitError, WorkerFailed, Workers
from treatment_response.problems import Problem

from pulsar_app.server.problems import TooLarge, Unavailable
from pulsar_app.server.settings import server_settings

T = TypeVar("T")

_THREADS = 8
_DECODERS = 2
_SECONDS, _WAIT_SECONDS = 60.0, 30.0
_READY_SECONDS = 5.0
_MEMORY_PER_BYTE = 4
"""Bytes of memory for each byte that a volume may have: as stored, in the machine's order, scaled, and packed again."""


@cache
def _limiter() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(_THREADS)


async def in_worker(work: Callable[[], T]) -> T:
    """Run `work` in one of a few threads of its own and return its result; more requests than threads wait in order."""
    return await anyio.to_thread.run_sync(work, limiter=_limiter())


@cache
def decoders() -> Workers:
    """The processes that read volumes: a file that keeps them busy, fills their memory or crashes them ends one."""
    limits = Limits(_SECONDS, _MEMORY_PER_BYTE * server_settings().volume_limit, _WAIT_SECONDS)
    return Workers(_DECODERS, limits, ["treatment_response.inference.volume_files"])


def decode(where: str, function: Callable[..., T], *arguments: Any) -> T:
    """Read a file in a worker process.

    Args:
        where: how to call the file in problems.
        function: importable by name, and its arguments; large results go through files.

    Raises:
        TooLarge: it needs more memory than it may have.
        Unavailable: it takes too long, the process died, or none is free.
        DataProblem: from the function.
    """
    try:
        return decoders().call(function, *arguments)
    except MemoryLimitError:
        what = "reading it takes more memory than it may have"
        raise TooLarge(Problem(where, what, "send the volume at the resolution of the scanner")) from None
    except WorkerFailed as failure:
        raise Unavailable(Problem(where, f"it could not be read: {failure}", "try again later")) from None


async def ready() -> bool:
    """Whether a worker process answers, within five seconds."""
    with anyio.move_on_after(_READY_SECONDS):
        # The thread is left behind if no worker answers; the workers' own limits end it.
        return await anyio.to_thread.run_sync(_answers, abandon_on_cancel=True)
    return False


def _answers() -> bool:
    try:
        return decoders().call(os.getpid) > 0
    except WorkerFailed:
        return False
