"""Write a synthetic cohort of RICE-NET's question as a hospital's DICOM: MRs, plans, doses, outlines; and the truth.

OUT/cohort.json               how it was made; marks the folder as a synthetic cohort
OUT/clinical.csv              date of the event, label with date and source
OUT/dicom/PA000001/ST000001/SE000001/IM000001, …
OUT/truth/                    see docs/reference/files.md
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pydicom.config

from treatment_response import __version__
from treatment_response.cohort.synthetic.folder import new_cohort, write_rows
from treatment_response.cohort.synthetic.rice.ceilings import ceilings
from treatment_response.cohort.synthetic.rice.dose import (
    BEAMS,
    TECHNIQUES,
    TIGHT_MARGIN_MM,
    WIDE_MARGIN_MM,
    Treatment,
    split_into_beams,
)
from treatment_response.cohort.synthetic.rice.placement import Planted, plant
from treatment_response.cohort.synthetic.rice.render import (
    grid_of,
    planning_contours,
    region_contours,
    render_visit,
)
from treatment_response.cohort.synthetic.rice.scanners import SCANNERS
from treatment_response.cohort.synthetic.rice.simulate import LATER, MIXED, RiceCohort, RicePatient
from treatment_response.cohort.synthetic.rice.truth import TRUTH_COLUMNS, poses, truth_row, write_lesion
from treatment_response.dicom.write import (
    Equipment,
    PatientIds,
    StudyIds,
    TransferSyntax,
    WrittenSeries,
    write_dose,
    write_plan,
    write_series,
    write_structure_set,
)
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.processes import in_order, worker_pool

SYSTEM = "rice"
PROCESSES = 2
FIRST_DAY = date(2020, 1, 6)
CLINICAL_COLUMNS = (
    "patient_id",
    "event_date",
    "label",
    "label_date",
    "label_source",
    "post_operative_date",
    "operation_date",
    "site",
)
LESION_NAMES = ("Lesion", "GTV_event", "Enhancing lesion")
LATER_MARGIN_MM = 5.0


def write_rice_cohort(
    cohort: RiceCohort, out: Path, progress: Callable[[int, int], None] | None = None, processes: int = PROCESSES
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
        (part / "truth" / "lesion").mkdir(parents=True)
        with worker_pool(min(processes, len(patients)), [write_rice_patient.__module__]) as pool:
            rows = in_order(pool, partial(write_rice_patient, root=part), patients, progress)
        truth = part / "truth"
        write_rows(truth / "truth.csv", TRUTH_COLUMNS, rows)
        write_rows(part / "clinical.csv", CLINICAL_COLUMNS, [_clinical_row(patient) for patient in cohort.patients])
        _write_json(truth / "ceilings.json", ceilings(cohort.model))
        _write_json(truth / "poses.json", {patient.patient_id: poses(patient) for patient in cohort.patients})


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _settings(cohort: RiceCohort) -> dict[str, object]:
    mixed = sum(patient.label == MIXED for patient in cohort.patients)
    return {
        "synthetic": True,
        "system": SYSTEM,
        "patients": len(cohort.patients) - mixed,
        "mixed": mixed,
        "seed": cohort.seed,
        "spacing_mm": cohort.spacing_mm,
        "setting": cohort.setting,
        "strengths": asdict(cohort.model.strengths),
        "correlation_of_dose_and_texture": round(cohort.model.correlation, 6),
        "anatomy": "MNI152 template",
        "version": __version__,
    }


def _day(patient: RicePatient, days: int) -> date:
    return FIRST_DAY + timedelta(days=13 * patient.index + days)


def _clinical_row(patient: RicePatient) -> dict[str, object]:
    """Where a patient has one MR before radiotherapy, its date is not needed and not given."""
    post_operative = _day(patient, patient.visits["post-operative"].day) if "planning" in patient.visits else ""
    return {
        "patient_id": patient.patient_id,
        "event_date": _day(patient, patient.days.event),
        "label": patient.label,
        "label_date": _day(patient, patient.days.label),
        "label_source": "biopsy" if patient.facts.biopsy else "follow-up",
        "post_operative_date": post_operative,
        "operation_date": _day(patient, 0),
        "site": patient.facts.site,
    }


@dataclass(frozen=True)
class _Writer:
    """What the objects of one patient share."""

    cohort: RiceCohort
    patient: RicePatient
    folder: Path
    ids: PatientIds
    equipment: Equipment
    study_numbers: Iterator[int]

    def uid(self, *parts: str) -> str:
        """A UID that only these parts of this patient of this cohort have."""
        cohort = self.cohort
        key = [SYSTEM, str(cohort.seed), cohort.setting, str(cohort.spacing_mm), self.patient.patient_id]
        return derived_uid(*key, *parts)

    def study(self, name: str, days: int, description: str) -> tuple[StudyIds, Path]:
        """A new study and its folder."""
        day = _day(self.patient, days).strftime("%Y%m%d")
        folder = self.folder / f"ST{next(self.study_numbers):06d}"
        return StudyIds(self.uid(name, "study"), day, f"SYNTHETIC {description}"), folder


def write_rice_patient(cohort: RiceCohort, root: Path) -> dict[str, object]:
    """Render and write the only patient of ``cohort`` under ``root``.

    Returns:
        The patient's row of ``truth.csv``.
    """
    (patient,) = cohort.patients
    planted = plant(patient, cohort.seed)
    scanner, _ = SCANNERS[patient.facts.site]
    writer = _Writer(
        cohort,
        patient,
        root / "dicom" / f"PA{patient.index + 1:06d}",
        PatientIds(patient.patient_id, f"SYNTHETIC^RICE{patient.index + 1:03d}", "19500101", "O"),
        Equipment(scanner.manufacturer, scanner.model, f"SYNTH{patient.facts.site}"),
        count(1),
    )
    # Our own numbers need no check of their form; checking every contour point costs a third of the time.
    with pydicom.config.disable_value_validation():
        for name in patient.visits:
            structures = _write_visit(writer, planted, name)
            if name == patient.planning_visit:
                _write_treatment(writer, planted.treatment, structures)
        if patient.days.later_course is not None:
            _write_later_course(writer, planted)
    write_lesion(cohort, patient, planted, root / "truth" / "lesion")
    return truth_row(cohort, patient, planted)


def _write_visit(writer: _Writer, planted: Planted, name: str) -> str:
    """Write a visit's series and what was drawn on it.

    Returns:
        SOP Instance UID of its structure set; empty if nothing was drawn.
    """
    cohort, patient = writer.cohort, writer.patient
    study, folder = writer.study(name, patient.visits[name].day, "MR head")
    series = _write_t1(writer, planted, name, study, folder / "SE000001", contrast=True)
    if name == "post-operative" and patient.facts.plain:
        _write_t1(writer, planted, name, study, folder / "SE000002", contrast=False)
    rois: dict[str, list[np.ndarray]] = {}
    label = ""
    if name == patient.planning_visit:
        rois, label = planning_contours(cohort, patient, planted), "SYNTHETIC PLAN"
    elif name == "event" and patient.facts.outline:
        grid = grid_of(cohort, patient, name)
        contours = region_contours(planted.lesion.region, grid, patient.visits[name].session)
        rois, label = {LESION_NAMES[patient.index % len(LESION_NAMES)]: contours}, "SYNTHETIC EVENT"
    if not rois:
        return ""
    return write_structure_set(
        rois,
        folder / "SE000003" / "IM000001",
        patient=writer.ids,
        study=study,
        referenced=series,
        label=label,
        interpreted_types={"Cavity": "CAVITY", "PTV": "PTV"},
        equipment=writer.equipment,
    )


def _write_t1(
    writer: _Writer, planted: Planted, name: str, study: StudyIds, folder: Path, contrast: bool
) -> WrittenSeries:
    patient = writer.patient
    signed = patient.facts.site == "B"
    return write_series(
        render_visit(writer.cohort, patient, planted, name, contrast),
        folder,
        patient=writer.ids,
        study=study,
        series_uid=writer.uid(name, "contrast" if contrast else "plain"),
        frame_uid=writer.uid(name, "frame"),
        description="SYNTHETIC t1 +C" if contrast else "SYNTHETIC t1",
        contrast=contrast,
        transfer_syntax=TransferSyntax.RLE if patient.facts.site == "C" else TransferSyntax.EXPLICIT,
        signed=signed,
        slope=0.5 if signed else 1.0,
        file_names=lambda index: f"IM{index + 1:06d}",
        equipment=writer.equipment,
        series_number=1 if contrast else 2,
    )


def _write_treatment(writer: _Writer, treatment: Treatment, structures: str) -> None:
    """Write the plans and doses before the event, in the planning visit's frame of reference."""
    patient = writer.patient
    session = patient.visits[patient.planning_visit].session
    margin = WIDE_MARGIN_MM if patient.facts.wide_grid else TIGHT_MARGIN_MM
    plans, doses = [], []
    for number, part in enumerate(treatment.parts):
        study, folder = writer.study(f"plan {number}", patient.days.plans[number], "RT")
        dose = treatment.on_grid(session, margin, number)
        plan = _write_plan(writer, study, folder, structures, part.prescription_gy, part.fractions)
        plans.append(plan)
        doses.append(dose)
        if patient.facts.dose_kind == "BEAM":
            for beam, share in enumerate(split_into_beams(dose), start=1):
                _write_dose(writer, study, folder, share, plan, "BEAM", beam)
        else:
            _write_dose(writer, study, folder, dose, plan, "PLAN")
    if patient.facts.dose_kind.endswith("MULTI_PLAN"):
        whole = Volume(np.sum([dose.array for dose in doses], axis=0), doses[0].affine)
        study, folder = writer.study("sum", patient.days.plans[-1], "RT")
        _write_dose(writer, study, folder, whole, plans, "MULTI_PLAN")


