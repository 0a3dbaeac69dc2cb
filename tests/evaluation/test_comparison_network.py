"""The bundle's network in a comparison: its lesions are split as the other methods' are, and it is resumed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from toy_dataset import write_toy_dataset
from treatment_response.cases.samples import SampleRow, Samples, samples_by_role, training_samples
from treatment_response.evaluation.comparison.network_methods import samples_of
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare
from treatment_response.evaluation.comparison.splits import Split, make_splits, read_lesions


def test_samples_follow_the_split_and_the_labels() -> None:
    rows = [SampleRow(f"sub-{s}", "L01", session, 4, 0) for s in range(4) for session in ("ses-01", "ses-02")]
    lesions = pd.DataFrame({"subject": [f"sub-{s}" for s in range(4)], "lesion": "L01", "label": [0, 1, 0, 1]})
    samples = samples_of(Samples(torch.zeros(8, 2, 4, 4), rows), Split(0, 0, ("sub-2", "sub-3")), lesions)
    assert {(row.subject, row.label) for row in training_samples(samples, "B", 0).rows} == {("sub-0", 0), ("sub-1", 1)}
    roles = samples_by_role(samples, "B", 0)
    assert {row.subject for row in roles["train_mri2"].rows} == {"sub-0", "sub-1"}
    assert {row.subject for row in roles["heldout_mri1"].rows} == {"sub-2", "sub-3"}
    assert samples.label.flatten().tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("protocol", ["A", "B"])
def test_the_network_scores_the_lesions_that_the_others_score(tmp_path: Path, protocol: str) -> None:
    dataset = write_toy_dataset(tmp_path / "dataset", patients=6, folds=3)
    settings = Comparison(("size", "cnn"), 1, protocol, epochs=1, overlays=("smoke.json",), workers=1)
    compare(dataset, tmp_path / "out", settings)
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    keys = ["model", "role", "session", "subject", "lesion", "label"]
    size, cnn = (
        predictions.loc[predictions["method"] == m, keys].sort_values(keys, ignore_index=True) for m in ("size", "cnn")
    )
    pd.testing.assert_frame_equal(size, cnn)
    split = make_splits(read_lesions(dataset), 1, protocol)[0]
    held = cnn[(cnn["model"] == 0) & (cnn["role"] == "heldout_mri1")]
    assert set(held["subject"]) == set(split.held_out)
    before = (tmp_path / "out" / "table.csv").read_bytes()
    weights = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("model.pt")}
    compare(dataset, tmp_path / "out", settings)
    assert (tmp_path / "out" / "table.csv").read_bytes() == before
    assert {file: file.stat().st_mtime_ns for file in weights} == weights
