"""Shortcut audit of RICE-NET's synthetic cohort: nothing but the evidence may tell the label.

Each patient's event MR is rendered, coarsely, and measured away from the lesion. Then there are the files, the grids,
and all that a header or a plan says.
"""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from treatment_response.cohort.synthetic.rice.ceilings import auc_standard_error
from treatment_response.cohort.synthetic.rice.dose import TIGHT_MARGIN_MM, WIDE_MARGIN_MM
from treatment_response.cohort.synthetic.rice.head import template_head
from treatment_response.cohort.synthetic.rice.label_model import TEXTURE
from treatment_response.cohort.synthetic.rice.placement import plant
from treatment_response.cohort.synthetic.rice.render import render_visit
from treatment_response.cohort.synthetic.rice.scanners import SCANNERS
from treatment_response.cohort.synthetic.rice.simulate import RECURRENCE, RiceCohort, RicePatient, simulate_rice
from treatment_response.cohort.synthetic.rice.truth import truth_row
from treatment_response.processes import worker_pool

from synthetic.audit import cross_validated_auc

CHUNK_PATIENTS = 50
SPACING_MM = 3.0
AWAY_MM = 8.0
CORNER_VOXELS = 6
DOSE_POINTS = 2000
STANDARD_ERRORS = 3.3
"""How far from 0.5 an AUC may lie: one null AUC in 1000 does by chance."""
NUISANCES = (
    "file size",
    "intensity outside the lesion",
    "intensity sd outside the lesion",
    "brightest outside the lesion",
    "noise in air",
    "voxels",
    "voxel volume",
    "head volume",
    "lesion volume",
    "cavity volume",
    "target margin",
    "dose grid voxels",
    "dose far from the target",
    "prescription",
    "fractions",
    "courses before the event",
    "proton",
    "beam doses",
    "own frame of the plan",
    "outline of the lesion",
    "studies before the event",
    "enhancement",
    "place in the list",
)
THROUGH_THE_EVIDENCE = (
    "ventricle distance of the cavity",
    "cavity distance",
    "lesion left or right",
    "lesion height",
)
"""These may tell it, but only what dose and ventricles say too, since the places were found to fit those."""
TRAP = "courses in the folder"
"""A course after the event is given because of a recurrence: it must be left out, or it tells the label."""
EVIDENCE = ("relative_dose", "beside_ventricle", "log months", "texture")


def measure_patient(cohort: RiceCohort, patient: RicePatient) -> dict[str, object]:
    """Everything that the audit looks at in one patient."""
    planted = plant(patient, cohort.seed)
    truth = truth_row(cohort, patient, planted)
    image = render_visit(cohort, patient, planted, "event")
    scanner, _ = SCANNERS[patient.facts.site]
    index = np.indices(image.array.shape).reshape(3, -1).T
    points = patient.visits["event"].session.to_head(image.to_world(index))
    outside = planted.lesion.region.outside(points) > AWAY_MM
    values = image.array.ravel()[outside] / scanner.white_matter
    head = values[values > 0.2]
    planning = patient.visits[patient.planning_visit].session
    margin = WIDE_MARGIN_MM if patient.facts.wide_grid else TIGHT_MARGIN_MM
    dose = planted.treatment.empty_grid(planning, margin)
    some = np.random.default_rng(patient.index).integers(0, dose.array.shape, (DOSE_POINTS, 3))
    gray = planted.treatment.doses(planning.to_head(dose.to_world(some)))[0]
    before = [visit for visit in patient.visits.values() if visit.day < patient.days.event]
    tumour = planted.cavity.centre[None]
    return {
        "label": float(patient.label == RECURRENCE),
        "cohort": cohort.seed,
        "site": patient.facts.site,
        "file size": len(zlib.compress(image.array.tobytes(), 1)),
        "intensity outside the lesion": head.mean(),
        "intensity sd outside the lesion": head.std(),
        "brightest outside the lesion": np.percentile(head, 99.9),
        "noise in air": image.array[:CORNER_VOXELS, :CORNER_VOXELS, :CORNER_VOXELS].std(),
        "voxels": image.array.size,
        "voxel volume": image.voxel_volume,
        "head volume": 1 / patient.head.scale.prod(),
        "lesion volume": truth["lesion_volume_ml"],
        "cavity volume": planted.cavity.volume_ml,
        "target margin": patient.margin_mm,
        "dose grid voxels": dose.array.size,
        "dose far from the target": np.percentile(gray, 5),
        "prescription": truth["prescription_gy"],
        "fractions": truth["fractions"],
        "courses before the event": truth["courses"],
        "proton": float(patient.facts.modality == "PROTON"),
        "beam doses": float(patient.facts.dose_kind == "BEAM"),
        "own frame of the plan": float(patient.facts.own_frame),
        "outline of the lesion": float(patient.facts.outline),
        "studies before the event": len(before),
        "enhancement": planted.lesion.brightness,
        "place in the list": patient.index,
        "ventricle distance of the cavity": patient.head.sample(template_head().ventricle_distance, tumour)[0],
        "cavity distance": truth["cavity_distance_mm"],
        "lesion left or right": planted.lesion.region.centre[0],
        "lesion height": planted.lesion.region.centre[2],
        TRAP: len(patient.facts.parts) + (patient.days.later_course is not None),
        "relative_dose": truth["relative_dose"],
        "lesion_mean_eqd2_gy": truth["lesion_mean_eqd2_gy"],
        "beside_ventricle": truth["beside_ventricle"],
        "log months": np.log(patient.months),
        "texture": patient.evidence.numbers[0, TEXTURE],
    }


