"""The published protocol of RANO beside ours: what knowing a patient and choosing an epoch on the test are worth."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from leaking_case import NAMES, linear_overlay, write_identities
from sklearn.metrics import balanced_accuracy_score
from test_four_commands import command
from treatment_response.evaluation.comparison.variants import read_variants
from treatment_response.problems import DataProblem
from treatment_response.protocols import protocol_of
from treatment_response.training.handlers import KeepBestEpoch
from treatment_response.weights import read_checkpoint, read_weights

VARIANTS = "rano_protocols.json"
PATIENTS, TIME_POINTS = "network", "network, folds by time point"
BEST = "network, folds by time point, best test epoch"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The comparison of the three protocols on the planted identities."""
    root = tmp_path_factory.mktemp("leaks")
    data, overlay, out = write_identities(root / "data"), root / "system.json", root / "comparison"
    overlay.write_text(json.dumps(linear_overlay()))
    options = ("--folds", "stored", "--trials", 2, "--methods", "prevalence", "network", "--workers", 1)
    arguments = (data, "--out", out, "--overlay", overlay, "--variants", VARIANTS, *options)
    assert command("compare", *arguments) == 0
    return SimpleNamespace(root=root, data=data, overlay=overlay, out=out, arguments=arguments)


def test_a_patients_identity_scores_only_where_time_points_are_held_out(compared) -> None:
    content = json.loads((compared.out / "table.json").read_text())
    rows = pd.read_csv(compared.out / "predictions.csv")
    columns = [f"p_{name}" for name in NAMES]
    by_hand = {
        method: balanced_accuracy_score(own["label"], own[columns].to_numpy().argmax(axis=1))
        for method, own in rows.groupby("method")
    }
    assert by_hand[TIME_POINTS] > 0.8
    assert by_hand[PATIENTS] == pytest.approx(0.25, abs=0.15)
    assert {len(own) for _, own in rows.groupby("method")} == {80}  # the same cases
    identity, chosen = content["leaks"]
    assert (identity["with"], identity["without"]) == (TIME_POINTS, PATIENTS)
    assert identity["interval"]["estimate"] == pytest.approx(by_hand[TIME_POINTS] - by_hand[PATIENTS])
    assert identity["interval"]["patients"] == 20
    assert identity["interval"]["low"] > 0.2
    assert "is shown to flatter" in identity["sentence"]
    assert identity["sentence"] in content["headline"]
    assert (chosen["with"], chosen["without"]) == (BEST, TIME_POINTS)
    assert chosen["interval"]["estimate"] == pytest.approx(by_hand[BEST] - by_hand[TIME_POINTS])
    assert "lowest loss on the test cases" in chosen["why"]


def test_what_leaks_is_never_compared_with_a_rule(compared) -> None:
    content = json.loads((compared.out / "table.json").read_text())
    assert content["leaking"] == [TIME_POINTS, BEST]
    compared_methods = {name for one in content["differences"] for name in (one["method"], one["minus"])}
    assert compared_methods == {"prevalence", PATIENTS}
    roles = {row["method"]: row["role"] for row in content["scores"]}
    assert roles == {
        "prevalence": "held_out",
        PATIENTS: "held_out",
        TIME_POINTS: "held_out_time_points",
        BEST: "chosen_on_time_points",
    }
    assert "whoever's they are" in content["methods"][TIME_POINTS]
    assert list(content["far_misses"]) == [PATIENTS]


