"""Methods that see MRI 2: never in a table of what is known before treatment, and never where MRI 2 is the label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_dataset import write_toy_dataset
from treatment_response.cohort.layout import LESIONS
from treatment_response.evaluation.comparison.feature_methods import FEATURE_METHODS, fit_trial
from treatment_response.evaluation.comparison.measurements import Seen
from treatment_response.evaluation.comparison.methods import AFTER_MRI_2, candidate_features
from treatment_response.evaluation.comparison.plan import Comparison, make_plan
from treatment_response.evaluation.comparison.run import compare
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions
from treatment_response.problems import DataProblem

ROLE = "heldout_after_mri2"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume at MRI 2 tells the label; nothing at MRI 1 does."""
    root = write_toy_dataset(tmp_path_factory.mktemp("later") / "data", patients=10)
    table = pd.read_csv(root / LESIONS)
    noise = np.random.default_rng(0).normal(0, 20, (2, len(table)))
    table["volume_ses-01_mm3"] = 520 + noise[0]
    table["volume_ses-02_mm3"] = np.where(table["label"] == 1, 300, 560) + noise[1]
    table.to_csv(root / LESIONS, index=False)
    return root


def test_what_mri_2_shows_is_found_and_stands_in_its_own_table(dataset: Path, tmp_path: Path) -> None:
    settings = Comparison(("size", "size-after-mri2"), 5, least_icc=0, shuffles=2, workers=1)
    scores, content = compare(dataset, tmp_path / "out", settings)
    roles = scores.groupby("method")["role"].unique().map(set)
    assert roles["size-after-mri2"] == {ROLE}
    assert {"heldout_mri1", ROLE} < roles["size"]
    area = scores[(scores["score"] == "auc") & (scores["finding"] == "response")].set_index(["method", "role"])
    assert area.loc[("size-after-mri2", ROLE), "estimate"] > 0.95
    assert area.loc[("size", ROLE), "estimate"] == area.loc[("size", "heldout_mri1"), "estimate"] < 0.9
    (paired,) = (entry for entry in content["differences"] if entry["method"] == "size-after-mri2")
    assert (paired["minus"], paired["role"]) == ("size", ROLE)
    assert paired["auc"]["low"] > 0
    assert content["calibration"]["size-after-mri2"]["role"] == ROLE
    assert {entry["method"]: entry["shuffles"] for entry in content["null_check"]}["size-after-mri2"] == 2
    (note,) = (note for note in content["notes"] if "known only after MRI 2" in note)
    assert "MRI 2 on days 21 to 21, follow-up on days 90 to 90" in note
    assert json.loads((tmp_path / "out" / "table.json").read_text())["protocol"] == "B"


def test_mri_2_of_held_out_lesions_never_reaches_the_fit(dataset: Path) -> None:
    lesions = read_lesions(dataset)
    lesions.loc[0, "has_mri2"] = False
    split = make_splits(lesions, 1, "B")[0]
    index = pd.MultiIndex.from_frame(lesions.loc[lesions["has_mri2"], ["subject", "lesion"]])
    rng = np.random.default_rng(1)
    change = pd.DataFrame({f"delta.radiomics.F{i}": rng.normal(size=len(index)) for i in range(30)}, index=index)
    ruined = change.copy()
    held = index.get_level_values("subject").isin(split.held_out)
    ruined.loc[held] = 100.0
    before, chosen, _ = fit_trial(FEATURE_METHODS["delta"], split, lesions, Seen({"ses-02": change}))
    _, again, _ = fit_trial(FEATURE_METHODS["delta"], split, lesions, Seen({"ses-02": ruined}))
    pd.testing.assert_frame_equal(chosen, again)
    assert set(before["role"]) == {ROLE}
    assert len(before) == held.sum()  # a lesion without MRI 2 is neither trained on nor scored


def test_a_follow_up_that_calls_itself_mri_2_is_refused(dataset: Path, tmp_path: Path) -> None:
    root = write_toy_dataset(tmp_path / "data", patients=6)
    whole = pd.read_csv(root / LESIONS)
    settings = Comparison(AFTER_MRI_2, 5, least_icc=0)
    assert make_plan(root, tmp_path, settings).notes
    late = whole.assign(**{"days_ses-02": whole["days_ses-03"].where(whole.index == 3, 21)})
    same = whole.assign(**{"days_ses-02": np.nan, "volume_ses-02_mm3": whole["volume_ses-03_mm3"]})
    for table, count in ((late, "1 lesions"), (same, "12 lesions")):
        table.to_csv(root / LESIONS, index=False)
        with pytest.raises(DataProblem, match=rf"{count} in all\) is not earlier than the follow-up .* label itself"):
            make_plan(root, tmp_path, settings)
    with pytest.raises(DataProblem, match="held-out patients, which protocol A has not"):
        make_plan(dataset, tmp_path, Comparison(("delta",), 5, "A"))


def test_candidates_count_the_changes_too() -> None:
    measured = {"radiomics": 1000, "gradient": 90, "dose": 100}
    assert candidate_features("delta", measured) == 1090
    assert candidate_features("ensemble-after-mri2", measured) == 2 * 1090 + 100
    assert candidate_features("gradient", measured) == 90
    assert candidate_features("cnn", measured) is None
