"""The volume rules: hand-worked volumes, thresholds met exactly, what is missing, and a whole comparison of rules."""

from __future__ import annotations

import json
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from treatment_response.classes import Classes
from treatment_response.criteria.volumetric import category_from_volumes
from treatment_response.evaluation.comparison.case_run import CaseComparison, compare_cases
from treatment_response.evaluation.comparison.volume_rules import RULES, rule_answers, volume_columns
from treatment_response.problems import DataProblem

CLASSES = Classes(("PD", "SD", "PR", "CR"), "PD", "balanced_accuracy", ("CR", "PR", "SD", "PD"))
BY_NAME = {rule.name: rule for rule in RULES}
SPHERE_10_MM = 523.598775598


@pytest.mark.parametrize(
    ("current", "baseline", "nadir", "category"),
    [
        (0, 5000, 5000, "CR"),
        (0, 0, 0, "CR"),
        (350, 1000, 1000, "PR"),
        (350.01, 1000, 1000, "SD"),
        (1400, 1000, 1000, "PD"),
        (1399.99, 1000, 1000, "SD"),
        (280, 1000, 200, "PD"),
        (279, 1000, 200, "PR"),
        (SPHERE_10_MM + 0.01, 0, 0, "PD"),
        (SPHERE_10_MM - 0.01, 0, 0, "SD"),
        (SPHERE_10_MM - 0.01, 1000, 0, "SD"),
        (300, 1000, 0, "PR"),
        (600, 5000, 0, "PD"),
    ],
    ids=str,
)
def test_a_category_by_hand(current: float, baseline: float, nadir: float, category: str) -> None:
    assert category_from_volumes(current, baseline, nadir) == category


@pytest.mark.parametrize("volumes", [(-1, 1, 1), (1, nan, 1), (1, 1, nan)])
def test_no_volume_gives_no_category(volumes: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="0 mm³"):
        category_from_volumes(*volumes)


def volumes_of(**given: float) -> pd.DataFrame:
    """One case's enhancing volumes by ending; 1000 mm³ where none is given."""
    endings = ("", "_earlier", "_baseline", "_nadir", "_baseline_no_reset", "_nadir_no_reset")
    row = {f"enhancing_mm3{ending}": given.get(ending or "now", 1000.0) for ending in endings}
    return pd.DataFrame([row], index=pd.MultiIndex.from_tuples([("sub-001", "week-020")], names=["subject", "case"]))


CASE = pd.DataFrame({"subject": ["sub-001"], "case": ["week-020"], "label": [0]})


def answer(name: str, volumes: pd.DataFrame) -> str | None:
    rows = rule_answers(CASE, CLASSES, BY_NAME[name], volumes)
    return None if rows.empty else CLASSES.names[int(rows[list(CLASSES.columns)].to_numpy()[0].argmax())]


def test_each_rule_looks_at_its_own_studies() -> None:
    # A tumour of 10 ml was operated on to 1 ml, fell to 0.5 ml, was 0.6 ml at the previous study and is 0.9 ml now.
    volumes = volumes_of(
        now=900, _earlier=600, _baseline=1000, _nadir=500, _baseline_no_reset=10_000, _nadir_no_reset=500
    )
    assert {name: answer(name, volumes) for name in BY_NAME} == {
        "volume rule: previous": "PD",
        "volume rule: baseline": "SD",
        "volume rule: nadir": "PD",
        "volume rule: RANO": "PD",
        "volume rule: baseline, no reset": "PR",
        "volume rule: nadir, no reset": "PD",
        "volume rule: RANO, no reset": "PD",
    }


def test_a_study_without_a_segmentation_is_not_computed() -> None:
    without = volumes_of(_earlier=nan)
    assert answer("volume rule: previous", without) is None
    assert answer("volume rule: baseline", without) == "SD"
    assert all(answer(name, volumes_of(now=nan)) is None for name in BY_NAME)


def write_pairs(root: Path, patients: int = 30, pairs: int = 2, classes: Classes = CLASSES) -> Path:
    """A data set of pairs without images, mostly rated as the volumes say against baseline and nadir."""
    rng = np.random.default_rng(4)
    entries, rows = [], []
    for number in range(patients):
        for pair in range(pairs):
            baseline = float(rng.uniform(800, 4000))
            nadir = baseline * float(rng.uniform(0.3, 1))
            now = float(rng.choice([0, 0.2 * baseline, 1.1 * nadir, 2 * nadir], p=[0.2, 0.2, 0.25, 0.35]))
            rated = now if rng.uniform() > 0.1 else float(rng.uniform(0, 5000))  # a rater errs
            label = classes.names.index(category_from_volumes(rated, baseline, nadir)) if classes == CLASSES else pair
            folds = {"fold": number % 5, "fold_timepoint": (number + pair) % 5}
            key = {"subject": f"sub-{number:03d}", "case": f"week-{10 * pair + 10:03d}"}
            entries.append({**key, "label": label, **folds, "images": {"CT1": "none.nii.gz"}})
            values = dict.fromkeys(volume_columns(), 100.0)
            values |= {"enhancing_mm3": now, "enhancing_mm3_earlier": float(rng.uniform(500, 4000))}
            values |= {"enhancing_mm3_baseline": baseline, "enhancing_mm3_nadir": nadir}
            values |= {"enhancing_mm3_baseline_no_reset": nan, "enhancing_mm3_nadir_no_reset": nan}
            rows.append({**key, "fold": folds["fold"], "label": label, **values})
    rows[3]["enhancing_mm3_baseline"] = nan
    root.mkdir()
    content = {"name": "pairs", "synthetic": True, "classes": classes.content(), "folds": 5, "training": entries}
    (root / "dataset.json").write_text(json.dumps(content))
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)
    return root


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict]:
    root = tmp_path_factory.mktemp("rules")
    methods = ("prevalence", "volume-rules", "volumes")
    settings = CaseComparison(methods=methods, stored_folds=True, trials=5, overlays=(str(protocol_overlay(root)),))
    return compare_cases(write_pairs(root / "data"), root / "out", settings)


