"""Make the synthetic cohort: DICOM as a hospital has it, a clinical table, and the truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import Progress
from treatment_response.cohort.synthetic.anatomy import anatomy_from_image
from treatment_response.cohort.synthetic.lesion import NICHE_KINDS
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.commands import command
from treatment_response.dicom.anatomy import read_anatomy
from treatment_response.dicom.write_cohort import check_replaceable, write_cohort


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; an older synthetic cohort is replaced")
    parser.add_argument("--patients", type=int, default=39)
    parser.add_argument("--lesions", type=int, default=69, help="in all; one to eight per patient")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--niche", choices=NICHE_KINDS, default="texture", help="how the resistant niche looks")
    parser.add_argument("--anatomy", type=Path, help="folder of a real head MR series to plant the lesions into")
    options = parser.parse_args(arguments)
    check_replaceable(options.out)
    anatomy = anatomy_from_image(read_anatomy(options.anatomy)) if options.anatomy else None
    cohort = simulate_cohort(options.patients, options.lesions, options.seed, niche=options.niche, anatomy=anatomy)
    with Progress(transient=True) as progress:
        task = progress.add_task("Writing patients", total=options.patients)
        write_cohort(cohort, options.out, lambda done, total: progress.update(task, completed=done, total=total))
    lesions = [lesion for patient in cohort.patients for lesion in patient.lesions]
    responders = sum(lesion.label for lesion in lesions)
    print(
        f"{options.out}: {len(cohort.patients)} synthetic patients, {len(lesions)} lesions, {responders} response, "
        f"{len(lesions) - responders} non-response, niche '{cohort.niche}', seed {cohort.seed}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
