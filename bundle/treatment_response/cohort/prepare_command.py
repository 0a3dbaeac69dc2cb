"""What the commands that prepare a data set share: options, places that may be written to, and how they end."""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class Summary:
    """What came of preparing a data set.

    Attributes:
        text: the report.
        taken: number of cases taken.
        left_out: number of cases, patients and faults that were left out.
        key: rows of the key file: our id, lesion, original id, original name of the lesion.
    """

    text: str
    taken: int
    left_out: int
    key: tuple[tuple[str, str, str, str], ...] = ()


def add_running_options(parser: argparse.ArgumentParser, original: str = "original ids") -> None:
    """Add ``--dry-run --strict --key --workers``.

    Args:
        original: what the key file holds beside our own ids.
    """
    run = parser.add_argument_group("running")
    run.add_argument("--dry-run", action="store_true", help="tell what would be used and left out; write nothing")
    run.add_argument("--strict", action="store_true", help="exit status 1 if anything was left out")
    run.add_argument("--key", type=Path, metavar="FILE", help=f"write {original} here, readable by you alone")
    run.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add what a data set can be prepared from, ``DICOM_DIR`` and ``--nifti``, and ``--out``."""
    parser.add_argument("dicom_dir", type=Path, nargs="?", metavar="DICOM_DIR", help="never written to")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="the data set to write")
    parser.add_argument("--nifti", type=Path, metavar="MANIFEST.csv", help="prepare from NIfTI instead of DICOM_DIR")


def check_sources(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command unless one of the sources of `add_sources` was named."""
    if (options.dicom_dir is None) == (options.nifti is None):
        parser.error("name either DICOM_DIR or --nifti MANIFEST.csv")


@contextmanager
def reading_headers(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar while headers are read; the block gets what tells it how many are done, of how many."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading headers", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance


def check_places(options: argparse.Namespace, source: Path | None) -> None:
    """Refuse places that the command must not or cannot write to, unless it writes nothing.

    Args:
        options: with those of `add_running_options` and ``out``.
        source: folder of the images; None where there is none.

    Raises:
        DataProblem: as of `check_key_place` and `check_output_place`.
    """
    if options.dry_run:
        return
    if options.key:
        check_key_place(options.key, options.out)
    check_output_place(options.out, source)


def check_key_place(path: Path, dataset: Path) -> None:
    """Refuse a key file inside the data set, which is made to be passed on.

    Raises:
        DataProblem: ``path`` lies inside ``dataset``, or its folder does not exist.
    """
    if not path.parent.is_dir():
        raise DataProblem(Problem("--key", "its folder does not exist", "make the folder, or name another place"))
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise DataProblem(Problem("--key", "is no file that can be written", "name a file in a folder of yours"))
    if path.resolve().is_relative_to(dataset.resolve()):
        raise DataProblem(Problem("--key", "lies inside the data set, which would identify it", "name a place outside"))


def check_output_place(out: Path, source: Path | None) -> None:
    """Refuse a data set inside the hospital's folder, which is never written to, or where nothing can be written.

    Raises:
        DataProblem: ``out`` lies inside ``source``, or its nearest existing folder cannot be written to.
    """
    place = out.resolve()
    if source is not None and place.is_relative_to(source.resolve()):
        raise DataProblem(Problem("--out", "lies inside DICOM_DIR, which is only read", "name a place outside"))
    nearest = next(folder for folder in place.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise DataProblem(Problem("--out", "nothing can be written there", "name a place that you can write to"))


def write_key(path: Path, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Write who is who, readable by the owner alone: this file identifies patients.

    Args:
        rows: our id, lesion, original id, original name of the lesion.
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("subject", "lesion", "original_id", "original_name"))
        writer.writerows(rows)


def end(
    options: argparse.Namespace,
    summary: Summary,
    key: Sequence[tuple[str, str, str, str]],
    cases: str,
    left_out: str = "things left out or faulty",
) -> int:
    """Write the key file if one is asked for, print the report and a line on it, and give the exit status.

    Args:
        options: with those of `add_running_options` and ``out``.
        key: rows of the key file, see `write_key`.
        cases: what is taken. left_out: what the others are called.

    Returns:
        0; 1 where ``--strict`` is given and something was left out.
    """
    if options.key and not options.dry_run:
        write_key(options.key, key)
    print(summary.text)
    done = "would be taken (dry run, nothing was written)" if options.dry_run else "taken"
    print(f"{options.out}: {summary.taken} {cases} {done}, {summary.left_out} {left_out}")
    return 1 if options.strict and summary.left_out else 0
