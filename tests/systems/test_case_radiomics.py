"""Radiomics among the rules of a system that is no PULSAR: which lesions, on which image, fitted on whom."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import rice_case
import tiny_systems
from treatment_response.classes import classes_of
from treatment_response.evaluation.comparison.case_findings import prevalence_note, seeds_spread
from treatment_response.evaluation.comparison.case_methods import CaseTrials
from treatment_response.evaluation.comparison.case_radiomics import check_radiomics, radiomics_predictions
from treatment_response.evaluation.comparison.case_run import CaseComparison, compare_cases
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.extraction import extract_scans
from treatment_response.features.scans import case_scans
from treatment_response.problems import DataProblem
from treatment_response.report.case_inputs import CaseComparisonInputs
from treatment_response.report.case_tables import seeds_table

CLASSES = classes_of(rice_case.CLASSES)
WITHOUT = ("sub-002", "sub-005")
SETTINGS = CaseComparison(
    methods=("prevalence", "radiomics"), stored_folds=True, trials=3, overlays=("rice_net.json",), workers=1
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two patients have no lesion; those of the others are small, to save time."""
    root = tmp_path_factory.mktemp("radiomics")
    data = rice_case.write_dataset(root / "data", patients=12, apart=1)
    content = json.loads((data / "dataset.json").read_text())
    shape = np.indices(rice_case.SHAPE).reshape(3, -1).T @ rice_case.affine()[:3, :3].T + rice_case.affine()[:3, 3]
    small = (np.linalg.norm(shape - rice_case.LESION_MM, axis=1) < 11).reshape(rice_case.SHAPE)
    for entry in content["training"]:
        if entry["subject"] in WITHOUT:
            del entry["mask"]
        else:
            nibabel.save(nibabel.Nifti1Image(small.astype(np.uint8), rice_case.affine()), data / entry["mask"])
    (data / "dataset.json").write_text(json.dumps(content))
    table = pd.read_csv(data / "cases.csv")
    table["lesion_source"] = ["mask"] + ["subtraction"] * (len(table) - 1)
    table.loc[table["subject"].isin(WITHOUT), "lesion_source"] = None
    table.to_csv(data / "cases.csv", index=False)
    _, result = compare_cases(data, root / "out", SETTINGS)
    predictions = pd.read_csv(root / "out" / "predictions.csv")
    return SimpleNamespace(root=root, data=data, result=result, predictions=predictions)


def test_the_lesion_on_the_event_image_is_measured_and_gaps_are_counted(compared) -> None:
    """It is brighter in a recurrence, on that image alone."""
    entries = json.loads((compared.data / "dataset.json").read_text())["training"]
    scans = case_scans(compared.data, entries, "event")
    features = extract_scans(scans, compared.root / "out" / "features", 1, ["radiomics"], None).values
    labels = np.array([next(one["label"] for one in entries if one["subject"] == row[0]) for row in features.index])
    mean = features["radiomics.original_firstorder_Mean"].to_numpy()
    assert mean[labels == 1].min() > mean[labels == 0].max()
    (told,) = [note for note in compared.result["notes"] if note.startswith("radiomics")]
    assert "features of the lesion on the image 'event'; 1 outlined by somebody, 9 found as new enhancement" in told
    assert "Not computed for 2 of 12 cases without a lesion" in told
    own = compared.predictions[compared.predictions["method"] == "radiomics"]
    assert set(WITHOUT) < set(own["subject"])
    assert len(own) == 12
    assert len(list((compared.root / "out" / "features").iterdir())) == 10


def test_what_was_measured_is_not_measured_again(compared) -> None:
    before = {path: path.stat().st_mtime_ns for path in (compared.root / "out" / "features").iterdir()}
    _, again = compare_cases(compared.data, compared.root / "out", SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in (compared.root / "out" / "features").iterdir()} == before
    assert again["scores"] == compared.result["scores"]


