"""Work that every preparation does patient by patient: in processes, with a bar, and past one odd patient."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from treatment_response.processes import for_each

Source = TypeVar("Source")
Outcome = TypeVar("Outcome")


def patients_bar(console: Console | None) -> Progress:
    """A bar of patients, not shown without a console."""
    columns = (TextColumn("preparing patients"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=console is None)


def over_patients(
    work: Callable[[Source], Outcome], sources: Sequence[Source], workers: int, module: str, console: Console | None
) -> list[Outcome]:
    """Run ``work`` on each patient, with a bar; outcomes come back in the order of ``sources``.

    Args:
        workers: processes at most.
        module: where ``work`` is defined.
    """
    modules = [module, *sorted({type(source).__module__ for source in sources})]
    with patients_bar(console) as bar:
        task = bar.add_task("patients", total=len(sources))
        return for_each(work, sources, workers, modules, lambda done, _: bar.update(task, completed=done))


def unexpected(error: Exception) -> str:
    """What is told of an error that nobody foresaw: kind and place, for its message may quote a name."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"an unexpected {type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
