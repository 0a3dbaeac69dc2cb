"""The shortcut audit and the ceilings, on few lesions with wider tolerance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic import audit
from synthetic.audit import positive_control, shortcut_aucs
from synthetic.ceilings import ceilings

LESIONS = 250
# SD of a null AUC at 35 % non-response, from the Mann-Whitney variance.
NULL_SD = np.sqrt((LESIONS + 1) / (12 * LESIONS**2 * 0.35 * 0.65))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "CHUNK_LESIONS", LESIONS // 5)  # classifiers are validated on five cohorts
        return audit.measure_lesions(LESIONS, seed=3, processes=1)


def test_no_shortcut_tells_the_label(table: pd.DataFrame) -> None:
    far = {name: auc for name, auc in shortcut_aucs(table).items() if abs(auc - 0.5) > 0.03 + 3 * NULL_SD}
    assert not far


def test_audit_finds_a_planted_shortcut(table: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    leaking = table.assign(volume=table["volume"] * np.where(table["label"] == 1, 0.5, 1.0))
    leaking["site"] = np.where(rng.random(len(table)) < 0.7, table["label"].astype(str), leaking["site"])
    aucs = shortcut_aucs(leaking)
    assert aucs["volume"] < 0.4
    assert aucs["site (classifier)"] > 0.75
    assert aucs["mask only (boosted trees)"] > 0.6


def test_simple_texture_features_find_the_signal(table: pd.DataFrame) -> None:
    assert positive_control(table) > 0.75


def test_ceilings_fall_with_what_is_known() -> None:
    found = ceilings(1000, seed=1)
    assert found["everything"] == pytest.approx(found["burden_3d"])
    assert found["burden_3d"] > found["burden_slice"]
    assert found["burden_slice"] == pytest.approx(0.958, abs=0.02)  # the ceiling that the docs state, from 20,000
    assert found["non_response"] == pytest.approx(0.35, abs=0.05)
