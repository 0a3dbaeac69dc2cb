"""The shortcut audit of RICE-NET's synthetic cohort, on few patients with a wider tolerance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic import rice_audit
from treatment_response.cohort.synthetic.rice.simulate import simulate_rice

PATIENTS_PER_COHORT = 4


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = []
    for seed in range(5):  # classifiers are validated on five cohorts
        cohort = simulate_rice(PATIENTS_PER_COHORT, 0, seed, spacing_mm=4.0)
        rows += [rice_audit.measure_patient(cohort, patient) for patient in cohort.patients]
    return pd.DataFrame(rows)


def test_nothing_measured_away_from_the_lesion_tells_the_label(table: pd.DataFrame) -> None:
    limit = rice_audit.tolerance(table)
    far = {name: auc for name, auc in rice_audit.nuisance_aucs(table).items() if abs(auc - 0.5) > limit}
    assert not far
    assert set(rice_audit.other_aucs(table)) > {"lesion_mean_eqd2_gy", rice_audit.TRAP}


def test_audit_finds_planted_shortcuts(table: pd.DataFrame) -> None:
    label = table["label"].to_numpy()
    noise = np.random.default_rng(0).normal(0, 0.2, len(table))
    leaking = table.assign(**{"noise in air": label + noise, "site": np.where(label == 1, "A", "B")})
    aucs = rice_audit.nuisance_aucs(leaking)
    assert aucs["noise in air"] > 0.95
    assert aucs["site (classifier)"] > 0.95
    assert aucs["all of these (logistic regression)"] > 0.95
