"""Prepare a training data set from a hospital's DICOM, from NIfTI files, or from a public data set's layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from treatment_response.cohort.adapters.proteas import read_proteas
from treatment_response.cohort.estimate import check_room, estimate_work
from treatment_response.cohort.lesion import Absent
from treatment_response.cohort.manifest import read_manifest
from treatment_response.cohort.pipeline import Cohort, prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.cohort.prepare_command import (
    add_running_options,
    add_sources,
    check_places,
    check_sources,
    end,
    reading_headers,
)
from treatment_response.cohort.review import Review, check_review_kept, read_review
from treatment_response.commands import command
from treatment_response.dicom.ingest import IngestSettings, ingest_brain_tr, ingest_folder


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sources(parser)
    parser.add_argument("--layout", choices=("dicom", "brain-tr", "proteas"), default="dicom", help="of DICOM_DIR")
    label = parser.add_argument_group("labels")
    label.add_argument("--response-threshold", type=float, default=0.2, help="loss of volume that is response (0.2)")
    label.add_argument("--contouring-sd", type=float, default=0.3, metavar="MM", help="contouring uncertainty (0.3 mm)")
    label.add_argument(
        "--absent", choices=[*Absent], default="resolved", help="a lesion whose ROI is gone at follow-up"
    )
    label.add_argument("--follow-up-days", type=int, nargs=2, default=(60, 135), metavar=("FIRST", "LAST"))
    label.add_argument("--review", type=Path, metavar="CSV", help="an earlier review.csv with decisions filled in")
    label.add_argument("--folds", type=int, default=5, help="folds by patient; 1: no split")
    label.add_argument("--seed", type=int, default=0, help="of the folds")
    find = parser.add_argument_group("finding lesions and dose")
    find.add_argument("--roi", metavar="REGEX", help="names of lesions' ROIs, in place of the built-in rule")
    find.add_argument(
        "--match-tolerance-mm", type=float, default=10.0, help="between matched lesions after registration"
    )
    find.add_argument("--clinical", type=Path, metavar="CSV", help="prescriptions (brain-tr: workbook; proteas: days)")
    find.add_argument("--prescription", type=float, metavar="GY", help="where neither plan nor table states it")
    find.add_argument("--max-gradient-index", type=float, default=4.0, help="lesions above it are left out (4)")
    add_running_options(parser)
    options = parser.parse_args(arguments)
    check_sources(parser, options)
    return options


def find_cohort(options: argparse.Namespace, console: Console) -> Cohort:
    """The patients of the input, not yet read."""
    if options.nifti:
        return read_manifest(options.nifti)
    if options.layout == "proteas":
        return read_proteas(options.dicom_dir, options.clinical, tuple(options.follow_up_days))
    settings = IngestSettings(options.roi, options.prescription, options.match_tolerance_mm)
    with reading_headers(console) as advance:
        if options.layout == "brain-tr":
            return ingest_brain_tr(options.dicom_dir, options.clinical, settings, advance)
        days = tuple(options.follow_up_days)
        return ingest_folder(options.dicom_dir, settings, days, options.clinical, advance, options.workers)


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (``--strict`` and something was left out) or 2 (input that cannot be used)."""
    options = parse(arguments)
    console = Console(stderr=True)
    settings = PrepareSettings(
        response_threshold=options.response_threshold,
        contouring_sd_mm=options.contouring_sd,
        absent=Absent(options.absent),
        max_gradient_index=options.max_gradient_index,
        follow_up_days=tuple(options.follow_up_days),
        folds=options.folds,
        seed=options.seed,
        review=read_review(options.review) if options.review else Review(),
    )
    check_places(options, options.dicom_dir)
    if not options.dry_run:
        check_review_kept(options.out, options.review)
    cohort = find_cohort(options, console)
    estimate = estimate_work(cohort, options.workers)
    console.print(str(estimate))
    if not options.dry_run:
        check_room(options.out, estimate)
    summary = prepare_cohort(
        cohort, options.out, settings, workers=options.workers, console=console, dry_run=options.dry_run
    )
    return end(options, summary, summary.key, "lesions")


if __name__ == "__main__":
    sys.exit(main())