def _measure_chunk(arguments: tuple[int, int, str]) -> list[dict[str, object]]:
    patients, seed, setting = arguments
    cohort = simulate_rice(patients, 0, seed, setting, SPACING_MM)
    return [measure_patient(cohort, patient) for patient in cohort.patients]


def measure_patients(patients: int, seed: int = 0, setting: str = "default", processes: int = 2) -> pd.DataFrame:
    """Simulate, place, render and measure at least this many patients, in cohorts of about 50 with their own seeds."""
    chunks = -(-patients // CHUNK_PATIENTS)
    size = -(-patients // chunks)
    tasks = [(size, 1_000_000 * (seed + 1) + chunk, setting) for chunk in range(chunks)]
    with worker_pool(processes, [__name__]) as pool:
        return pd.DataFrame([row for rows in pool.map(_measure_chunk, tasks) for row in rows])


def nuisance_aucs(table: pd.DataFrame) -> dict[str, float]:
    """AUC for recurrence of everything that must not tell it; 0.5 is what each should be."""
    label = table["label"].to_numpy()
    aucs = _single(table, NUISANCES)
    site = pd.get_dummies(table["site"]).to_numpy(dtype=float)
    together = np.hstack([table[list(NUISANCES)].to_numpy(dtype=float), site])
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    trees = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, random_state=0)
    for name, model, features in (
        ("site (classifier)", linear, site),
        ("all of these (logistic regression)", linear, together),
        ("all of these (boosted trees)", trees, together),
    ):
        aucs[name] = cross_validated_auc(model, features, label, table["cohort"].to_numpy())
    return aucs


def other_aucs(table: pd.DataFrame) -> dict[str, float]:
    """AUC for recurrence of what may tell it: places, the trap, the evidence, and all evidence together."""
    aucs = _single(table, (*THROUGH_THE_EVIDENCE, TRAP, *EVIDENCE, "lesion_mean_eqd2_gy"))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    features = table[list(EVIDENCE)].to_numpy(dtype=float)
    aucs["evidence (logistic regression)"] = cross_validated_auc(
        model, features, table["label"].to_numpy(), table["cohort"].to_numpy()
    )
    return aucs


def tolerance(table: pd.DataFrame) -> float:
    """How far from 0.5 a nuisance's AUC may lie by chance."""
    return STANDARD_ERRORS * auc_standard_error(0.5, table["label"].to_numpy())


def _single(table: pd.DataFrame, names: tuple[str, ...]) -> dict[str, float]:
    return {name: float(roc_auc_score(table["label"], table[name])) for name in names}
