"""Measuring in parallel processes of one thread each, with a progress bar; they end with the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import SimpleITK as sitk
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from treatment_response.problems import DataProblem, Problem
from treatment_response.processes import worker_pool
from treatment_response.stopping import prepare_worker

Rows = list[dict[str, Any]]


def measure_all(
    measure: Callable[..., tuple[Rows, list[Problem]]],
    work: Sequence[tuple[Any, ...]],
    total: int,
    title: str,
    processes: int,
    console: Console | None,
) -> tuple[Rows, list[Problem]]:
    """Call `measure` on every item of work and put the results together.

    Args:
        measure: gives the rows of the lesions that could be measured, and the others' problems; picklable.
        work: its arguments, call by call.
        total: how many rows and problems there will be. title: of the progress bar; none without a console.
        processes: with 1 everything runs in this process.

    Raises:
        DataProblem: a process was killed from outside.
    """
    rows: Rows = []
    problems: list[Problem] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task(title, total=total)

        def take(result: tuple[Rows, list[Problem]]) -> None:
            rows.extend(result[0])
            problems.extend(result[1])
            progress.advance(task, len(result[0]) + len(result[1]))

        if processes <= 1:
            for item in work:
                take(measure(*item))
        else:
            _in_processes(measure, work, processes, take)
    return rows, problems


def _in_processes(
    measure: Callable[..., Any], work: Sequence[tuple[Any, ...]], processes: int, take: Callable[[Any], None]
) -> None:
    try:
        with worker_pool(min(processes, len(work)), ["treatment_response.features.extraction"], _one_thread) as pool:
            for future in as_completed([pool.submit(measure, *item) for item in work]):
                take(future.result())
    except BrokenProcessPool:  # most often because memory ran out
        what = "a process that measures lesions was killed"
        remedy = "start fewer, if memory is short; what was measured is kept, and the same command goes on"
        raise DataProblem(Problem("--workers", what, remedy)) from None


def _one_thread() -> None:
    prepare_worker()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
