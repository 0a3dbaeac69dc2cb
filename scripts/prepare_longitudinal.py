"""Prepare events after radiotherapy (radiation effect or recurrence) from a hospital's DICOM, or from NIfTI files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from treatment_response.cohort.prepare_command import (
    add_running_options,
    add_sources,
    check_places,
    check_sources,
    end,
    reading_headers,
)
from treatment_response.commands import command
from treatment_response.dicom.event_studies import find_events
from treatment_response.longitudinal.manifest import read_event_manifest
from treatment_response.longitudinal.pipeline import EventCohort, dry_run, prepare_events
from treatment_response.longitudinal.settings import DoseScale, LongitudinalSettings
from treatment_response.problems import DataProblem, Problem


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sources(parser)
    parser.add_argument(
        "--clinical", type=Path, metavar="CSV", help="patients, dates of events, labels (with DICOM_DIR)"
    )
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
    add_running_options(parser)
    options = parser.parse_args(arguments)
    check_sources(parser, options)
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
    with reading_headers(console) as advance:
        return find_events(options.dicom_dir, options.clinical, options.roi, advance, options.workers)


@command("finished patients are kept, and the same command goes on from there")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (``--strict`` and something was left out) or 2 (input that cannot be used)."""
    options = parse(arguments)
    console = Console(stderr=True)
    settings = settings_of(options)
    check_places(options, options.dicom_dir)
    cohort = find_cohort(options, console)
    if options.dry_run:
        summary = dry_run(cohort, settings, console)
    else:
        summary = prepare_events(cohort, options.out, settings, workers=options.workers, console=console)
    key = [(subject, "", original, "") for subject, original in sorted(cohort.key.items())]
    return end(options, summary, key, "cases", "left out")


if __name__ == "__main__":
    sys.exit(main())
