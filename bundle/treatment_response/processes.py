"""Parallel processes of one command: how they start, and that they end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any

from treatment_response.stopping import prepare_worker

END_SECONDS = 5.0
"""How long an ended process may take to be gone."""


@contextmanager
def worker_pool(
    processes: int, preload: Sequence[str], prepare: Callable[..., None] = prepare_worker, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the work of one command.

    They are forked from a small server that has imported what they need and has no threads. Plainly forked processes
    would inherit those of libraries and of a progress bar in an undefined state; spawned ones would import all again.
    They end at once when the work fails or is stopped.

    Args:
        processes: how many.
        preload: modules that the server imports before the first process is forked. One server serves all pools of a
            command: what later pools name is imported in each of their processes.
        prepare: called with `arguments` first in each process; calls `prepare_worker`.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(processes, mp_context=context, initializer=prepare, initargs=arguments) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children = active_children()
            for child in children:
                child.terminate()
            for child in children:  # what they wrote into is cleaned up next
                child.join(END_SECONDS)
            raise
