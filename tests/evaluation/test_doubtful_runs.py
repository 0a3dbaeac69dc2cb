"""Lesions in doubt through cross-validation, comparison and report: scored where held out, and never learned from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from toy_dataset import doubt_lesions, join_persons, write_toy_dataset
from treatment_response.cases.samples import samples_by_role, training_samples, unlabelled_samples
from treatment_response.cohort.dataset import read_dataset
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare
from treatment_response.evaluation.comparison.screen import show
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions, read_unlabelled, shuffled
from treatment_response.evaluation.cross_validation import cross_validate
from treatment_response.features.clinical import clinical_features
from treatment_response.metrics.doubtful import auc_range, doubtful_of
from treatment_response.report.build import tables_of
from treatment_response.report.lesions.comparisons import read_comparisons
from treatment_response.report.lesions.content import page_content
from treatment_response.report.lesions.inputs import read_inputs
from treatment_response.report.lesions.table_one import method_name
from treatment_response.report.page import render_page
from treatment_response.training.experiment import read_samples

DOUBTFUL = [("sub-001", "L01"), ("sub-004", "L01"), ("sub-004", "L02")]
"""Of a patient with another lesion, and both of a patient who has no label at all."""
LINE = (
    "Doubtful lesions: 3 of 16 lesions of MRI 1 (18.8%) have no label because their follow-up is in doubt: "
    "2 lesions per patient 3 of 16."
)
TEXT = {"subject": str, "lesion": str}
NETWORK_NAME = method_name("cnn")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set with lesions in doubt, and the same one without these lesions."""
    root = tmp_path_factory.mktemp("doubtful")
    write_toy_dataset(root / "doubtful", patients=8, folds=2)
    shutil.copytree(root / "doubtful", root / "left_out")
    doubt_lesions(root / "doubtful", DOUBTFUL)
    doubt_lesions(root / "left_out", DOUBTFUL, listed=False)
    return root / "doubtful", root / "left_out"


@pytest.fixture(scope="module")
def validated(datasets: tuple[Path, Path]) -> tuple[Path, Path]:
    folders = []
    for dataset in datasets:
        out = dataset.parent / f"{dataset.name}_cv"
        cross_validate(dataset, out, folds=2, overlays=["smoke.json"], epochs=1, workers=1)
        folders.append(out)
    return folders[0], folders[1]


@pytest.fixture(scope="module")
def compared(datasets: tuple[Path, Path]) -> tuple[Path, Path]:
    doubtful, left_out = (dataset.parent / f"{dataset.name}_comparison" for dataset in datasets)
    settings = Comparison(("size", "clinical", "gradient", "cnn"), 5, epochs=1, overlays=("smoke.json",), workers=1)
    compare(datasets[0], doubtful, settings)
    shutil.copytree(doubtful / "features", left_out / "features")
    compare(datasets[1], left_out, Comparison(("size", "gradient"), 5, workers=1))
    return doubtful, left_out


def test_no_training_sample_is_in_doubt_and_each_is_scored_once(datasets: tuple[Path, Path]) -> None:
    samples = read_samples(("train.json", "smoke.json"), dataset_dir=str(datasets[0]))
    assert {(row.subject, row.case) for row in samples.rows if row.label is None} == set(DOUBTFUL)
    assert all(row.session == "ses-01" and row.angle == 0 for row in samples.rows if row.label is None)
    held = []
    for fold in range(2):
        parts = [training_samples(samples, "B", fold), *samples_by_role(samples, "B", fold).values()]
        assert all(row.label is not None for part in parts for row in part.rows)
        held += [(row.subject, row.case) for row in unlabelled_samples(samples, "B", fold).rows]
        assert {row.fold for row in unlabelled_samples(samples, "B", fold).rows} <= {fold}
    assert sorted(held) == DOUBTFUL
    assert all(row.label is not None for row in training_samples(samples, "A", 0).rows)
    assert len(unlabelled_samples(samples, "A", 0)) == 0


