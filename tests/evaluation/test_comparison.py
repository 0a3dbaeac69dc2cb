"""A comparison on a tiny data set with a visible label: same splits, same bytes after a kill, the signal found."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from preloaded_python import preloaded_python
from rich.console import Console
from sklearn.metrics import brier_score_loss
from toy_dataset import write_toy_dataset
from treatment_response.evaluation.comparison.feature_methods import FEATURE_METHODS, fit_trial
from treatment_response.evaluation.comparison.fusion import Fusion
from treatment_response.evaluation.comparison.measurements import Measurements, Seen
from treatment_response.evaluation.comparison.method import COLUMNS, Method, TrialRun, TrialSet
from treatment_response.evaluation.comparison.methods import METHODS, with_parts
from treatment_response.evaluation.comparison.plan import Comparison, make_plan
from treatment_response.evaluation.comparison.run import compare, compare_thresholds
from treatment_response.evaluation.comparison.screen import show, show_thresholds
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions, shuffled
from treatment_response.evaluation.comparison.tables import notes
from treatment_response.problems import DataProblem

WRITTEN = ("table.csv", "table.json", "predictions.csv", "importances.csv", "splits.json", "provenance.json")
SETTINGS = Comparison(("size", "gradient"), trials=10, least_icc=0.0, shuffles=2, workers=1)


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
    patients = predictions.groupby("label")["subject"].nunique().min()
    assert auc.loc[("gradient", "response"), "low"] == pytest.approx(0.025 ** (1 / patients), abs=1e-5)
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
    gap = content["training_gap"]["gradient"]
    assert {name: gap[name]["patients"] for name in gap} == {"true": 12, "shuffled": 12, "recognition": 12}
    assert {entry["method"]: entry["shuffles"] for entry in content["null_check"]} == {"size": 2, "gradient": 2}
    curve = content["calibration"]["gradient"]["reliability"]
    assert curve[0]["observed"] == 0
    assert curve[-1]["observed"] == 1


def test_a_null_check_that_is_extended_counts_new_shuffles_alone(dataset: Path, whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "extended")
    more = replace(SETTINGS, methods=("size",), shuffles=4)
    first, again = (compare(dataset, out, more)[1]["null_check"] for _ in range(2))
    assert [(entry["shuffles"], entry["earlier"]) for entry in first] == [(2, 2)]
    assert again == first


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
    command[0] = preloaded_python().python
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
    before, *_ = fit_trial(FEATURE_METHODS["size"], split, lesions, Seen({"ses-01": features, "ses-02": features}))
    after, *_ = fit_trial(FEATURE_METHODS["size"], split, lesions, Seen({"ses-01": changed, "ses-02": features}))
    same = before["role"] != "heldout_mri1"
    pd.testing.assert_frame_equal(before[same], after[same])
    assert (before.loc[~same, "p_response"] != after.loc[~same, "p_response"]).all()


def test_several_thresholds_share_features_and_say_what_response_is(dataset: Path, whole: Path, tmp_path: Path) -> None:
    # Toy lesions that respond lose 62 %, so both thresholds give the data set's labels and its numbers.
    out = tmp_path / "out"
    shutil.copytree(whole / "features", out / "features")
    settings = replace(SETTINGS, shuffles=0)
    results = compare_thresholds(dataset, out, [0.3, 0.5], settings)
    assert sorted(file.name for file in out.iterdir()) == ["features", "threshold_30", "threshold_50"]
    for threshold, (_, content) in results.items():
        folder = out / f"threshold_{100 * threshold:g}"
        assert content["response_threshold"] == threshold
        said = f"Response is a loss of more than {threshold:.0%} of the volume."
        assert said in content["notes"]
        assert said in (folder / "table.csv").read_text()
        assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
        assert json.loads((folder / "provenance.json").read_text())["settings"]["threshold"] == threshold
    screen = Console(record=True, width=100)
    show_thresholds(results, screen)
    lines = [line.split() for line in screen.export_text().splitlines()]
    assert ["method", "30%", "50%"] in lines
    low = pd.read_csv(whole / "table.csv", comment="#").query("method == 'gradient' and score == 'auc'")["low"].iloc[0]
    assert ["gradient", *["1.000", f"[{low:.3f},", "1.000]"] * 2] in lines


def test_the_screen_shows_seven_methods_in_a_hundred_columns(whole: Path) -> None:
    table = pd.read_csv(whole / "table.csv", comment="#")
    content = json.loads((whole / "table.json").read_text())
    one = table[table["method"] == "gradient"]
    names = ("size", "clinical", "radiomics", "gradient", "ensemble", "improved", "cnn")
    screen = Console(record=True, width=100)
    show((pd.concat([one.assign(method=name) for name in names]), content), screen)
    text = screen.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100
    primary = text.split("(ii) MRI 2")[0]
    for name in names:
        assert any(line.startswith(f"{name} ") for line in primary.splitlines())
    assert primary.count("paper") == 3
    assert primary.count("Research use only. Synthetic data. Rankings on synthetic data reflect its design.") == 1


def test_what_was_chosen_is_counted_over_the_trials(whole: Path) -> None:
    found = pd.read_csv(whole / "importances.csv", comment="#")
    assert list(found.columns) == ["method", "feature", "group", "chosen", "weight"]
    # All toy lesions are of one size, which no model looks at.
    assert set(found["method"]) == {"gradient"}
    assert set(found["group"]) == {"gradient"}
    assert found["chosen"].is_monotonic_decreasing
    assert found["chosen"].between(0.1, 1.0).all()
    first = pd.concat([pd.read_csv(file) for file in (whole / "trials" / "gradient" / "chosen").glob("*.csv")])
    best = found.iloc[0]
    mine = first[first["feature"] == best["feature"]]
    assert best["chosen"] == pytest.approx(len(mine) / 10)
    assert best["weight"] == pytest.approx(mine["weight"].mean(), rel=1e-5)
    assert "Rankings on synthetic data reflect its design." in (whole / "importances.csv").read_text()


def test_the_record_says_what_a_methods_paragraph_needs(whole: Path) -> None:
    made = json.loads((whole / "provenance.json").read_text())
    steps = {step["name"]: step["settings"] for step in made["models"]["gradient"]["steps"]}
    assert steps["SVC"] == {"C": 1.0, "class_weight": "balanced", "kernel": "linear"}
    assert steps["MinRedundancyMaxRelevance"] == {"count": 10}
    assert steps["CorrelationFilter"] == {"most": 0.9}
    assert "RobustnessFilter" not in steps
    found = pd.read_csv(whole / "importances.csv", comment="#")
    assert made["models"]["gradient"]["mean_number_of_features"] == pytest.approx(found["chosen"].sum(), abs=1e-3)
    assert made["models"]["size"]["steps"][-2]["name"] == "LogisticRegression"
    assert made["features"]["gradient"]["features"] == 90
    assert made["features"]["gradient"]["settings"]["step_mm"] == 0.5
    assert made["seeds"] == {"splits": list(range(10)), "shuffles": [0, 1]}
    assert {"scikit-learn", "pyradiomics", "SimpleITK"} < set(made["versions"])


def test_the_icc_filter_looks_at_training_lesions_only(dataset: Path, whole: Path) -> None:
    lesions = read_lesions(dataset)
    split = make_splits(lesions, 1, "B")[0]
    gradient = FEATURE_METHODS["gradient"]
    seen = gradient.prepare(Measurements(dataset, gradient.measured, whole / "features", processes=1))
    assert seen.ratings is None
    table = seen.features["ses-01"]
    same = pd.concat(dict.fromkeys(("none", "contour"), table), names=["perturbation"])
    noise = same.copy()
    held = noise.index.isin(split.held_out, level="subject")
    noise[~held] = np.random.default_rng(0).normal(size=noise[~held].shape)
    unstable = same.copy()
    unstable[held] = np.random.default_rng(0).normal(size=unstable[held].shape)
    plain, robust, filtered = (
        fit_trial(gradient, split, lesions, replace(seen, ratings=ratings, least_icc=0.75))
        for ratings in (None, unstable, noise)
    )
    # What is not robust in held-out lesions changes nothing; what is not robust in training lesions goes.
    pd.testing.assert_frame_equal(plain[0], robust[0])
    pd.testing.assert_frame_equal(plain[1], robust[1])
    assert "no feature was left" in filtered[1]["note"].iloc[0]
    assert filtered[1]["feature"].isna().all()


def test_fewer_epochs_with_shuffled_labels_are_said(dataset: Path, tmp_path: Path) -> None:
    settings = Comparison(("cnn",), trials=5, shuffles=1, epochs=9, shuffle_epochs=4)
    said = " ".join(notes(make_plan(dataset, tmp_path, settings)))
    assert "With shuffled labels networks were trained for 4 epochs only (else: cnn 9)." in said
    as_many = " ".join(notes(make_plan(dataset, tmp_path, replace(settings, shuffle_epochs=9))))
    assert "With shuffled labels" not in as_many


def test_the_fusion_is_the_mean_of_the_logits() -> None:
    rows = {"model": 0, "role": "heldout_mri1", "session": "ses-01", "lesion": "L01"}
    p = {"gradient": (0.5, 1.0), "improved": (0.9, 1.0), "radiomics": (0.1, 0.5), "size": (0.99, 0.01)}
    table = pd.DataFrame(
        [
            {**rows, "method": method, "subject": subject, "label": label, "p_response": value}
            for method, values in p.items()
            for subject, label, value in zip(("sub-2", "sub-1"), (1, 0), values, strict=True)
        ]
    )
    fusion = METHODS["fusion"]
    assert isinstance(fusion, Fusion)
    found = fusion.fused([table[table["method"] == part.name] for part in fusion.parts])
    assert found["method"].tolist() == ["fusion", "fusion"]
    assert found["subject"].tolist() == ["sub-2", "sub-1"]  # the parts' order
    assert found["label"].tolist() == [1, 0]
    assert found["p_response"].iloc[0] == pytest.approx(0.5)
    sure = np.log((1 - 1e-7) / 1e-7)
    assert found["p_response"].iloc[1] == pytest.approx(1 / (1 + np.exp(-2 * sure / 3)))
    assert [method.name for method in with_parts(["fusion", "size"])] == [
        "size", "radiomics", "gradient", "improved", "fusion",
    ]  # fmt: skip


class Majority(Method):
    """A rule: every lesion gets the share of response among the training lesions."""

    name = "majority"

    @classmethod
    def run_trials(cls, methods: Sequence[Method], run: TrialRun) -> None:
        """A rule has nothing to fit."""

    def predictions(self, trials: TrialSet) -> pd.DataFrame:
        rows = []
        for split in trials.splits:
            share = split.training(trials.lesions)["label"].mean()
            for role, (session, lesions) in split.roles(trials.lesions).items():
                rows.append(lesions.assign(p_response=share, role=role, session=session, model=split.trial))
        return pd.concat(rows, ignore_index=True).assign(method=self.name)[COLUMNS]


def test_a_method_is_one_class(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "majority", Majority())
    table, content = compare(dataset, tmp_path / "out", Comparison(("majority", "size"), 5, shuffles=2, workers=1))
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    mine = predictions[(predictions["method"] == "majority") & (predictions["role"] == "heldout_mri1")]
    brier = content["calibration"]["majority"]["brier"]["estimate"]
    assert brier == pytest.approx(brier_score_loss(mine["label"], mine["p_response"]))
    assert set(table["method"]) == {entry["method"] for entry in content["null_check"]} == {"majority", "size"}


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
    script = str(repository / "scripts" / "compare.py")
    command = [preloaded_python().python, script, str(tmp_path), "--out", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "dataset.json is missing" in done.stderr
