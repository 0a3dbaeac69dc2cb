"""Prepare events after radiotherapy (radiation effect or recurrence) from a hospital's DICOM, or from NIfTI files."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from treatment_response.cohort.pipeline import check_key_place, check_output_place, write_key
from treatment_response.commands import command
from treatment_response.dicom.event_studies import find_events
from treatment_response.longitudinal.manifest import read_event_manifest
from treatment_response.longitudinal.pipeline import EventCohort, dry_run, prepare_events
from treatment_response.longitudinal.settings import DoseScale, LongitudinalSettings
from treatment_response.problems import DataProblem, Problem


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dicom_dir", type=Path, nargs="?", metavar="DICOM_DIR", help="never written to")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="the data set to write")
    parser.add_argument(
        "--clinical", type=Path, metavar="CSV", help="patients, dates of events, labels (with DICOM_DIR)"
    )
    parser.add_argument("--nifti", type=Path, metavar="MANIFEST.csv", help="prepare from NIfTI instead of DICOM_DIR")
    find = parser.add_argument_group("dose and lesion")
    find.add_argument(
        "--dose", choices=[*DoseScale], default="eqd2", help="EQD2 per course and voxel, or physical dose"
    )
    find.add_argument("--alpha-beta", type=float, default=2.0, metavar="GY", help="of EQD2 (2 Gy, brain)")
    find.add_argument("--roi", metavar="REGEX", help="names of the lesion's ROI on the event, for the built-in rule")
    split = parser.add_argument_group("folds")
    split.add_argument("--folds", type=int, default=5, help="by patient, stratified")
    split.add_argument("--test-patients", type=int, default=12, help="kept apart for a last test (12)")
    split.add_argument("--seed", type=int, default=0, help="of folds and test patients")
    run = parser.add_argument_group("running")
    run.add_argument("--dry-run", action="store_true", help="tell what would be taken and why not; write nothing")
    run.add_argument("--strict", action="store_true", help="exit status 1 if anything was left out")
    run.add_argument("--key", type=Path, metavar="FILE", help="write original ids here, readable by you alone")
    run.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    if (options.dicom_dir is None) == (options.nifti is None):
        parser.error("name either DICOM_DIR or --nifti MANIFEST.csv")
    if options.dicom_dir is not None and options.clinical is None:
        parser.error("DICOM_DIR needs --clinical CSV, which names the events and their labels")
    return options


def settings_of(options: argparse.Namespace) -> LongitudinalSettings:
    """The options as settings.

    Raises:
        DataProblem: a number that makes no sense.
    """
    if not 0 < options.alpha_beta <= 30:
        raise DataProblem(Problem("--alpha-beta", f"is {options.alpha_beta:g} Gy", "give a number above 0, up to 30"))
    if options.folds < 2:
        raise DataProblem(Problem("--folds", f"is {options.folds}, expected 2 or more", "ask for 5"))
    if options.test_patients < 0:
        raise DataProblem(Problem("--test-patients", f"is {options.test_patients}, expected 0 or more", "ask for 12"))
    return LongitudinalSettings(
        DoseScale(options.dose), options.alpha_beta, options.roi, options.folds, options.test_patients, options.seed
    )


def find_cohort(options: argparse.Namespace, console: Console) -> EventCohort:
    """The patients of the input, not yet read."""
    if options.nifti:
        return read_event_manifest(options.nifti)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading headers", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return find_events(options.dicom_dir, options.clinical, options.roi, advance, options.workers)


@command("finished patients are kept, and the same command goes on from there")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (``--strict`` and something was left out) or 2 (input that cannot be used)."""
    options = parse(arguments)
    console = Console(stderr=True)
    settings = settings_of(options)
    if not options.dry_run:
        if options.key:
            check_key_place(options.key, options.out)
        check_output_place(options.out, options.dicom_dir)
    cohort = find_cohort(options, console)
    if options.dry_run:
        summary = dry_run(cohort, settings, console)
    else:
        summary = prepare_events(cohort, options.out, settings, workers=options.workers, console=console)
        if options.key:
            write_key(options.key, [(subject, "", original, "") for subject, original in sorted(cohort.key.items())])
    print(summary.text)
    done = "would be taken (dry run, nothing was written)" if options.dry_run else "taken"
    print(f"{options.out}: {summary.taken} cases {done}, {summary.left_out} left out")
    return 1 if options.strict and summary.left_out else 0


if __name__ == "__main__":
    sys.exit(main())