def _write_later_course(writer: _Writer, planted: Planted) -> None:
    """Write a course that was given because of the event, in the event's frame; its structure set is not exported."""
    patient, event = writer.patient, writer.patient.visits["event"]
    treatment = replace(planted.treatment, tumour=planted.lesion.region, margin_mm=LATER_MARGIN_MM, parts=(LATER,))
    assert patient.days.later_course is not None
    study, folder = writer.study("later course", patient.days.later_course, "RT")
    structures, frame = writer.uid("later course", "structures"), writer.uid("event", "frame")
    plan = _write_plan(writer, study, folder, structures, LATER.prescription_gy, LATER.fractions, frame)
    dose = treatment.on_grid(event.session, TIGHT_MARGIN_MM, 0)
    _write_dose(writer, study, folder, dose, plan, "PLAN", frame=frame)


def _write_plan(
    writer: _Writer,
    study: StudyIds,
    folder: Path,
    structures: str,
    prescription_gy: float,
    fractions: int,
    frame: str | None = None,
) -> str:
    return write_plan(
        folder / "SE000001" / "IM000001",
        patient=writer.ids,
        study=study,
        structure_set_uid=structures,
        frame_uid=frame or writer.uid(writer.patient.planning_visit, "frame"),
        prescription_gy=prescription_gy,
        fractions=fractions,
        beams=BEAMS,
        radiation=writer.patient.facts.modality,
        label="SYNTHETIC",
        plan_uid=derived_uid(study.study_uid, "plan"),
        equipment=writer.equipment,
    )


def _write_dose(
    writer: _Writer,
    study: StudyIds,
    folder: Path,
    dose: Volume,
    plan: str | list[str],
    summation: str,
    beam: int | None = None,
    frame: str | None = None,
) -> None:
    write_dose(
        dose,
        folder / "SE000002" / f"IM{beam or 1:06d}",
        patient=writer.ids,
        study=study,
        frame_uid=frame or writer.uid(writer.patient.planning_visit, "frame"),
        plan_uid=plan,
        beam=beam,
        dose_type=TECHNIQUES[writer.patient.facts.modality].dose_type,
        summation=summation,
        dose_uid=derived_uid(study.study_uid, summation, str(beam)),
        description="SYNTHETIC dose",
        equipment=writer.equipment,
    )