def test_the_best_epoch_is_that_of_the_lowest_watched_loss(compared) -> None:
    folder = compared.out / "trials" / "network_folds_by_time_point_best_test_epoch"
    for trial in sorted(folder.iterdir()):
        history = pd.read_csv(trial / "history.csv")
        assert len(history) == 12
        kept = read_checkpoint(trial / "models" / "best_epoch.pt", "")
        assert kept["epoch"] == history.loc[history["heldout_loss"].idxmin(), "epoch"]
        state = read_weights(trial / "models" / "model.pt").state
        assert all(torch.equal(state[name], kept["network"][name]) for name in state)
    last = compared.out / "trials" / "network_folds_by_time_point" / "trial_000" / "models"
    assert not (last / "best_epoch.pt").exists()
    # The same seed and the same folds: only the epoch differs.
    once, twice = (
        read_checkpoint(path, "")["network"]
        for path in (last / "checkpoint.pt", folder / "trial_000/models/checkpoint.pt")
    )
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_the_same_command_repeats_nothing_and_cross_validation_has_the_protocols_too(compared, capfd) -> None:
    before = (compared.out / "table.json").read_bytes()
    assert command("compare", *compared.arguments) == 0
    assert (compared.out / "table.json").read_bytes() == before
    leaking = compared.root / "leaking.json"
    leaking.write_text(json.dumps({"protocol": "time_points_best"}))
    out = compared.root / "cv"
    options = ("--folds", 2, "--workers", 1, "--epochs", 3)
    capfd.readouterr()
    assert command("cross_validate", compared.data, "--out", out, "--overlay", compared.overlay, leaking, *options) == 0
    assert "The protocol leaks: One patient's time points lie in training and test." in capfd.readouterr().out
    pooled = pd.read_csv(out / "predictions.csv")
    assert set(pooled["role"]) == {"chosen_on_time_points"}
    assert (pooled.groupby("subject")["fold"].nunique() == 2).all()
    metrics = json.loads((out / "metrics.json").read_text())["chosen_on_time_points"]
    assert "leaks" in metrics["role"]
    assert len(metrics["folds"]["balanced_accuracy"]["values"]) == 2
    assert {"far_misses", "intervals"} <= set(metrics)
    assert not (out / "ensemble").exists()
    report = compared.root / "report"
    given = ("--dataset", compared.data, "--run", out, "--comparison", compared.out, "--out", report)
    assert command("report", *given) == 0
    page = (report / "report.html").read_text()
    assert "These numbers flatter." in page
    assert "are on the same side of a split" not in page
    assert "nothing was chosen with test data" not in page
    tables = {path.stem for path in (report / "tables").iterdir()}
    assert {
        "comparison_1_leaks",
        "comparison_1_recalls",
        "network_folds",
        "network_calibration",
        "far_misses",
    } <= tables
    recalls = pd.read_csv(report / "tables" / "comparison_1_recalls.csv", comment="#")
    assert list(recalls["method"]) == ["prevalence", PATIENTS]


def trained(tmp_path: Path, losses: list[float], resume: bool = False, start: int = 0, **settings) -> torch.nn.Module:
    """A bare training whose weights are the number of the epoch, watched with these losses."""
    network = torch.nn.Linear(1, 1, bias=False)
    validator = Engine(lambda engine, batch: None)
    trainer = Engine(lambda engine, batch: None)
    keeper = KeepBestEpoch(str(tmp_path), network, "time_points_best", validator, resume=resume, **settings)
    keeper.attach(trainer)

    @validator.on(Events.EPOCH_COMPLETED)
    def loss(engine: Engine) -> None:
        engine.state.metrics["loss"] = losses[trainer.state.epoch - 1]

    @trainer.on(Events.STARTED)
    def begin(engine: Engine) -> None:
        engine.state.epoch = start

    @trainer.on(Events.EPOCH_COMPLETED)
    def epoch(engine: Engine) -> None:
        with torch.no_grad():
            network.weight.fill_(engine.state.epoch)
        validator.run([0], max_epochs=1)

    trainer.run([0], max_epochs=len(losses))
    return network


@pytest.mark.parametrize(
    ("losses", "best"), [([3, 1, 2], 2), ([1, 1, 2], 1), ([3, 2, 1], 3), ([2, np.nan, 3], 1)], ids=str
)
def test_the_planted_epoch_is_kept(tmp_path: Path, losses: list[float], best: int) -> None:
    assert trained(tmp_path, losses).weight.item() == best


def test_a_resumed_training_keeps_what_came_before_and_a_new_one_does_not(tmp_path: Path) -> None:
    trained(tmp_path, [3, 1])
    assert trained(tmp_path, [3, 1, 2, 2], resume=True, start=2).weight.item() == 2
    assert trained(tmp_path, [9, 8]).weight.item() == 2
    assert read_checkpoint(tmp_path / "models" / "best_epoch.pt", "")["loss"] == 8


def test_an_epoch_is_not_chosen_among_some(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="one in 5 is validated"):
        trained(tmp_path, [1, 2], interval=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"networks": {"a": {}}, "leaks": {"x": ["a", "b"]}}, "names no two networks"),
        ({"networks": {"a": {"protocol": "none"}}}, "sets no known protocol"),
        ({"networks": {"a": {"protocol": "time_points"}, "b": {}}}, "the first network, 'a', has protocol time_points"),
        (
            {"networks": {"a": {}, "b": {"protocol": "time_points"}}, "worth": {"x": ["a", "b"]}},
            "different protocols",
        ),
    ],
    ids=["pair", "protocol", "first", "worth"],
)
def test_variants_that_mix_protocols_wrongly_are_told(tmp_path: Path, content: dict, message: str) -> None:
    (tmp_path / "variants.json").write_text(json.dumps(content))
    with pytest.raises(DataProblem, match=message):
        read_variants(str(tmp_path / "variants.json"), []).by_protocol(protocol_of("patients"))
