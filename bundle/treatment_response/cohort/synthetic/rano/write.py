"""A synthetic LUMIERE in LUMIERE's own layout, the known dirt of the real one included, and its truth."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from treatment_response.cohort.adapters.lumiere import SYNTHETIC_MARK
from treatment_response.cohort.adapters.lumiere_tables import (
    CLINICAL_FILE,
    COMPLETENESS_FILE,
    RATINGS_FILES,
)
from treatment_response.cohort.layout import write_volume
from treatment_response.cohort.synthetic.rano.ceilings import PATIENTS as CEILING_PATIENTS
from treatment_response.cohort.synthetic.rano.ceilings import ceilings
from treatment_response.cohort.synthetic.rano.course import CoursePatient, CourseStudy, simulate_courses
from treatment_response.cohort.synthetic.rano.dirt import Dirt, RatingRow, draw_dirt, rating_rows
from treatment_response.cohort.synthetic.rano.placement import PlacedPatient, place_patient
from treatment_response.cohort.synthetic.rano.render import (
    ENHANCING,
    NECROSIS,
    OEDEMA,
    SEQUENCES,
    atlas_grid,
    atlas_session,
    image_on,
    labels_on,
    scan_session,
    scanned_grid,
    study_rng,
    tissue_on,
)
from treatment_response.cohort.synthetic.simulate import Session
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem
from treatment_response.processes import for_each

RATING = (
    "Rating (according to RANO, PD: Progressive disease, SD: Stable disease, PR: Partial response, "
    "CR: Complete response, Pre-Op: Pre-Operative, Post-Op: Post-Operative)"
)
RATIONALE = (
    "Rating rationale (CRET: complete resection of the enhancing tumor, "
    "PRET: partial resection of the enhancing tumor, T2-Progr.: T2-Progression, L: Lesion)"
)
SPACING_RANGE_MM = (1.0, 10.0)
_ATLAS = Path("DeepBraTumIA-segmentation", "atlas")
_NATIVE = Path("DeepBraTumIA-segmentation", "native", "segmentation")


@dataclass(frozen=True)
class RanoCohort:
    """A whole cohort.

    Attributes:
        spacing_mm: voxel of the atlas; the real one has 1 mm.
        seed: of everything.
    """

    patients: tuple[CoursePatient, ...]
    dirt: Dirt
    spacing_mm: float
    seed: int


def simulate_rano(patients: int = 91, seed: int = 0, spacing_mm: float = 4.0) -> RanoCohort:
    """Draw a cohort; cheap, nothing is rendered.

    Args:
        spacing_mm: voxel of the atlas, 1 to 10 mm.

    Raises:
        DataProblem: a number is out of range.
    """
    low, high = SPACING_RANGE_MM
    if not low <= spacing_mm <= high:
        what = f"is {spacing_mm:g} mm, expected {low:g} to {high:g}"
        raise DataProblem(Problem("--spacing", what, "choose another one"))
    if patients < 1:
        raise DataProblem(Problem("--patients", f"is {patients}, expected at least 1", "ask for more"))
    courses = tuple(simulate_courses(patients, seed))
    return RanoCohort(courses, draw_dirt(courses, np.random.default_rng([seed, 35])), spacing_mm, seed)


def write_rano(
    cohort: RanoCohort,
    root: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int = 1,
    ceiling_patients: int = CEILING_PATIENTS,
) -> None:
    """Write ``LUMIERE/`` and ``truth/`` into a folder.

    Args:
        progress: is told how many patients are done, and of how many.
        ceiling_patients: that are simulated for ``truth/ceilings.json``.
    """
    lumiere, truth = root / "LUMIERE", root / "truth"
    truth.mkdir(parents=True)
    work = partial(_write_patient, cohort, lumiere)
    for_each(work, cohort.patients, workers, [_write_patient.__module__], progress)
    _write_tables(cohort, lumiere)
    _write_truth(cohort, truth, ceiling_patients)


def _write_patient(cohort: RanoCohort, lumiere: Path, patient: CoursePatient) -> None:
    placed = place_patient(patient, cohort.seed)
    for study in patient.studies:
        if (patient.name, study.name) in cohort.dirt.no_images:
            continue
        folder = lumiere / "Imaging" / patient.name / study.name
        rng = study_rng(cohort.seed, patient, study)
        session, scanned = atlas_session(rng), scan_session(rng)
        there = [name for name in SEQUENCES if name not in cohort.dirt.missing.get((patient.name, study.name), ())]
        grid = atlas_grid(cohort.spacing_mm)
        tissue = tissue_on(grid, placed.head, session)
        labels = labels_on(tissue, study, placed.places)
        images = {name: image_on(name, tissue, labels, skull=False, rng=rng) for name in there}
        if len(there) == len(SEQUENCES):  # DeepBraTumIA needs all four
            for name, image in images.items():
                path = folder / _ATLAS / "skull_strip" / f"{name.lower()}_skull_strip.nii.gz"
                write_volume(path, Volume(image, grid.affine))
            if (patient.name, study.name) in cohort.dirt.rim_missed:
                labels = np.where(labels == ENHANCING, NECROSIS, labels).astype(np.uint8)
            _write_segmentation(folder, Volume(labels, grid.affine))
        _write_scanned(placed, study, there, scanned, cohort.spacing_mm, folder, rng)


def _write_scanned(
    placed: PlacedPatient,
    study: CourseStudy,
    there: Sequence[str],
    session: Session,
    spacing_mm: float,
    folder: Path,
    rng: np.random.Generator,
) -> None:
    """The sequences as they were scanned, and their segmentations."""
    for thick in (False, True):  # CT1 has a grid of its own, the others share one
        names = [name for name in there if (name != "CT1") == thick]
        grid = scanned_grid(thick, session, spacing_mm)
        tissue = tissue_on(grid, placed.head, session)
        labels = labels_on(tissue, study, placed.places)
        for name in names:
            image = image_on(name, tissue, labels, skull=True, rng=rng)
            write_volume(folder / f"{name}.nii.gz", Volume(np.rint(image).astype(np.int16), grid.affine))
            if len(there) == len(SEQUENCES):
                write_volume(folder / _NATIVE / f"{name.lower()}_seg_mask.nii.gz", Volume(labels, grid.affine))


def _write_segmentation(folder: Path, labels: Volume) -> None:
    place = folder / _ATLAS / "segmentation"
    write_volume(place / "seg_mask.nii.gz", labels)
    names = {"Necrotic_NonEnhancing": NECROSIS, "Enhancing_Core": ENHANCING, "Edema_Compartment": OEDEMA}
    volumes = {name: float((labels.array == number).sum() * labels.voxel_volume) for name, number in names.items()}
    (place / "measured_volumes_in_mm3.json").write_text(json.dumps(volumes, indent=1) + "\n", encoding="utf-8")


def _write_tables(cohort: RanoCohort, lumiere: Path) -> None:
    lumiere.mkdir(exist_ok=True)
    (lumiere / SYNTHETIC_MARK).write_text("Made by a program. No real patient is in it.\n", encoding="utf-8")
    header = ["Patient", "Date", "LessThan3Months", "NonMeasurableLesions", RATING, RATIONALE]
    rows = rating_rows(cohort.patients, cohort.dirt)
    _write_csv(lumiere / RATINGS_FILES[0], header, [_rating_cells(row) for row in rows])
    header = ["Patient", "Timepoint", "CT1", "T1", "T2", "FLAIR", "DeepBraTumIA"]
    _write_csv(
        lumiere / COMPLETENESS_FILE,
        header,
        [_there(cohort, patient, study) for patient in cohort.patients for study in patient.studies],
    )
    header = ["Patient", "Survival time (weeks)", "Sex", "Age at surgery (years)", "IDH (WT: wild type)"]
    _write_csv(
        lumiere / CLINICAL_FILE,
        [*header, "IDH method", "MGMT qualitative", "MGMT quantitative"],
        [(one.name, "na", one.sex, str(one.age), one.idh, "na", one.mgmt, "na") for one in cohort.patients],
    )


def _rating_cells(row: RatingRow) -> tuple[str, ...]:
    return row.patient, row.date, "x" if row.early else "", "", row.rating, row.rationale


def _there(cohort: RanoCohort, patient: CoursePatient, study: CourseStudy) -> tuple[str, ...]:
    missing = cohort.dirt.missing.get((patient.name, study.name), ())
    none = (patient.name, study.name) in cohort.dirt.no_images
    marks = ["" if none or name in missing else "x" for name in ("CT1", "T1", "T2", "FLAIR")]
    return patient.name, study.name, *marks, "x" if all(marks) else ""


def _write_truth(cohort: RanoCohort, truth: Path, ceiling_patients: int) -> None:
    rows = []
    for patient in cohort.patients:
        places = place_patient(patient, cohort.seed).places
        for study in patient.studies:
            first = next(iter(study.foci), None)
            centres = [""] * 6
            if first is not None:
                rng = study_rng(cohort.seed, patient, study)
                at = places[first].centre[None]
                found = np.concatenate([session.to_world(at)[0] for session in (atlas_session(rng), scan_session(rng))])
                centres = [f"{value:.3f}" for value in found]
            rows.append(
                (
                    patient.name,
                    study.name,
                    study.rating,
                    study.true_rating,
                    study.regime or "",
                    f"{study.volume:.1f}",
                    str(len(study.foci)),
                    f"{study.steroids:g}",
                    study.state,
                    *centres,
                )
            )
    columns = ("patient", "study", "rating", "true_rating", "regime", "core_mm3", "foci", "steroids_mg", "state")
    first_focus = [f"first_focus_{space}_{axis}_mm" for space in ("atlas", "scan") for axis in "xyz"]
    _write_csv(truth / "truth.csv", (*columns, *first_focus), rows)
    _write_csv(truth / "dirt.csv", ("patient", "study", "kind"), cohort.dirt.listed())
    content = json.dumps(ceilings(ceiling_patients, cohort.seed), indent=1) + "\n"
    (truth / "ceilings.json").write_text(content, encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
