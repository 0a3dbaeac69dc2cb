"""The app's settings, its start, its last answers, and new weights while it serves."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from app_server import AppServer
from phantom_case import ball, head
from pulsar_app.conf import KEYS, read_settings
from pulsar_app.prediction.answers import LastAnswers
from pulsar_app.prediction.predictor import Predictor
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem
from treatment_response.weights import write_pair

MODELS = Path(bundle_root()) / "models"


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A training run's folder with the bundle's weights."""
    shutil.copytree(MODELS, tmp_path / "run" / "models")
    shutil.move(tmp_path / "run" / "models" / "provenance.json", tmp_path / "run" / "provenance.json")
    return tmp_path / "run"


def test_settings_are_known_files():
    assert read_settings(None) == read_settings({}) == read_settings({"server_mode": "true"})
    settings = read_settings({"model": str(MODELS / "model.pt")})
    assert settings.model == (MODELS / "model.pt").resolve()
    assert settings.responses is None


def test_given_weights_belong_to_the_chosen_network_and_the_other_is_served_as_delivered(tmp_path):
    shutil.copy2(MODELS / "improved.pt", tmp_path / "model.pt")
    shutil.copy2(MODELS / "improved.json", tmp_path / "model.json")
    given = {"network": "improved", "model": str(tmp_path / "model.pt")}
    settings = read_settings(given)
    assert [path.name for path in settings.serving("improved")] == ["inference.json", "improved.json"]
    assert [path.name for path in settings.serving("paper")] == ["inference.json"]
    assert (settings.weights("paper"), settings.weights("improved")) == (None, tmp_path / "model.pt")
    with pytest.raises(DataProblem, match="there is no network best; known are paper, improved"):
        read_settings({**given, "network": "best"})
    with pytest.raises(DataProblem, match=r"the fold model improved_fold_0\.pt is not beside model\.pt"):
        Predictor(settings.serving("improved"), settings.weights("improved"))
    with pytest.raises(DataProblem, match="do not fit the network"):
        Predictor(settings.serving("paper"), MODELS / "improved.pt")


def test_unknown_settings_and_missing_files_are_told_all_at_once_with_what_is_known():
    with pytest.raises(DataProblem) as raised:
        read_settings({"modle": "x", "model": "/no/such/model.pt", "epochs": "3"})
    text = str(raised.value)
    assert len(raised.value.problems) == 3
    assert "--conf modle: there is no such setting" in text
    assert "model.pt" in text
    assert "/no/such" not in text
    assert all(key in text for key in KEYS)


def test_the_last_answers_of_the_last_images_are_kept():
    answers = LastAnswers(keep=2)
    assert answers.get("a") is None
    given = {"lesions": [1]}
    answers.put("a", given)
    given["lesions"].append(2)
    assert answers.get("a") == {"lesions": [1]}
    answers.get("a")["lesions"].clear()
    assert answers.get("a") == {"lesions": [1]}
    answers.put("b", {"n": 1})
    answers.put("a", {"n": 2})
    answers.put("c", {"n": 3})
    assert (answers.get("a"), answers.get("b"), answers.get("c")) == ({"n": 2}, None, {"n": 3})


def replace_weights(path: Path, change: float | None) -> None:
    """New weights in place, by renaming, as a training publishes them; None writes something that is no model."""
    state = torch.load(path, weights_only=True)
    if change is None:
        state.pop("output.bias")
    else:
        state["output.bias"] += change
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_pair(path, buffer.getvalue(), json.loads(path.with_suffix(".json").read_text()))


def test_new_weights_answer_from_the_next_request_on_and_bad_ones_never(run_folder, caplog):
    path = run_folder / "models" / "model.pt"
    predictor = Predictor(model_path=path)
    mask = ball((40, 44, 15), 8.0)

    def p_single() -> float:
        explainer = predictor.current()
        told = explainer.explain(head(), mask, key="mr", name="GTV", contrast_named=True)
        return float(told.result["p_single"])

    first, explainer = p_single(), predictor.current()
    assert predictor.current() is explainer
    assert explainer.model["calibrated"]
    replace_weights(path, change=-3.0)
    changed = p_single()
    assert changed < first
    assert not predictor.current().model["calibrated"]  # fold models of the earlier weights say nothing of these
    assert predictor.current().model["sha256"] != explainer.model["sha256"]
    assert predictor.current().model["training_data"] == explainer.model["training_data"]
    replace_weights(path, change=None)
    assert p_single() == changed
    assert "cannot be used" in caplog.text
    path.unlink()
    assert p_single() == changed


def bad_starts(folder: Path) -> dict[str, tuple[dict[str, str], str]]:
    """``--conf`` settings that cannot serve, and what the log must say."""
    state = torch.load(MODELS / "model.pt", weights_only=True)
    buffer = io.BytesIO()
    torch.save({**state, "dense.weight": torch.zeros(3, 3)}, buffer)
    write_pair(folder / "other.pt", buffer.getvalue(), json.loads((MODELS / "model.json").read_text()))
    return {
        "unknown": ({"modle": "x"}, f"--conf modle: there is no such setting; known are {', '.join(KEYS)}."),
        "misfit": ({"model": str(folder / "other.pt")}, "the weights in other.pt do not fit the network"),
    }


def test_a_server_that_cannot_serve_ends_with_one_sentence(tmp_path):
    starts = bad_starts(tmp_path)
    (tmp_path / "studies").mkdir()
    servers = {}
    try:
        for name, (conf, _) in starts.items():
            servers[name] = AppServer(tmp_path / "studies", tmp_path / name, conf)
            servers[name].start()
        for name, (_, sentence) in starts.items():
            status = servers[name].process.wait(120)
            log = servers[name].log
            assert status not in (0, None), name
            assert sentence in log, log[-2000:]
            assert "Traceback" not in log, name
    finally:
        for server in servers.values():
            server.stop()
