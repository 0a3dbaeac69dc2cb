"""Write a synthetic cohort as a hospital's DICOM: series, structure sets and doses, with a clinical table beside it.

OUT/cohort.json               how it was made; marks the folder as a synthetic cohort
OUT/clinical.csv              prescription per ROI, and which lesion is gone at follow-up
OUT/dicom/PA000001/ST000001/SE000001/IM000001, …
OUT/truth/                    see docs/reference/files.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pydicom.config

from treatment_response import __version__
from treatment_response.cohort.follow_up_state import FollowUpState
from treatment_response.cohort.synthetic.folder import new_cohort, write_rows
from treatment_response.cohort.synthetic.render import RenderedSession, render_session
from treatment_response.cohort.synthetic.scanner import SCANNERS
from treatment_response.cohort.synthetic.simulate import Patient, SyntheticCohort
from treatment_response.cohort.synthetic.truth import truth_rows, write_niches, write_truth_table
from treatment_response.dicom.write import (
    Equipment,
    PatientIds,
    StudyIds,
    TransferSyntax,
    write_dose,
    write_series,
    write_structure_set,
)
from treatment_response.dicom.write.base import derived_uid
from treatment_response.processes import in_order, worker_pool

PROCESSES = 2
FIRST_DAY = date(2020, 1, 6)
CLINICAL_COLUMNS = (
    "patient_id",
    "roi_name",
    "prescription_gy",
    "fractions",
    "first_treatment_date",
    "primary",
    "follow_up",
)
FRACTIONS = 3
DAYS_TO_TREATMENT = 3
PRIMARIES = ("lung", "breast", "melanoma", "kidney")
DESCRIPTIONS = {"A": ("SYNTHETIC t1_se_tra", "SYNTHETIC t1_se_tra +C"), "B": ("SYNTHETIC Ax T1", "SYNTHETIC Ax T1 GAD")}


def write_cohort(
    cohort: SyntheticCohort, out: Path, progress: Callable[[int, int], None] | None = None, processes: int = PROCESSES
) -> None:
    """Write a cohort as DICOM with its clinical table and truth, through a temporary sibling of ``out``.

    Args:
        cohort: what to render and write.
        out: new folder; an empty folder or an older synthetic cohort there is replaced.
        progress: called with the number of patients written and their total.
        processes: worker processes.

    Raises:
        DataProblem: ``out`` holds something else.
    """
    patients = [replace(cohort, patients=(one,)) for one in sorted(cohort.patients, key=lambda one: one.index)]
    with new_cohort(out, _settings(cohort)) as part:
        (part / "truth" / "niche").mkdir(parents=True)
        with worker_pool(processes, [write_patient.__module__]) as pool:
            rows = in_order(pool, partial(write_patient, root=part), patients, progress)
        write_truth_table([row for truth, _ in rows for row in truth], part / "truth" / "truth.csv")
        write_rows(part / "clinical.csv", CLINICAL_COLUMNS, [row for _, clinical in rows for row in clinical])


def _settings(cohort: SyntheticCohort) -> dict[str, object]:
    return {
        "synthetic": True,
        "patients": len(cohort.patients),
        "lesions": sum(len(patient.lesions) for patient in cohort.patients),
        "seed": cohort.seed,
        "non_response": cohort.non_response,
        "niche": cohort.niche,
        "anatomy": "rendered" if cohort.anatomy is None else "real MR series",
        "version": __version__,
    }


def write_patient(cohort: SyntheticCohort, root: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Render and write the only patient of ``cohort`` under ``root``.

    Returns:
        The patient's rows of ``truth.csv`` and of ``clinical.csv``.
    """
    (patient,) = cohort.patients
    niches = root / "truth" / "niche"
    truth: list[dict[str, object]] = []
    for number in range(3):
        rendered = render_session(cohort, patient, number, with_dose=number == 0)
        # Our own numbers need no check of their form; checking every contour point costs a third of the time.
        with pydicom.config.disable_value_validation():
            _write_session(cohort, patient, number, rendered, root / "dicom" / f"PA{patient.index + 1:06d}")
        if rendered.contrast:
            write_niches(patient, rendered, f"mri{number + 1}", niches)
        if number == 0:
            truth = truth_rows(patient, rendered)
    return truth, _clinical_rows(patient)


def _day(patient: Patient, days: int) -> date:
    return FIRST_DAY + timedelta(days=11 * patient.index + days)


def _clinical_rows(patient: Patient) -> list[dict[str, object]]:
    return [
        {
            "patient_id": patient.patient_id,
            "roi_name": lesion.roi_name,
            "prescription_gy": lesion.prescription_gy,
            "fractions": FRACTIONS,
            "first_treatment_date": _day(patient, DAYS_TO_TREATMENT).isoformat(),
            "primary": PRIMARIES[patient.index % len(PRIMARIES)],
            "follow_up": FollowUpState.RESOLVED.value if lesion.vanished else "",
        }
        for lesion in patient.lesions
    ]


def _transfer_syntax(patient: Patient, number: int) -> TransferSyntax:
    """Most series as scanners send them; some as archives compress them."""
    if (patient.index + number) % 4 == 1:
        return TransferSyntax.RLE
    return TransferSyntax.JPEG2000 if (patient.index + number) % 6 == 2 else TransferSyntax.EXPLICIT


def _write_session(
    cohort: SyntheticCohort, patient: Patient, number: int, rendered: RenderedSession, folder: Path
) -> None:
    scanner, session = SCANNERS[patient.scanner], patient.sessions[number]
    key = ["synthetic", str(cohort.seed), cohort.niche, patient.patient_id, str(number)]
    ids = PatientIds(patient.patient_id, f"SYNTHETIC^{patient.index + 1:03d}", "19500101", "O")
    study = StudyIds(
        derived_uid(*key, "study"),
        _day(patient, session.day).strftime("%Y%m%d"),
        "SYNTHETIC MR head",
        accession_number=f"SYN{patient.index + 1:03d}{number}",
    )
    equipment = Equipment(scanner.manufacturer, scanner.model, f"SYNTH{patient.scanner}")
    frame_uid = derived_uid(*key, "frame")
    signed = patient.scanner == "B"
    folder = folder / f"ST{number + 1:06d}"
    series = write_series(
        rendered.image,
        folder / "SE000001",
        patient=ids,
        study=study,
        series_uid=derived_uid(*key, "series"),
        frame_uid=frame_uid,
        description=DESCRIPTIONS[patient.scanner][int(rendered.contrast)],
        contrast=rendered.contrast,
        transfer_syntax=_transfer_syntax(patient, number),
        signed=signed,
        slope=0.5 if signed else 1.0,
        file_names=lambda index: f"IM{index + 1:06d}",
        equipment=equipment,
    )
    structure_set = write_structure_set(
        rendered.contours,
        folder / "SE000002" / "IM000001",
        patient=ids,
        study=study,
        referenced=series,
        label="SYNTHETIC RT",
        interpreted_types={"Skull": "ORGAN", "Brainstem": "ORGAN"},
        equipment=equipment,
    )
    if rendered.dose is not None:
        write_dose(
            rendered.dose,
            folder / "SE000003" / "IM000001",
            patient=ids,
            study=study,
            frame_uid=frame_uid,
            structure_set_uid=structure_set,
            description="SYNTHETIC dose",
            equipment=equipment,
        )