def test_cross_validation_is_the_same_as_if_they_were_not_there(validated: tuple[Path, Path]) -> None:
    doubtful, left_out = validated
    assert (doubtful / "predictions.csv").read_bytes() == (left_out / "predictions.csv").read_bytes()
    assert (doubtful / "fold_0" / "history.csv").read_bytes() == (left_out / "fold_0" / "history.csv").read_bytes()
    assert not list(left_out.rglob("unlabelled_predictions.csv"))
    metrics = json.loads((left_out / "metrics.json").read_text())
    assert metrics["doubtful"]["note"] == "Doubtful lesions: none of the 13 lesions of MRI 1."
    assert metrics["doubtful"]["auc"] is None


def test_cross_validation_scores_each_by_the_model_that_held_its_patient_out(
    datasets: tuple[Path, Path], validated: tuple[Path, Path]
) -> None:
    content = read_dataset(datasets[0])
    table = pd.read_csv(validated[0] / "unlabelled_predictions.csv", dtype=TEXT)
    assert list(table.columns) == ["subject", "lesion", "session", "role", "fold", "model", "p_response"]
    assert sorted(zip(table["subject"], table["lesion"], strict=True)) == DOUBTFUL
    folds = {sample["subject"]: sample["fold"] for sample in content["unlabelled"]}
    assert (table["model"] == table["subject"].map(folds)).all()
    assert (table["fold"] == table["model"]).all()
    assert set(table["role"]) == {"heldout_mri1"}
    pooled = pd.read_csv(validated[0] / "predictions.csv", dtype=TEXT)
    metrics = json.loads((validated[0] / "metrics.json").read_text())["doubtful"]
    assert metrics["note"] == LINE
    expected = auc_range(pooled, table, doubtful_of(content))
    assert expected is not None
    assert metrics["auc"] == expected.as_dict()
    assert metrics["auc"]["as_response"]["n"] == 16
    # The single folds say how many there are in the whole data set, and score their own.
    for fold in range(2):
        single = json.loads((validated[0] / f"fold_{fold}" / "metrics.json").read_text())["doubtful"]
        assert single["note"] == LINE
        scored = 0 if single["auc"] is None else single["auc"]["doubtful_scored"]
        assert scored == (table["fold"] == fold).sum()


def test_a_comparison_is_the_same_as_if_they_were_not_there(compared: tuple[Path, Path]) -> None:
    doubtful, left_out = (pd.read_csv(folder / "predictions.csv") for folder in compared)
    methods = ("size", "gradient")
    pd.testing.assert_frame_equal(
        doubtful[doubtful["method"].isin(methods)].reset_index(drop=True), left_out, check_exact=True
    )
    assert not list(compared[1].rglob("unlabelled*"))
    assert not (compared[0] / "null").exists()


def test_a_comparison_scores_each_as_often_as_the_others(
    datasets: tuple[Path, Path], compared: tuple[Path, Path]
) -> None:
    table = pd.read_csv(compared[0] / "unlabelled_predictions.csv", dtype=TEXT)
    assert list(table.columns) == [
        *("subject", "lesion", "session", "role", "fold", "model", "method", "p_response"),
    ]
    content, lesions = read_dataset(datasets[0]), read_lesions(datasets[0])
    splits = make_splits(lesions, 5, "B", unlabelled=read_unlabelled(content))
    assert [split.held_out for split in splits] != [split.held_out for split in make_splits(lesions, 5, "B")]
    for method in ("size", "clinical", "gradient", "cnn"):
        own = table[table["method"] == method]
        assert sorted(zip(own["subject"], own["lesion"], strict=True)) == DOUBTFUL
        assert all(row.subject in splits[row.model].held_out for row in own.itertuples())
    result = json.loads((compared[0] / "table.json").read_text())
    assert list(result["doubtful"]["auc"]) == ["size", "clinical", "gradient", "cnn"]
    notes = (compared[0] / "table.csv").read_text().splitlines()
    assert f"# {LINE}" in notes
    assert any(note.startswith("# gradient: AUC 0.") or note.startswith("# gradient: AUC 1.") for note in notes)
    assert any("lacks facts of 3 doubtful lesions" in note for note in notes)
    assert f"# {LINE}" in (compared[0] / "importances.csv").read_text().splitlines()


