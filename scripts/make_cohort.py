"""Make a system's synthetic cohort: files as a hospital or a public data set has them, tables, and the truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.progress import Progress
from treatment_response.cohort.synthetic.anatomy import anatomy_from_image
from treatment_response.cohort.synthetic.folder import check_replaceable, new_cohort
from treatment_response.cohort.synthetic.lesion import NICHE_KINDS
from treatment_response.cohort.synthetic.rano.course import CLASSES
from treatment_response.cohort.synthetic.rano.write import simulate_rano, write_rano
from treatment_response.cohort.synthetic.rice.simulate import EFFECT, MIXED, RECURRENCE, simulate_rice
from treatment_response.cohort.synthetic.rice.strengths import SETTINGS
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.commands import check_options, command
from treatment_response.dicom.anatomy import read_anatomy
from treatment_response.dicom.write_cohort import write_cohort
from treatment_response.dicom.write_rice_cohort import write_rice_cohort

OPTIONS = {
    "pulsar": ("lesions", "niche", "anatomy"),
    "rice": ("mixed", "strengths", "spacing"),
    "rano": ("spacing", "workers"),
}
"""What not every system's cohort has."""


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; an older synthetic cohort is replaced")
    parser.add_argument("--system", choices=OPTIONS, default="pulsar", help="whose question it asks (pulsar)")
    parser.add_argument("--patients", type=int, help="39 of pulsar; 92 of rice; 91 of rano")
    parser.add_argument("--seed", type=int, default=0)
    pulsar = parser.add_argument_group("of pulsar")
    pulsar.add_argument("--lesions", type=int, help="in all; one to eight per patient (69)")
    pulsar.add_argument("--niche", choices=NICHE_KINDS, help="how the resistant niche looks (texture)")
    pulsar.add_argument("--anatomy", type=Path, help="folder of a real head MR series to plant the lesions into")
    rice = parser.add_argument_group("of rice")
    rice.add_argument("--mixed", type=int, help="patients beyond the others whose label is 'mixed' (3)")
    rice.add_argument("--strengths", choices=SETTINGS, help="how much dose and the rest tell (default)")
    rice.add_argument(
        "--spacing", type=float, help="also of rano: pixel of an MR in mm; other voxels scale with it (1; rano 4)"
    )
    rano = parser.add_argument_group("of rano")
    rano.add_argument("--workers", type=int, help="processes that render patients (1)")
    options = parser.parse_args(arguments)
    check_options(options, OPTIONS)
    check_replaceable(options.out)
    make = {"pulsar": _make_pulsar, "rice": _make_rice, "rano": _make_rano}[options.system]
    with Progress(transient=True) as progress:
        task = progress.add_task("Writing patients", total=None)
        summary = make(options, lambda done, total: progress.update(task, completed=done, total=total))
    print(f"{options.out}: {summary}, seed {options.seed}")
    return 0


def _given(**values: object) -> dict[str, object]:
    """Those that the command line gives; the functions' own defaults serve for the others."""
    return {name: value for name, value in values.items() if value is not None}


def _make_pulsar(options: argparse.Namespace, progress: Callable[[int, int], None]) -> str:
    anatomy = anatomy_from_image(read_anatomy(options.anatomy)) if options.anatomy else None
    given = _given(patients=options.patients, lesions=options.lesions, niche=options.niche)
    cohort = simulate_cohort(seed=options.seed, anatomy=anatomy, **given)  # type: ignore[arg-type]
    write_cohort(cohort, options.out, progress)
    lesions = [lesion for patient in cohort.patients for lesion in patient.lesions]
    responders = sum(lesion.label for lesion in lesions)
    return (
        f"{len(cohort.patients)} synthetic patients, {len(lesions)} lesions, {responders} response, "
        f"{len(lesions) - responders} non-response, niche '{cohort.niche}'"
    )


def _make_rice(options: argparse.Namespace, progress: Callable[[int, int], None]) -> str:
    given = _given(
        patients=options.patients, mixed=options.mixed, setting=options.strengths, spacing_mm=options.spacing
    )
    cohort = simulate_rice(seed=options.seed, **given)  # type: ignore[arg-type]
    write_rice_cohort(cohort, options.out, progress)
    labels = [patient.label for patient in cohort.patients]
    counts = ", ".join(f"{labels.count(label)} {label}" for label in (RECURRENCE, EFFECT, MIXED))
    return f"{len(labels)} synthetic patients, {counts}, strengths '{cohort.setting}'"


def _make_rano(options: argparse.Namespace, progress: Callable[[int, int], None]) -> str:
    given = _given(patients=options.patients, spacing_mm=options.spacing)
    cohort = simulate_rano(seed=options.seed, **given)  # type: ignore[arg-type]
    settings = {"system": "rano", "patients": len(cohort.patients), "seed": cohort.seed, "spacing": cohort.spacing_mm}
    with new_cohort(options.out, settings) as folder:
        write_rano(cohort, folder, progress, options.workers or 1)
    ratings = [study.rating for patient in cohort.patients for study in patient.studies]
    counts = ", ".join(f"{ratings.count(name)} {name}" for name in CLASSES)
    return f"{len(cohort.patients)} synthetic patients, {len(ratings)} studies, rated {counts}"


if __name__ == "__main__":
    sys.exit(main())
