"""The folder of a synthetic cohort: made whole or not at all, and never over something else."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from treatment_response.problems import DataProblem, Problem

MARKER = "cohort.json"
"""Says how the cohort was made, and that the folder is one."""


def check_replaceable(out: Path) -> None:
    """Raise a DataProblem if ``out`` exists and is neither empty nor a synthetic cohort."""
    if out.exists() and not (out.is_dir() and ((out / MARKER).is_file() or not any(out.iterdir()))):
        raise DataProblem(
            Problem(
                f"output folder '{out.name}'",
                "it holds something that is not a synthetic cohort, and is left alone",
                "choose another --out or empty that folder",
            )
        )


@contextmanager
def new_cohort(out: Path, settings: Mapping[str, object]) -> Iterator[Path]:
    """A hidden sibling of ``out`` to write a cohort into, which takes its place when the ``with`` block ends well.

    Args:
        out: new folder; an empty folder or an older synthetic cohort there is replaced.
        settings: how the cohort was made, for `MARKER`.

    Raises:
        DataProblem: ``out`` holds something else.
    """
    check_replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    yield part
    (part / MARKER).write_text(json.dumps(settings, indent=2) + "\n")
    if out.exists():
        shutil.rmtree(out)
    part.rename(out)


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
