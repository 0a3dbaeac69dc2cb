"""Prepare a training data set of pairs of studies from LUMIERE: glioblastoma over time with expert RANO ratings."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from treatment_response.cases.atlas_images import ScannedImages
from treatment_response.cohort.adapters.lumiere import RANO, WORDS, AtlasImages, read_lumiere
from treatment_response.cohort.adapters.lumiere_tables import SEQUENCES
from treatment_response.cohort.pair_pipeline import PairCohort, PairSettings, prepare_pairs
from treatment_response.cohort.pipeline import check_key_place, check_output_place, total_size, write_key
from treatment_response.commands import command
from treatment_response.files import check_room

ROOM = 1.5
"""Size of the data set over that of the images, at most."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lumiere_dir", type=Path, metavar="LUMIERE_DIR", help="tables and Imaging/; never written to")
    parser.add_argument("--out", type=Path, required=True, metavar="DATASET", help="the data set to write")
    parser.add_argument(
        "--sequences", nargs="+", choices=SEQUENCES, default=list(SEQUENCES), help="that both studies of a pair need"
    )
    parser.add_argument(
        "--images", choices=("atlas", "authors"), default="atlas", help="LUMIERE's own, or made from the scans (hours)"
    )
    parser.add_argument("--atlas", type=Path, metavar="FILE", help="of --images authors: a brain's T1 (MNI152)")
    parser.add_argument("--folds", type=int, default=5, help="by patient, and as many by time point; 1: no split")
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    run = parser.add_argument_group("running")
    run.add_argument("--dry-run", action="store_true", help="tell what would be used and left out; write nothing")
    run.add_argument("--strict", action="store_true", help="exit status 1 if anything was left out")
    run.add_argument("--key", type=Path, metavar="FILE", help="write LUMIERE's own names here, readable by you alone")
    run.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    if options.atlas and options.images != "authors":
        parser.error("--atlas belongs to --images authors")
    return options


@command("no data set was written; the same command goes on where it stopped")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (``--strict`` and something was left out) or 2 (input that cannot be used)."""
    options = parse(arguments)
    if not options.dry_run:
        check_output_place(options.out, options.lumiere_dir)
        if options.key:
            check_key_place(options.key, options.out)
    folder = read_lumiere(options.lumiere_dir)
    cohort = PairCohort(
        folder.patients, folder.left_out, "LUMIERE (NIfTI)", RANO, WORDS, folder.problems, folder.synthetic
    )
    reader = AtlasImages() if options.images == "atlas" else ScannedImages(options.atlas, read_only=options.dry_run)
    if not options.dry_run:
        images = (reader.files(study) for patient in folder.patients for study in patient.folders.values())
        size = total_size(path for files in images for path in files.values())
        check_room(options.out, round(ROOM * size), "--out", "the data set")
    settings = PairSettings(tuple(options.sequences), options.folds, options.seed)
    summary = prepare_pairs(
        cohort,
        reader,
        options.out,
        settings,
        workers=options.workers,
        console=Console(stderr=True),
        dry_run=options.dry_run,
    )
    if options.key and not options.dry_run:
        write_key(options.key, [(ours, "", original, "") for ours, original in sorted(folder.key.items())])
    print(summary.text)
    done = "would be taken (dry run, nothing was written)" if options.dry_run else "taken"
    print(f"{options.out}: {summary.taken} pairs {done}, {summary.left_out} things left out or faulty")
    return 1 if options.strict and summary.left_out else 0


if __name__ == "__main__":
    sys.exit(main())
