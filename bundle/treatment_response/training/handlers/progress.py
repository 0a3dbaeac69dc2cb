"""What a person sees while a run goes on."""

from __future__ import annotations

import sys

from ignite.engine import Engine, Events
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressLine:
    """One line that is updated in place: epochs, time left, losses and metrics. Silent where stderr is no terminal.

    Args:
        description: what the line begins with.
    """

    def __init__(self, description: str = "training") -> None:
        self.description = description
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.stop)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        self.task = self.progress.add_task(
            self.description, total=engine.state.max_epochs, completed=engine.state.epoch, metrics=""
        )
        self.progress.start()

    def __call__(self, engine: Engine) -> None:
        text = "  ".join(f"{name} {value:.3f}" for name, value in engine.state.metrics.items())
        self.progress.update(self.task, completed=engine.state.epoch, metrics=text)

    def stop(self, engine: Engine) -> None:
        self.progress.stop()

    def fail(self, engine: Engine, error: BaseException) -> None:
        self.progress.stop()
        raise error
