"""A comparison on a tiny data set with a visible label: same splits, same bytes after a kill, the signal found."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from toy_dataset import write_toy_dataset
from treatment_response.evaluation.comparison.fitting import fit_and_score
from treatment_response.evaluation.comparison.methods import Seen
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions, shuffled
from treatment_response.problems import DataProblem

WRITTEN = ("table.csv", "table.json", "predictions.csv", "importances.csv", "splits.json", "provenance.json")
SETTINGS = Comparison(("size", "gradient"), trials=10, least_icc=0, shuffles=2, workers=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("comparison") / "dataset")


@pytest.fixture(scope="module")
def whole(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    compare(dataset, out, SETTINGS)
    return out


def test_splits_are_by_patient_and_hold_every_lesion_out_equally_often(dataset: Path) -> None:
    lesions = read_lesions(dataset)
    splits = make_splits(lesions, 10, "B")
    held = [subject for split in splits for subject in split.held_out]
    assert {held.count(subject) for subject in lesions["subject"].unique()} == {2}
    for split in splits:
        roles = split.roles(lesions)
        trained = set(split.training(lesions)["subject"])
        assert set(roles["heldout_mri1"][1]["subject"]) == set(split.held_out)
        assert trained.isdisjoint(split.held_out)
        assert set(roles["train_mri2"][1]["subject"]) == trained
        assert {role: session for role, (session, _) in roles.items()} == {
            "train_mri2": "ses-02",
            "heldout_mri2": "ses-02",
            "heldout_mri1": "ses-01",
        }
    assert splits[:7] == make_splits(lesions, 7, "B")
    assert make_splits(lesions, 5, "B", seed=1) != splits[:5]
    assert list(make_splits(lesions, 2, "A")[1].roles(lesions)) == ["train_mri2"]


def test_every_method_has_the_same_splits_and_the_signal_is_found(whole: Path) -> None:
    predictions = pd.read_csv(whole / "predictions.csv")
    keys = ["model", "role", "session", "subject", "lesion", "label"]
    size, gradient = (predictions.loc[predictions["method"] == m, keys] for m in ("size", "gradient"))
    pd.testing.assert_frame_equal(size.reset_index(drop=True), gradient.reset_index(drop=True))
    table = pd.read_csv(whole / "table.csv", comment="#")
    auc = table[(table["score"] == "auc") & (table["role"] == "heldout_mri1")].set_index(["method", "finding"])
    assert auc.loc[("gradient", "response"), "mean"] > 0.95
    assert auc.loc[("gradient", "response"), "low"] > 0.95
    # All toy lesions are of one size, so inside a trial no lesion stands before another.
    assert auc.loc[("size", "response"), "mean"] == 0.5
    assert auc.loc[("size", "response"), "sd"] == 0
    assert auc.loc[("gradient", "response"), "paper"] == "0.826 ± 0.111"


def test_the_table_says_what_it_is(whole: Path) -> None:
    content = json.loads((whole / "table.json").read_text())
    assert content["synthetic"] is True
    for text in (" ".join(content["notes"]), (whole / "table.csv").read_text()):
        assert "Rankings on synthetic data reflect its design." in text
        assert "spread over splits" in text
    (difference,) = [entry for entry in content["differences"] if entry["role"] == "heldout_mri1"]
    assert (difference["method"], difference["minus"]) == ("gradient", "size")
    assert difference["auc"]["low"] > 0
    assert difference["nadeau_bengio"]["mean"] > 0.45
    assert content["leak"]["gradient"]["patients"] == 12
    assert {entry["method"]: entry["shuffles"] for entry in content["null_check"]} == {"size": 2, "gradient": 2}
    curve = content["calibration"]["gradient"]["reliability"]
    assert curve[0]["observed"] == 0
    assert curve[-1]["observed"] == 1


def test_killed_at_a_random_moment_and_started_again_it_writes_the_same_bytes(
    dataset: Path, whole: Path, tmp_path: Path, repository: Path
) -> None:
    # Killed with two processes, finished with one: how many there are changes nothing either.
    out = tmp_path / "killed"
    command = [sys.executable, str(repository / "scripts" / "compare.py"), str(dataset), "--out", str(out)]
    command += ["--methods", "size", "gradient", "--trials", "10", "--shuffle-labels", "2", "--icc", "0", "--workers"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen([*command, "2"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    enough = random.randint(1, 18)
    deadline = time.monotonic() + 400
    while len(list(out.glob("trials/*/trial_*.csv"))) < enough:
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    workers = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (out / "table.csv").exists(), "killed too late to say anything"
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "workers outlive a killed command"
    kept = {file: file.stat().st_mtime_ns for file in out.glob("trials/*/trial_*.csv")}
    again = subprocess.run([*command, "1"], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    for name in WRITTEN:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_held_out_lesions_look_like_never_reaches_the_fit(dataset: Path) -> None:
    lesions = read_lesions(dataset)
    split = make_splits(lesions, 1, "B")[0]
    index = pd.MultiIndex.from_frame(lesions[["subject", "lesion"]])
    values = pd.Series(range(len(lesions)), index=index, dtype=float) % 7 + lesions["label"].to_numpy()
    features = pd.DataFrame({"size.volume": values})
    changed = features.copy()
    changed.loc[index.isin(split.held_out, level="subject"), "size.volume"] = 1e6
    before, _ = fit_and_score("size", split, lesions, Seen({"ses-01": features, "ses-02": features}))
    after, _ = fit_and_score("size", split, lesions, Seen({"ses-01": changed, "ses-02": features}))
    same = before["role"] != "heldout_mri1"
    pd.testing.assert_frame_equal(before[same], after[same])
    assert (before.loc[~same, "p_response"] != after.loc[~same, "p_response"]).all()


def test_shuffled_labels_stay_as_many(dataset: Path) -> None:
    lesions = read_lesions(dataset)
    dealt = shuffled(lesions, 3)
    assert dealt["label"].sum() == lesions["label"].sum()
    assert (dealt["label"] != lesions["label"]).any()
    pd.testing.assert_frame_equal(dealt, shuffled(lesions, 3))


def test_another_threshold_relabels(dataset: Path) -> None:
    # Toy lesions that respond lose 62 % of their volume, the others gain 15 %.
    assert read_lesions(dataset, 0.6)["label"].tolist() == read_lesions(dataset)["label"].tolist()
    with pytest.raises(DataProblem, match="one class"):
        read_lesions(dataset, 0.65)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Comparison(("magic",)), "'magic' is no method"),
        (Comparison(()), "name at least one method"),
        (Comparison(("size",), trials=0), "0 trials"),
        (Comparison(("size",), protocol="C"), "'C' is no protocol"),
        (Comparison(("size",), threshold=20), "20 is no loss of volume"),
        (Comparison(("size",), protocol="A", shuffles=2), "protocol A has not"),
        (Comparison(("dose",), workers=1, trials=5), "has a dose"),
    ],
)
def test_bad_settings_are_told_in_a_sentence(dataset: Path, tmp_path: Path, settings: Comparison, message: str) -> None:
    with pytest.raises(DataProblem, match=message):
        compare(dataset, tmp_path / "out", settings)


def test_few_patients_and_a_folder_of_other_settings_are_refused(dataset: Path, whole: Path, tmp_path: Path) -> None:
    small = write_toy_dataset(tmp_path / "small", patients=3)
    with pytest.raises(DataProblem, match=r"3 patient\(s\) are too few"):
        compare(small, tmp_path / "out", Comparison(("size",)))
    with pytest.raises(DataProblem, match="another seed"):
        compare(dataset, whole, Comparison(("size",), seed=1))


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, str(repository / "scripts" / "compare.py"), str(tmp_path), "--out", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "dataset.json is missing" in done.stderr