def test_the_visible_signal_gives_the_range_that_it_must(compared: tuple[Path, Path]) -> None:
    # The texture method tells the classes apart, of the doubtful lesions too. As their true class they leave the AUC
    # at 1; the three of them are one of each class and sub-004's second, so a wrong class must cost.
    found = json.loads((compared[0] / "table.json").read_text())["doubtful"]["auc"]["gradient"]
    alone = pd.read_csv(compared[0] / "table.csv", comment="#").query("method == 'gradient' and score == 'auc'")
    primary = alone[(alone["role"] == "heldout_mri1") & (alone["finding"] == "response")]["estimate"].iloc[0]
    assert primary > 0.95
    ends = [found[name]["estimate"] for name in ("as_non_response", "as_response")]
    assert min(ends) < primary
    assert f"AUC {min(ends):.2f} to {max(ends):.2f}" in found["headline"]


def test_the_screen_begins_with_the_range(compared: tuple[Path, Path]) -> None:
    table = pd.read_csv(compared[0] / "table.csv", comment="#")
    content = json.loads((compared[0] / "table.json").read_text())
    screen = Console(record=True, width=100)
    show((table, content), screen)
    text = screen.export_text()
    assert text.lstrip().startswith("Headline: the AUC over patients as a range")
    assert text.index(content["doubtful"]["auc"]["gradient"]["span"]) < text.index("(iii) MRI 1")
    assert "have no label because their follow-up is in doubt" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


def test_the_report_gives_number_reasons_and_range(
    datasets: tuple[Path, Path], validated: tuple[Path, Path], compared: tuple[Path, Path]
) -> None:
    inputs = read_inputs(datasets[0], [validated[0]])
    inputs = replace(inputs, comparisons=read_comparisons([compared[0]], datasets[0]))
    # The clinical baseline counts a patient's lesions in doubt too.
    assert inputs.lesions.set_index("subject")["lesions_of_patient"].eq(2).all()
    content = page_content(inputs)
    page = render_page(content, {}, "lesions/page.html")
    found = json.loads((validated[0] / "metrics.json").read_text())["doubtful"]["auc"]
    assert content["key_numbers"][0]["value"] == found["span"]
    assert "without them" in content["key_numbers"][0]["note"]
    assert found["headline"] in page
    tables = {table.id: table for table in tables_of(content)}
    without_numbers = ("left_out", "versions", "settings")
    for name, table in tables.items():
        if name not in without_numbers and not name.startswith("checklist"):
            assert LINE in table.notes, name
    assert f"Headline: {found['sentence']}" in tables["network_response"].notes
    assert f"Headline, network of the run: {found['sentence']}" in tables["lesions"].notes
    assert any(note.startswith("Headline, gradients: AUC") for note in tables["lesions"].notes)
    lesions = tables["doubtful_lesions"]
    assert lesions.columns[2:] == ("network of the run", "size only", "clinical only", "gradients", NETWORK_NAME)
    assert [row[:2] for row in lesions.rows] == [(f"{s} {n}", "nothing is drawn at its place") for s, n in DOUBTFUL]
    assert all(0 <= float(cell) <= 1 for row in lesions.rows for cell in row[2:])
    assert tables["doubtful_counts"].rows[-1] == ("all", "16", "3", "18.8%")
    assert len(tables["network_doubtful_range"].rows) == 1
    assert len(tables["doubtful_comparison_doubtful_range"].rows) == 4
    assert f"{LINE} No model was trained on them" in dict(content["methods_text"])["Patients and labels"]
    alone = page_content(replace(inputs, predictions=None, unlabelled=None))
    ranges = json.loads((compared[0] / "table.json").read_text())["doubtful"]["auc"]
    assert alone["key_numbers"][0]["value"] == ranges["cnn"]["span"]


def test_protocol_a_scores_none(datasets: tuple[Path, Path], tmp_path: Path) -> None:
    _, content = compare(datasets[0], tmp_path, Comparison(("size",), 1, "A", workers=1))
    assert not list(tmp_path.rglob("unlabelled*"))
    assert content["doubtful"]["auc"] == {}
    assert LINE in content["notes"]