def protocol_overlay(root: Path, protocol: str = "patients") -> Path:
    path = root / f"{protocol}.json"
    path.write_text(json.dumps({"protocol": protocol}))
    return path


def test_the_rules_stand_in_one_table_and_a_gap_is_counted(compared) -> None:
    table, content = compared
    overall = table[(table["class"] == "all classes") & (table["score"] == "balanced_accuracy")].set_index("method")
    # What no case has the volumes for is left out, and a sentence says so.
    assert list(overall.index) == [
        "prevalence",
        *(f"volume rule: {name}" for name in ("previous", "baseline", "nadir", "RANO")),
        "volumes",
    ]
    assert overall.loc["prevalence", "estimate"] == pytest.approx(0.25, abs=0.05)
    assert 0.8 < overall.loc["volume rule: RANO", "estimate"] < 1
    assert overall.loc["volume rule: RANO", "cases"] == 59
    assert overall.loc["volume rule: nadir", "cases"] == 60
    assert overall.loc["volumes", "estimate"] > 0.5
    assert {"mean", "sd", "median"} <= set(overall)
    notes = " ".join(content["notes"])
    assert "volume rule: baseline; volume rule: RANO: not computed for 1 of 60 cases" in notes
    assert "volume rule: RANO, no reset: not computed in this data set" in notes
    assert "Ordinal error" in notes
    pairs = {(one["method"], one["minus"]): one for one in content["differences"]}
    assert pairs["volume rule: RANO", "prevalence"]["interval"]["n"] == 59  # the cases that both answer for
    assert pairs["volume rule: RANO", "prevalence"]["better"] == "volume rule: RANO"


def test_folds_by_time_point_reach_the_rules_too_and_are_told_to_leak(tmp_path: Path) -> None:
    data, overlay = write_pairs(tmp_path / "data"), str(protocol_overlay(tmp_path, "time_points"))
    settings = CaseComparison(("prevalence", "volumes"), stored_folds=True, trials=5, overlays=(overlay,))
    _, content = compare_cases(data, tmp_path / "out", settings)
    assert (content["protocol"], "leaks" in content["role"]) == ("time_points", True)
    assert any(note.startswith("The protocol of all methods leaks") for note in content["notes"])
    rows = pd.read_csv(tmp_path / "out" / "predictions.csv").query("method == 'volumes'")
    folds = {
        (e["subject"], e["case"]): e["fold_timepoint"]
        for e in json.loads((data / "dataset.json").read_text())["training"]
    }
    assert [folds[key] for key in zip(rows["subject"], rows["case"], strict=True)] == rows["model"].tolist()
    assert (rows.groupby("subject")["model"].nunique() == 2).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stored_folds": False, "protocol": "time_points"}, "--folds stored"),
        ({"shuffles": 2, "protocol": "time_points"}, "shuffled labels are for folds by patient"),
        ({"classes": Classes(("worse", "better"), "worse")}, "answer CR, PR, SD or PD"),
        ({"column": "enhancing_mm3"}, "no column enhancing_mm3"),
        ({"text": True}, "no number of mm³"),
    ],
    ids=["drawn", "shuffled", "classes", "column", "text"],
)
def test_what_cannot_be_compared_is_told(tmp_path: Path, changes: dict, message: str) -> None:
    data = write_pairs(tmp_path / "data", classes=changes.get("classes", CLASSES))
    cases = pd.read_csv(data / "cases.csv")
    if "column" in changes:
        cases = cases.drop(columns=changes["column"])
    if "text" in changes:
        cases["enhancing_mm3"] = "much"
    cases.to_csv(data / "cases.csv", index=False)
    overlay = str(protocol_overlay(tmp_path, changes.get("protocol", "patients")))
    settings = CaseComparison(
        ("volume-rules",),
        stored_folds=changes.get("stored_folds", True),
        trials=5,
        shuffles=changes.get("shuffles", 0),
        overlays=(overlay,),
    )
    with pytest.raises(DataProblem, match=message):
        compare_cases(data, tmp_path / "out", settings)


def test_a_fold_that_leaves_one_class_is_told_before_anything_is_fitted(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data")
    content = json.loads((data / "dataset.json").read_text())
    for entry in content["training"]:
        entry["label"] = int(entry["fold"] == 0)
    (data / "dataset.json").write_text(json.dumps(content))
    overlay = str(protocol_overlay(tmp_path))
    settings = CaseComparison(("volumes",), stored_folds=True, trials=5, overlays=(overlay,))
    with pytest.raises(DataProblem, match="trial 0 would train on one class only"):
        compare_cases(data, tmp_path / "out", settings)


def test_a_data_set_without_folds_by_time_point_says_so(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data")
    content = json.loads((data / "dataset.json").read_text())
    for entry in content["training"]:
        del entry["fold_timepoint"]
    (data / "dataset.json").write_text(json.dumps(content))
    overlay = str(protocol_overlay(tmp_path, "time_points_best"))
    with pytest.raises(DataProblem, match="takes folds from 'fold_timepoint'"):
        compare_cases(data, tmp_path / "out", CaseComparison(("prevalence",), stored_folds=True, overlays=(overlay,)))
