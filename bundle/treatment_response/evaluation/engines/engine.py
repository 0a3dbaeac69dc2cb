"""What every engine does: many calls of one function, each in one thread."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from threadpoolctl import threadpool_limits

POLL_SECONDS = 0.5

Function = Callable[..., None]
Call = tuple[Any, ...]
Done = Callable[[int], None]
Waiting = Callable[[], None]


class _Future(Protocol):
    def done(self) -> bool: ...
    def result(self) -> Any: ...


def ignore(*_: Any) -> None:
    """Stands for a callback where nobody asked to be told."""


class Engine(ABC):
    """Runs a function once for each of many arguments.

    Attributes:
        parallel: whether calls run beside this process, which then can watch them.
    """

    parallel = True

    def share(self, value: Any) -> Any:
        """A stand-in for a large argument of several calls, which is sent to each worker once instead of every time."""
        return value

    @abstractmethod
    def run(self, function: Function, calls: Sequence[Call], done: Done = ignore, waiting: Waiting = ignore) -> None:
        """Call ``function(*call)`` for every call; what is left over is cancelled when one fails or on Ctrl-C.

        Args:
            function: importable by name; it writes files and returns nothing.
            calls: its arguments, which can be pickled.
            done: told the index of each call that is done, in this process.
            waiting: called about twice a second meanwhile.

        Raises:
            DataProblem: from a call, or because workers died.
        """


def call_in_one_thread(function: Function, *arguments: Any) -> None:
    """Call it with one thread in torch and in linear algebra, so that sums are in the same order anywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            function(*arguments)
    finally:
        torch.set_num_threads(threads)


def follow(futures: dict[Any, int], done: Done, waiting: Waiting) -> None:
    """Wait for all futures (of any executor), telling what happens; the first error is raised."""
    running: dict[_Future, int] = dict(futures)
    while running:
        for future in [future for future in running if future.done()]:
            index = running.pop(future)
            future.result()
            done(index)
        waiting()
        if running:
            time.sleep(POLL_SECONDS if all(not future.done() for future in running) else 0)
