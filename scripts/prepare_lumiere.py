"""Prepare a training data set of pairs of studies from LUMIERE: glioblastoma over time with expert RANO ratings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from treatment_response.cases.atlas_images import ScannedImages
from treatment_response.cohort.adapters.lumiere import RANO, WORDS, AtlasImages, read_lumiere
from treatment_response.cohort.adapters.lumiere_tables import SEQUENCES
from treatment_response.cohort.pair_pipeline import PairCohort, PairSettings, prepare_pairs
from treatment_response.cohort.pipeline import total_size
from treatment_response.cohort.prepare_command import add_running_options, check_places, end
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
    add_running_options(parser, "LUMIERE's own names")
    options = parser.parse_args(arguments)
    if options.atlas and options.images != "authors":
        parser.error("--atlas belongs to --images authors")
    return options


@command("no data set was written; the same command goes on where it stopped")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 (``--strict`` and something was left out) or 2 (input that cannot be used)."""
    options = parse(arguments)
    check_places(options, options.lumiere_dir)
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
    key = [(ours, "", original, "") for ours, original in sorted(folder.key.items())]
    return end(options, summary, key, "pairs")


if __name__ == "__main__":
    sys.exit(main())
