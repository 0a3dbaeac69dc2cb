"""What preparing a data set makes of damaged files: refused, told, the same, or, which must not be, changed untold.

A clean cohort is small: MR, structure sets, dose, plan and segmentations as DICOM, or NIfTI with a manifest. In each
copy of it one to three files are damaged, with a fixed seed. ``scripts/prepare_dicom.py`` runs on the copy in a process
of its own, with limits on time and memory. Its result is compared with that of the clean cohort, lesion by lesion.
A damaged file that is still valid and plausible (another pixel, a point of a contour moved a little) is counted apart.

    python benchmarks/fuzz_ingest.py [--cohorts 200] [--seed 0] [--only KIND] [--cohort NUMBER]

The exit status is 1 if a run ended with a traceback, took too long or too much memory, or if structural damage changed
the result and the report does not say a word about that patient, or gave a lesion another label.
"""

from __future__ import annotations

import os

# Set before numpy is imported: forked children must not inherit threads.
os.environ["OMP_NUM_THREADS"] = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

import argparse
import faulthandler
import multiprocessing
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import prepare_dicom
from fuzzing.clean_cohort import write_dicom_cohort, write_nifti_cohort
from fuzzing.damage import KINDS, damage_file
from fuzzing.outcome import FAILURES, Outcome, Result, compare, differences, new_input_lines, new_lines, read_result
from fuzzing.plausibility import is_plausible

SECONDS = 45.0
"""A run that takes longer hangs; the clean cohort takes about two."""
ADDRESS_SPACE = 8 << 30
MEMORY = 1 << 30
"""Bytes of memory that a run may use; the clean cohort uses a third."""
CHANCE_OF_MORE_FILES = 0.25
MANIFEST = "manifest.csv"
WEIGHTS = {"mr": 3.0, "rs.dcm": 3.0, "seg.dcm": 2.0}
"""How often a sort of file is damaged, to 1 of each other sort."""


@dataclass(frozen=True)
class Clean:
    """A clean cohort's folder, what the command made of it, and the folder of each patient id."""

    folder: Path
    result: Result
    folders: dict[str, str]


@dataclass
class Run:
    """One damaged cohort.

    Attributes:
        number: with the seed it fixes the damage.
        damage: per damaged file, relative to the cohort, what was done.
        plausible: folder of each damaged patient → whether all its damaged files are plausible.
    """

    number: int
    kind: str
    folder: Path
    damage: dict[str, str]
    plausible: dict[str, bool]
    process: multiprocessing.process.BaseProcess
    deadline: float
    outcome: Outcome = Outcome.SAME
    details: list[str] = field(default_factory=list)


def command(cohort: Path, folder: Path) -> list[str]:
    """The arguments of the command for a cohort; what it writes goes to ``folder``."""
    source = ["--nifti", str(cohort / MANIFEST)] if (cohort / MANIFEST).exists() else [str(cohort)]
    return [*source, "--out", str(folder / "out"), "--key", str(folder / "key.csv"), "--folds", "1", "--workers", "1"]