def test_the_shares_of_the_classes_lie_below_chance_and_the_notes_say_why(compared) -> None:
    prevalence = compared.predictions[compared.predictions["method"] == "prevalence"]
    table = pd.DataFrame(
        {"method": ["prevalence"], "class": ["all classes"], "score": ["auc"], "estimate": [0.36]},
    )
    (told,) = prevalence_note(table)
    assert told.startswith("prevalence has an AUC of 0.36 over all patients, below 0.5, though it knows nothing.")
    assert prevalence_note(table.assign(estimate=0.5)) == prevalence_note(table.assign(method="network")) == []
    counts = prevalence.groupby("model").agg(p=("p_recurrence", "first"), held=("label", "sum"))
    assert (counts.sort_values("held")["p"].diff().dropna() <= 1e-9).all()  # as the note says


def test_nothing_is_fitted_on_held_out_cases_or_on_those_without_a_lesion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cases = pd.DataFrame({"subject": [f"s{n:02d}" for n in range(24)], "case": "event", "label": [0, 1] * 12})
    features = pd.DataFrame(rng.normal(size=(24, 5)), columns=[f"radiomics.f{n}" for n in range(5)])
    features["radiomics.f0"] += 4 * cases["label"]
    features.index = pd.MultiIndex.from_frame(cases[["subject", "case"]])
    held_out = tuple(cases["subject"][:6])
    trials = CaseTrials("", [Split(0, 0, held_out)], cases, tmp_path)

    def p(table: pd.DataFrame, labels: pd.Series = cases["label"]) -> np.ndarray:
        changed = CaseTrials("", trials.splits, cases.assign(label=labels), tmp_path)
        return radiomics_predictions(changed, "held_out", CLASSES, table, 1, None)["p_recurrence"].to_numpy()

    own = p(features)
    assert own[1::2].min() > own[::2].max()  # of the second class, which is the recurrence
    flipped = cases["label"].where(~cases["subject"].isin(held_out), 1 - cases["label"])
    np.testing.assert_array_equal(p(features, flipped), own)
    lacking = features.drop(index=features.index[6:8])  # two training cases without a lesion
    wrong = cases["label"].copy()
    wrong[6:8] = 1 - wrong[6:8]
    np.testing.assert_array_equal(p(lacking, wrong), p(lacking))
    median = p(features.drop(index=features.index[0]))[0]
    assert own[::2].max() < median < own[1::2].min()


def test_more_classes_and_too_few_lesions(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="radiomics tells two classes apart, and the data set has 4; leave out"):
        check_radiomics(classes_of(tiny_systems.CLASSES["four"]))
    data = rice_case.write_dataset(tmp_path / "data", patients=6, apart=1)
    _, result = compare_cases(data, tmp_path / "out", SETTINGS)
    assert "radiomics" not in result["methods"]
    assert any("radiomics: not computed, for too few cases have the mask" in note for note in result["notes"])


def test_the_spread_over_seeds_is_a_share_of_the_error_over_patients() -> None:
    rng = np.random.default_rng(1)
    label = np.tile([0, 1], 20)
    rows = []
    for repeat in range(3):
        p = 1 / (1 + np.exp(-(label - 0.5 + rng.normal(0, 1, 40))))
        columns = {"subject": [f"s{n}" for n in range(40)], "case": "event", "label": label, "role": "held_out"}
        probabilities = dict(zip(CLASSES.columns, (1 - p, p), strict=True))
        rows.append(pd.DataFrame({**columns, "method": "network", "model": repeat * 2 + label, **probabilities}))
    (found,) = seeds_spread(pd.concat(rows), CLASSES, 2, ["network"])
    assert found["sd"] == pytest.approx(np.std(found["values"], ddof=1))
    assert 0.05 < found["share_of_error"] < 3
    (once,) = seeds_spread(rows[0], CLASSES, 2, ["network"])
    assert once["sd"] is once["share_of_error"] is None
    shown = seeds_table(CaseComparisonInputs("c", {"seeds": [found, {**once, "method": "other"}]}, {}, True), ())
    ((name, _, each, share),) = shown.rows
    assert (name, share, each.count(",")) == ("network", f"{found['share_of_error']:.0%}", 2)