def test_shuffled_labels_score_none(datasets: tuple[Path, Path], tmp_path: Path) -> None:
    settings = Comparison(("size",), 1, shuffles=1, workers=1)
    compare(datasets[0], tmp_path, settings)
    assert not list((tmp_path / "null").rglob("unlabelled*"))


def test_facts_before_treatment_count_the_lesions_in_doubt(datasets: tuple[Path, Path]) -> None:
    entry = next(s for s in read_dataset(datasets[0])["unlabelled"] if s["session"] == "ses-01")
    entry = {**entry, "mask": str(datasets[0] / entry["mask"])}
    without, counted = clinical_features(datasets[0]), clinical_features(datasets[0], [entry])
    pd.testing.assert_series_equal(
        without.values["clinical.lesions_of_patient"].drop("sub-001"),
        counted.values["clinical.lesions_of_patient"].drop("sub-001"),
    )
    assert counted.values.loc["sub-001", "clinical.lesions_of_patient"].tolist() == [2.0, 2.0]
    assert without.values.loc["sub-001", "clinical.lesions_of_patient"].tolist() == [1.0]
    # The toy lesion is a ball of 5 mm radius, counted in voxels.
    assert counted.values.loc[("sub-001", "L01"), "size.volume"] == pytest.approx(4 / 3 * 3.1416 * 125, rel=0.15)
    given = clinical_features(datasets[0], [{**entry, "volume_ses-01_mm3": 640.0, "prescription_gy": 18.0}])
    row = given.values.loc[("sub-001", "L01")]
    assert (row["size.volume"], row["clinical.prescription"]) == (640.0, 18.0)


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects, six persons: two of them have two subjects, one of these without a label."""
    root = write_toy_dataset(tmp_path_factory.mktemp("persons") / "dataset", patients=8, folds=2)
    doubt_lesions(root, [("sub-008", "L01"), ("sub-008", "L02")])
    content = read_dataset(root)
    for sample in content["unlabelled"]:
        sample["fold"] = next(s["fold"] for s in content["training"] if s["subject"] == "sub-002")
        sample["person"] = "sub-002"
    (root / "dataset.json").write_text(json.dumps(content))
    join_persons(root, {"sub-005": "sub-001"})
    return root


def test_subjects_of_one_person_are_held_out_shuffled_and_drawn_together(persons: Path, tmp_path: Path) -> None:
    lesions, unlabelled = read_lesions(persons), read_unlabelled(read_dataset(persons))
    for split in make_splits(lesions, 25, "B", unlabelled=unlabelled):
        assert ("sub-001" in split.held_out) == ("sub-005" in split.held_out)
        assert ("sub-002" in split.held_out) == ("sub-008" in split.held_out)
    # One person responds, with two subjects. Shuffled, the four labels stay beside each other in the persons' order.
    responder = lesions.assign(label=lesions["subject"].isin(["sub-001", "sub-005"]).astype(int))
    for seed in range(20):
        dealt = shuffled(responder, seed).sort_values(["person", "subject", "lesion"])["label"].tolist()
        assert "1111" in "".join(map(str, dealt))
    compare(persons, tmp_path, Comparison(("size",), 5, workers=1))
    table = pd.read_csv(tmp_path / "table.csv", comment="#")
    assert set(table["patients"]) == {6}
    predictions = pd.read_csv(tmp_path / "predictions.csv")
    assert predictions.groupby("subject")["person"].first().to_dict()["sub-005"] == "sub-001"
    assert pd.read_csv(tmp_path / "unlabelled_predictions.csv")["person"].unique().tolist() == ["sub-002"]
    assert "of 6 patients" in (tmp_path / "table.csv").read_text()


def test_a_network_writes_whose_lesions_it_scored(persons: Path, tmp_path: Path) -> None:
    pooled = cross_validate(persons, tmp_path, folds=2, overlays=["smoke.json"], epochs=1, workers=1)
    assert pooled.groupby("subject")["person"].first().to_dict()["sub-005"] == "sub-001"
    assert (pooled.groupby(["person", "role"])["fold"].nunique() == 1).all()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["heldout_mri1"]["patients"] == 6
    assert metrics["heldout_mri1"]["interval_positive_response"]["auc"]["patients"] == 6
    assert metrics["training_minus_heldout_auc"]["patients"] == 6