def run_command(arguments: list[str], folder: Path) -> None:
    """The command in this process, which ends with its exit status; what it prints goes to ``folder/printed.txt``."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with (folder / "printed.txt").open("wb") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    try:
        sys.exit(prepare_dicom.main(arguments))
    finally:
        (folder / "memory.txt").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def start(cohort: Path, folder: Path) -> multiprocessing.process.BaseProcess:
    """Start the command on a cohort in a forked process, which has imported everything already."""
    process = multiprocessing.get_context("fork").Process(target=run_command, args=(command(cohort, folder), folder))
    process.start()
    return process


def prepare_clean(folder: Path, nifti: bool) -> Clean:
    """Write a clean cohort and run the command on it."""
    cohort = folder / "cohort"
    cohort.mkdir(parents=True)
    (write_nifti_cohort if nifti else write_dicom_cohort)(cohort)
    process = start(cohort, folder)
    process.join(SECONDS)
    if process.exitcode != 0:
        raise SystemExit(f"the clean cohort cannot be prepared:\n{(folder / 'printed.txt').read_text()}")
    result = read_result(folder / "out", folder / "key.csv")
    patients = sorted(path.name for path in cohort.iterdir() if path.is_dir())
    return Clean(cohort, result, dict(zip(sorted(result.lines), patients, strict=True)))


def damage_cohort(clean: Clean, number: int, kind: str, seed: int, folder: Path) -> Run:
    """Make a damaged copy of a clean cohort and start the command on it."""
    rng = np.random.default_rng([seed, number])
    cohort = folder / "cohort"
    shutil.copytree(clean.folder, cohort, copy_function=os.link)
    files = sorted(path for path in clean.folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    count = 1 if rng.random() > CHANCE_OF_MORE_FILES else int(rng.integers(2, 4))
    damage: dict[str, str] = {}
    plausible: dict[str, bool] = {}
    for source in _choose(files, count, rng):
        relative = source.relative_to(clean.folder)
        path = cohort / relative
        path.unlink()
        shutil.copyfile(source, path)  # the other files are hard links to the clean ones
        others = [file for file in files if file != source]
        damage[str(relative)] = damage_file(kind, path, others, rng)
        patient = relative.parts[0]
        is_mask = kind == "nifti" and not source.name.startswith("image")
        fine = is_plausible(source.read_bytes(), path, is_mask) and not any(_same(path, file) for file in others)
        plausible[patient] = plausible.get(patient, True) and fine
    process = start(cohort, folder)
    return Run(number, kind, folder, damage, plausible, process, time.monotonic() + SECONDS)


def _choose(files: list[Path], count: int, rng: np.random.Generator) -> list[Path]:
    """Distinct files, by the weight of their sort: there are many more slices than other files."""
    sorts = ["mr" if path.parent.name == "mr" else path.name for path in files]
    of_sort = Counter(sorts)
    weights = np.array([WEIGHTS.get(sort, 1.0) / of_sort[sort] for sort in sorts])
    chosen = rng.choice(len(files), size=count, replace=False, p=weights / weights.sum())
    return [files[index] for index in chosen]


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def finish(run: Run, clean: Clean) -> None:
    """Class what came of a run that has ended, or that has to be ended."""
    if run.process.is_alive():
        run.process.kill()
        run.process.join()
        run.outcome = Outcome.HANG
        return
    printed = (run.folder / "printed.txt").read_text(encoding="utf-8", errors="replace")
    memory = int((run.folder / "memory.txt").read_text()) if (run.folder / "memory.txt").exists() else 0
    code = run.process.exitcode
    unexpected = re.findall(r"Traceback|an unexpected \w+ in .*", printed)
    if memory > MEMORY or re.search("MemoryError|Unable to allocate", printed):
        run.outcome, run.details = Outcome.MEMORY, [f"{memory / 2**20:.0f} MB"]
    elif unexpected or code not in (0, 2) or (code == 2 and not printed.strip()):
        run.outcome = Outcome.TRACEBACK
        run.details = [*sorted(set(unexpected)), f"exit status {code}", *printed.strip().splitlines()[-1:]]
    elif code == 2:
        run.outcome, run.details = Outcome.REFUSED, printed.strip().splitlines()[-8:]
    else:
        result = read_result(run.folder / "out", run.folder / "key.csv")
        run.outcome = compare(clean.result, result, clean.folders, run.plausible)
        run.details = list(_details(clean, result))


def _details(clean: Clean, result: Result) -> Iterator[str]:
    for patient, lesion, change in differences(clean.result, result):
        yield f"{patient} {lesion}: {change}"
    for patient in sorted(result.lines):
        yield from (f"told of {patient}: {line}" for line in sorted(new_lines(clean.result, result, patient)))
    yield from (f"told: {line}" for line in sorted(new_input_lines(clean.result, result)))


def run_all(numbers: list[int], seed: int, jobs: int, folder: Path) -> Iterator[Run]:
    """Run the command on damaged cohorts, ``jobs`` at a time; each run is yielded when it has ended."""
    names = list(KINDS)
    clean = {nifti: prepare_clean(folder / f"clean-{nifti}", nifti) for nifti in (False, True)}
    waiting = [(number, names[number % len(names)]) for number in numbers]
    running: list[Run] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            number, kind = waiting.pop(0)
            place = folder / f"{number:04d}"
            place.mkdir()
            running.append(damage_cohort(clean[kind == "nifti"], number, kind, seed, place))
        ended = [run for run in running if not run.process.is_alive() or time.monotonic() > run.deadline]
        for run in ended:
            running.remove(run)
            finish(run, clean[run.kind == "nifti"])
            shutil.rmtree(run.folder, ignore_errors=True)
            yield run
        if not ended:
            time.sleep(0.01)


def table(runs: list[Run]) -> str:
    """Number of cohorts by kind and outcome, as Markdown."""
    counts = Counter((run.kind, run.outcome) for run in runs)
    lines = [f"| | {' | '.join(Outcome)} |", "|---" * (1 + len(Outcome)) + "|"]
    for kind in [name for name in KINDS if any(run.kind == name for run in runs)]:
        lines.append(f"| {kind} | {' | '.join(str(counts[kind, outcome]) for outcome in Outcome)} |")
    totals = Counter(run.outcome for run in runs)
    lines.append(f"| **all {len(runs)}** | {' | '.join(f'**{totals[outcome]}**' for outcome in Outcome)} |")
    return "\n".join(lines)


def show(run: Run) -> str:
    """A run's damage, outcome and details."""
    lines = [f"cohort {run.number} ({run.kind}): {run.outcome}"]
    lines += [f"  {path}: {damage}" for path, damage in run.damage.items()]
    lines += [f"  {folder}: {'plausible' if fine else 'structural'}" for folder, fine in run.plausible.items()]
    return "\n".join([*lines, *(f"    {line}" for line in run.details)])


def main() -> int:
    """Print the table and each failure; returns 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=200, help="how many (200); the kinds take turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*KINDS], help="of the cohorts those of one kind")
    parser.add_argument("--cohort", type=int, action="append", metavar="NUMBER", help="this one, with all that is told")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    options = parser.parse_args()
    faulthandler.enable()
    numbers = options.cohort or list(range(options.cohorts))
    if options.only:
        numbers = [number for number in numbers if list(KINDS)[number % len(KINDS)] == options.only]
    started = time.monotonic()
    runs = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for run in run_all(numbers, options.seed, options.jobs, Path(folder)):
            runs.append(run)
            if options.cohort or run.outcome in FAILURES:
                print(show(run), flush=True)
    print(f"\n{table(runs)}\n\nseed {options.seed}, {time.monotonic() - started:.0f} s")
    return int(any(run.outcome in FAILURES for run in runs))


if __name__ == "__main__":
    raise SystemExit(main())
