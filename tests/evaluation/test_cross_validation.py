"""Cross-validation on a tiny data set with a visible label, and the whole report from its folder."""

import json
import re
import subprocess

import pandas as pd
import pytest
import torch
from preloaded_python import preloaded_python
from toy_dataset import write_toy_dataset
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.evaluation.cross_validation import cross_validate, shuffled_by_patient
from treatment_response.problems import DataProblem
from treatment_response.report.from_folders import report_from_folders
from treatment_response.report.lesions.inputs import read_inputs

pytestmark = pytest.mark.usefixtures("preloaded_workers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("cv")
    dataset = write_toy_dataset(root / "dataset", patients=9, folds=3)
    pooled = cross_validate(dataset, root / "cv", folds=3, overlays=["smoke.json"])
    return dataset, root / "cv", pooled


def test_every_patient_is_held_out_once(folders):
    _, out, pooled = folders
    held = pooled[pooled["role"] == "heldout_mri1"]
    assert not held.duplicated(["subject", "lesion"]).any()
    assert held["subject"].nunique() == 9
    assert (held["fold"] == held["model"]).all()
    trained = pooled[pooled["role"] == "train_mri2"]
    assert (trained["fold"] != trained["model"]).all()
    epochs = json.loads((out / "cross_validation.json").read_text())["epochs"]
    assert epochs == 2, "smoke.json says how long its network trains"
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["heldout_mri1"]["interval_positive_response"]["auc"]["patients"] == 9
    trained_and_held_out = pooled["role"].isin(["train_mri2", "heldout_mri2"])
    assert metrics["training_minus_heldout_auc"]["n"] == trained_and_held_out.sum()


def test_finished_folds_are_skipped_and_other_settings_refused(folders):
    dataset, out, pooled = folders
    weights = [path.stat().st_mtime_ns for path in sorted(out.glob("fold_*/models/model.pt"))]
    again = cross_validate(dataset, out, folds=3, overlays=["smoke.json"])
    pd.testing.assert_frame_equal(pooled, again)
    assert [path.stat().st_mtime_ns for path in sorted(out.glob("fold_*/models/model.pt"))] == weights
    with pytest.raises(DataProblem, match="another seed"):
        cross_validate(dataset, out, folds=3, overlays=["smoke.json"], seed=1)
    with pytest.raises(DataProblem, match="another configs"):
        cross_validate(dataset, out, folds=3, epochs=2)
    with pytest.raises(DataProblem, match="holds 3 folds"):
        cross_validate(dataset, out, folds=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "--epochs: 0 was asked for; use 1 or more"),
        ({"seed": -1}, "--seed: -1 was asked for; use 0 or more"),
        ({"shuffle_labels": -1}, "--shuffle-labels: -1 was asked for; use 0 or more"),
    ],
)
def test_numbers_out_of_range_are_told_before_anything_is_written(folders, tmp_path, settings, message):
    with pytest.raises(DataProblem, match=message):
        cross_validate(folders[0], tmp_path / "cv", folds=3, overlays=["smoke.json"], **settings)
    assert not (tmp_path / "cv").exists()


def test_the_report_is_made_from_the_folders(folders, tmp_path, repository):
    dataset, out, pooled = folders
    page = report_from_folders(dataset, [out], tmp_path / "report").read_text(encoding="utf-8")
    assert "cross-validation: 3 networks" in page
    for name in ("reconstructions", "features", "cams", "groups", "training"):
        assert f'id="figure-{name}"' in page
    lesions = len(pooled[pooled["role"] == "heldout_mri1"])
    assert re.search(rf"With brain-like values there, \d+ of {lesions}\ndecisions", page)
    assert str(tmp_path) not in page
    assert (tmp_path / "report" / "figures" / "groups.png").is_file()
    command = [preloaded_python().python, str(repository / "scripts" / "report.py")]
    command += ["--dataset", str(tmp_path / "none")]
    done = subprocess.run([*command, "--run", str(out), "--out", str(tmp_path / "r")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_labels_of_two_runs_tell_which_is_the_control(folders, tmp_path):
    dataset, out, pooled = folders
    dealt = pooled.assign(label=1 - pooled["label"])
    dealt.to_csv(tmp_path / "predictions.csv", index=False)
    for given in ([out, tmp_path], [tmp_path, out]):
        inputs = read_inputs(dataset, given)
        assert inputs.run_dir == out
        assert inputs.shuffled["label"].tolist() == dealt["label"].tolist()
        assert inputs.predictions["label"].tolist() == pooled["label"].tolist()
    for given, message in (
        ([tmp_path], "its labels are not those of the data set"),
        ([out, out], "it is a second run on the data set’s own labels"),
    ):
        with pytest.raises(DataProblem, match=message):
            read_inputs(dataset, given)
    pooled.assign(subject="sub-999").to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(DataProblem, match="its lesions are not those of the data set"):
        read_inputs(dataset, [tmp_path])


def test_shuffled_labels_stay_with_the_lesion():
    rows = [
        SampleRow(f"sub-{s:03d}", f"L{n:02d}", session, 0, (s + n) % 2, angle)
        for s in range(8)
        for n in range(1 + s % 3)
        for session, angle in (("ses-01", 0.0), ("ses-01", 45.0), ("ses-02", 0.0))
    ]
    samples = Samples(torch.zeros(len(rows), 2, 4, 4), rows)
    shuffled = shuffled_by_patient(samples, 3)
    before = [row.label for row in rows]
    after = [row.label for row in shuffled.rows]
    assert sum(before) == sum(after)
    assert before != after
    assert shuffled.label.flatten().tolist() == after
    assert len({(row.subject, row.case, row.label) for row in shuffled.rows}) == len(
        {(r.subject, r.case) for r in rows}
    )
    assert after != [row.label for row in shuffled_by_patient(samples, 4).rows]
