"""The curves of a run as a table."""

from __future__ import annotations

import csv
from pathlib import Path

from ignite.engine import Engine, Events

from treatment_response.files import whole_file

FIRST_COLUMNS = ("epoch", "loss", "reconstruction", "classification", "accuracy")


class History:
    """Write ``history.csv``: one row per epoch with every metric of the engine, empty where it was not computed.

    A resumed run keeps the rows up to the epoch it starts from. Attach it after the handlers that add metrics, and
    after the one that restores a checkpoint.

    Args:
        output_dir: the run's folder.
    """

    def __init__(self, output_dir: str) -> None:
        self.path = Path(output_dir) / "history.csv"
        self.rows: list[dict[str, str]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def start(self, engine: Engine) -> None:
        self.rows = []
        if engine.state.epoch and self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= engine.state.epoch]

    def __call__(self, engine: Engine) -> None:
        row = {"epoch": str(engine.state.epoch)}
        self.rows.append(row | {name: f"{value:.6g}" for name, value in engine.state.metrics.items()})
        names = {name for row in self.rows for name in row}
        columns = [name for name in FIRST_COLUMNS if name in names]
        columns += sorted(names - set(columns))
        # Others read it while the run goes on.
        with whole_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
