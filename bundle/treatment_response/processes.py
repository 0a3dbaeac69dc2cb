"""Parallel processes of one command: how they start, and that they end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

from treatment_response.stopping import prepare_worker

Item = TypeVar("Item")
Result = TypeVar("Result")
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


def in_order(
    pool: ProcessPoolExecutor,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Results of all items in their order; the first failure ends the work.

    Args:
        progress: called with how many are done, and of how many.
    """
    futures = [pool.submit(work, item) for item in items]
    for done, future in enumerate(as_completed(futures), start=1):
        future.result()
        if progress:
            progress(done, len(futures))
    return [future.result() for future in futures]


def for_each(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    preload: Sequence[str],
    progress: Callable[[int, int], None],
) -> list[Result]:
    """As `in_order`, in a pool of its own, or in this process where one is enough.

    Args:
        processes: how many at most.
        preload: see `worker_pool`.
    """
    if processes <= 1 or len(items) <= 1:
        results = []
        for done, item in enumerate(items, start=1):
            results.append(work(item))
            progress(done, len(items))
        return results
    with worker_pool(min(processes, len(items)), preload) as pool:
        return in_order(pool, work, items, progress)
