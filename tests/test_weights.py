"""``model.pt`` and ``model.json``: a pair that is whole and belongs together, weights and their facts alone."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from preloaded_python import preloaded_python
from torch import nn
from treatment_response.certainty import Calibration, Certainty, ClassScores, ConformalSets
from treatment_response.evaluation.explanations.lesion_scores import LesionGroup
from treatment_response.inference.lesions.inferer import CamInferer
from treatment_response.inference.model import describe_model
from treatment_response.model_description import TrainingData
from treatment_response.networks import MaskedAutoencoderClassifier
from treatment_response.notice import RESEARCH_ONLY, notice
from treatment_response.problems import DataProblem
from treatment_response.weights import add_fold_models, copy_pair, load_into, read_weights, write_weights

BUNDLE = Path(__file__).resolve().parents[1] / "bundle"
SCALES = {name: {"non-response": 0.5, "response": 2.0} for name in ("gradcam", "gradcampp", "pixelwise")}
DATA = TrainingData("toy", synthetic=True, lesions=8, patients=4, protocol="B", fold=0)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    write_weights(tmp_path / "model.pt", network(), SCALES, DATA)
    return tmp_path / "model.pt"


def rewrite(model_path: Path, state: Any, **description: Any) -> None:
    """Other weights, or another description, with the right SHA-256 unless one is given."""
    torch.save(state, model_path)
    content = json.loads(model_path.with_suffix(".json").read_text())
    content |= {"sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(), **description}
    model_path.with_suffix(".json").write_text(json.dumps(content))


@pytest.mark.parametrize(("stem", "record"), [("model", "provenance.json"), ("improved", "provenance_improved.json")])
def test_the_delivered_weights_are_plain_state_dictionaries_with_their_description(stem, record):
    path = BUNDLE / "models" / f"{stem}.pt"
    state = torch.load(path, weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    weights = read_weights(path)
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    provenance = json.loads((BUNDLE / "models" / record).read_text())
    assert weights.training_data.name == provenance["dataset"]["name"]
    assert weights.training_data.patients == provenance["dataset"]["training_patients"]
    assert weights.training_data.synthetic
    model = describe_model(weights)
    assert notice(model).endswith("the probabilities are calibrated on held-out synthetic lesions.")
    assert sum(model["calibration_lesions"].values()) == weights.training_data.lesions == 300
    assert len(weights.folds) == 5
    assert all(fold.keys() == state.keys() for fold in weights.folds)
    assert weights.certainty.conformal.trivial() == []


def test_what_is_written_is_read_back(model_path):
    state = torch.load(model_path, weights_only=True)
    assert type(state) is dict
    assert sorted(path.name for path in model_path.parent.iterdir()) == ["model.json", "model.pt"]
    weights = read_weights(model_path)
    assert (weights.map_scales, weights.training_data) == (SCALES, DATA)
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_into(other, weights)
    assert all(torch.equal(tensor, network().state_dict()[name]) for name, tensor in other.state_dict().items())


class Exploit:
    def __reduce__(self):
        return (Path.touch, (Path("exploited"),))


def states(good: dict[str, torch.Tensor]) -> dict[str, tuple[Any, str]]:
    """What could stand in ``model.pt``, and the sentence that it gets."""
    lacking = {name: tensor for name, tensor in good.items() if name != "1.num_batches_tracked"}
    weight = good["0.weight"]
    return {
        "missing": (lacking, "it lacks '1.num_batches_tracked'"),
        "unexpected": ({**good, "cam_scale": torch.ones(3, 2)}, "'cam_scale' too many"),
        "shape": ({**good, "0.bias": torch.ones(3)}, r"'0.bias' is \(3,\) float32, not \(2,\) float32"),
        "type": ({**good, "0.weight": weight.double()}, "float64, not .* float32"),
        "NaN": ({**good, "0.weight": weight * torch.nan}, "'0.weight' holds a number that is not finite"),
        "infinite": ({**good, "1.running_var": torch.tensor([1.0, torch.inf])}, "not finite"),
        "sparse": ({**good, "0.weight": weight.to_sparse()}, "no plain tensor"),
        "on no device": ({**good, "0.weight": weight.to("meta")}, "no plain tensor"),
        "text": ({**good, "notice": "approved"}, "'notice' is no plain tensor"),
        "empty": ({}, "no dictionary of named weights"),
        "quantised": (
            {**good, "0.weight": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)},
            "'0.weight' is no plain tensor",
        ),
        "8 bits": ({**good, "more": weight.to(torch.float8_e4m3fn)}, "'more' is no plain tensor"),
        "complex": ({**good, "more": weight.to(torch.complex64)}, "'more' is no plain tensor"),
        "nested": ({**good, "more": torch.nested.nested_tensor([weight[0], weight[0, :1]])}, "'more' is no plain"),
        "subclass": ({**good, "0.weight": MetaTensor(weight)}, "'0.weight' is no plain tensor"),
        "10 TB of one number": ({**good, "more": torch.zeros(1).expand(10**13)}, "'more' is no plain tensor"),
        "list": ([weight], "no dictionary of named weights"),
        "numbered": ({0: weight}, "no dictionary of named weights"),
        "code": ({"0.weight": Exploit()}, "cannot be read as weights"),
        "earlier format": ({"model": good}, "earlier format, which holds everything itself"),
    }


@pytest.mark.parametrize("kind", states(network().state_dict()))
def test_weights_that_are_not_what_the_network_has_are_refused_in_one_sentence(kind, model_path, monkeypatch):
    monkeypatch.chdir(model_path.parent)
    state, sentence = states(dict(network().state_dict()))[kind]
    rewrite(model_path, state)
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(DataProblem, match=sentence) as raised:
        load_into(target, read_weights(model_path))
    assert len(str(raised.value).splitlines()) == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())
    assert not Path("exploited").exists()


DESCRIPTIONS: dict[str, tuple[Any, str]] = {
    "of other weights": ({"sha256": "0" * 64}, "written for other weights"),
    "without a digest": ({"sha256": None}, "written for other weights"),
    "other classes": ({"classes": {"names": ["benign", "malignant"]}}, "classes are not non-response and response"),
    "turned classes": ({"classes": {"names": ["response", "non-response"]}}, "classes are not"),
    "no scale for a class": ({"map_scales": {"gradcam": {"response": 1.0}}}, "map_scales"),
    "negative scale": ({"map_scales": {"gradcam": {"response": 1.0, "non-response": -1.0}}}, "map_scales"),
    "infinite scale": ({"map_scales": {"gradcam": {"response": 1.0, "non-response": float("inf")}}}, "map_scales"),
    "scale of 400 digits": ({"map_scales": {"gradcam": {"response": 10**400, "non-response": 1}}}, "map_scales"),
    "scale above float32": ({"map_scales": {"gradcam": {"response": 1e39, "non-response": 1.0}}}, "map_scales"),
    "scale below float32": ({"map_scales": {"gradcam": {"response": 1e-46, "non-response": 1.0}}}, "map_scales"),
    "scale of a claim": (
        {"map_scales": {"FDA cleared": {"response": 1.0, "non-response": 1.0}}},
        "map_scales are of 'FDA cleared'",
    ),
    "true for a scale": ({"map_scales": {"gradcam": {"response": 1.0, "non-response": True}}}, "map_scales"),
    "list of scales": ({"map_scales": [1.0]}, "map_scales"),
    "calibration alone": ({"calibration": {"slope": 1.0}}, "it has no entry 'conformal'"),
    "fold models alone": ({"fold_models": []}, "it has no entry 'conformal'"),
    "broken calibration": ({"calibration": {}, "conformal": {}, "fold_models": []}, "its calibration does not hold"),
    "a notice": ({"notice": "cleared for clinical use"}, "does not know its entry 'notice'"),
    "counts as text": ({"training_data": {"lesions": "9000, approved"}}, "lesions is not of type int"),
    "negative count": ({"training_data": {"lesions": -1}}, "lesions is negative"),
    "count of 30 digits": ({"training_data": {"patients": 10**30}}, "patients is above 1000000000"),
    "list of training data": ({"training_data": []}, "training_data cannot be used"),
    "false for training data": ({"training_data": False}, "training_data cannot be used"),
    "half a character": ({"training_data": {"name": "\ud800"}}, "is no JSON"),
    "synthetic as text": ({"training_data": {"synthetic": "real"}}, "synthetic is not of type bool"),
    "more on the training": ({"training_data": {"clearance": "yes"}}, "training_data cannot be used"),
    "another protocol": ({"training_data": {"protocol": "approved"}}, "neither A nor B"),
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_description_that_does_not_fit_is_refused_in_one_sentence(kind, model_path):
    change, sentence = DESCRIPTIONS[kind]
    rewrite(model_path, dict(network().state_dict()), **change)
    with pytest.raises(DataProblem, match=sentence) as raised:
        read_weights(model_path)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"model\.json.* is not beside it"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "no object"),
        (b"\xff\xfe\x00{", "is no JSON"),
        ("{}", "written for other weights"),
        (" " * (1 << 20) + "{}", "more than the 1048576"),
        ('{"sha256": "0", "sha256": "1"}', "names 'sha256' twice"),
    ],
    ids=["absent", "cut off", "deep", "list", "no text", "empty", "huge", "twice"],
)
def test_a_broken_description_is_refused_in_one_sentence(content, sentence, model_path):
    description = model_path.with_suffix(".json")
    description.unlink()
    if content is not None:
        description.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataProblem, match=sentence) as raised:
        read_weights(model_path)
    assert len(str(raised.value).splitlines()) == 1


def test_files_of_the_earlier_format_are_read_and_said_to_be_old(tmp_path, caplog):
    scales = torch.tensor([[0.5, 2.0]] * 3)
    torch.save({"model": {**network().state_dict(), "cam_scale": scales}}, tmp_path / "model.pt")
    provenance = {"protocol": "B", "fold": 0, "dataset": {"name": "toy", "synthetic": True, "training_lesions": 8}}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    weights = read_weights(tmp_path / "model.pt")
    assert "model.pt has the earlier format" in caplog.text
    load_into(network(), weights)
    assert weights.map_scales == SCALES
    assert weights.training_data == TrainingData("toy", synthetic=True, lesions=8, protocol="B", fold=0)
    # Weights that a publication has put aside have a provenance of their own, or none.
    (tmp_path / "model.pt").rename(tmp_path / "model_0123.pt")
    assert read_weights(tmp_path / "model_0123.pt").training_data == TrainingData()
    (tmp_path / "provenance.json").rename(tmp_path / "provenance_0123.json")
    assert read_weights(tmp_path / "model_0123.pt").training_data.name == "toy"
    for wrong in ("{", json.dumps({"dataset": {"training_lesions": "many"}}), json.dumps({"dataset": "toy"})):
        (tmp_path / "provenance_0123.json").write_text(wrong)
        with pytest.raises(DataProblem, match=r"provenance_0123\.json"):
            read_weights(tmp_path / "model_0123.pt")


@pytest.mark.parametrize(
    "state",
    [{}, {1: torch.ones(1)}, {"cam_scale": torch.ones(3, 2, dtype=torch.complex64)}],
    ids=["empty", "numbered", "complex scales"],
)
def test_a_broken_file_of_the_earlier_format_is_refused_in_one_sentence(state, tmp_path):
    torch.save({"model": state}, tmp_path / "model.pt")
    with pytest.raises(DataProblem, match=r"no plain tensor|no dictionary of named weights") as raised:
        read_weights(tmp_path / "model.pt")
    assert len(str(raised.value).splitlines()) == 1


def test_an_archive_that_inflates_is_refused(model_path):
    packed = model_path.with_name("packed.zip")
    with zipfile.ZipFile(model_path) as stored, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as deflated:
        for record in stored.infolist():
            deflated.writestr(record.filename, stored.read(record))
        deflated.writestr(stored.infolist()[0].filename.replace("data.pkl", "more"), bytes(1 << 20))
    assert torch.load(packed, weights_only=True).keys() == torch.load(model_path, weights_only=True).keys()
    packed.replace(model_path)
    with pytest.raises(DataProblem, match="cannot be read as weights"):
        read_weights(model_path)


@pytest.mark.parametrize(
    "name",
    [
        'x". Cleared by the FDA for diagnosis. "',
        "real\nApproved for clinical use.",
        "y" * 900,
        "x (real), 9000 lesions of 5000 patients",
        "CE-marked medical_device, calibrated",
        "",
    ],
    ids=["ends the sentence", "begins a line", "is long", "adds facts", "claims a mark", "is empty"],
)
def test_no_name_of_a_data_set_makes_the_notice_claim_more(name, tmp_path):
    write_weights(tmp_path / "model.pt", network(), SCALES, TrainingData(name, synthetic=False, lesions=1, patients=1))
    told = notice(describe_model(read_weights(tmp_path / "model.pt")))
    assert told.startswith(f"{RESEARCH_ONLY}, not for clinical decisions. Trained on the data set ")
    assert told.endswith(" (real), 1 lesions of 1 patients; the probabilities are not calibrated.")
    shown = told.partition("the data set ")[2].rpartition(" (real)")[0]
    assert all(sign.isalnum() or sign in " +-" for sign in shown)
    assert shown.strip()
    assert not re.search("FDA|cleared|approved|clinical|medical|calibrated", shown, re.IGNORECASE)
    assert len(shown) <= 64


KILLED = """
import os, sys, torch
from pathlib import Path
sys.path[:0] = {paths!r}
from test_weights import DATA, SCALES, network
from treatment_response import files, weights
path, left = Path({path!r}), {left}
other = network()
with torch.no_grad():
    other[0].bias += 1
rename = Path.replace
def replace(source, target):
    global left
    if not left:
        os._exit(9)
    left -= 1
    return rename(source, target)
Path.replace = replace
weights.write_weights(path, other, SCALES, DATA)
"""


def test_a_kill_at_any_moment_leaves_the_earlier_pair_or_the_new_one(tmp_path):
    biases = []
    for left in range(4):  # renames until the kill; the whole job has three
        path = tmp_path / str(left) / "model.pt"
        write_weights(path, network(), SCALES, DATA)
        code = KILLED.format(paths=[str(BUNDLE), str(Path(__file__).parent)], path=str(path), left=left)
        done = subprocess.run([preloaded_python().python, "-c", code], check=False, capture_output=True)
        assert done.returncode == (9 if left < 3 else 0), done.stderr
        change = read_weights(path).state["0.bias"] - network().state_dict()["0.bias"]
        biases.append(round(float(change.mean())))
        write_weights(path, network(), SCALES, DATA)  # the next writing mends what is left
        assert float((read_weights(path).state["0.bias"] - network().state_dict()["0.bias"]).abs().max()) == 0
    assert biases == [0, 0, 1, 1]


def test_a_copied_pair_has_the_same_bytes(model_path, tmp_path):
    target = tmp_path / "served" / "model.pt"
    copy_pair(model_path, target)
    assert target.read_bytes() == model_path.read_bytes()
    assert read_weights(target).map_scales == SCALES


def test_a_copy_takes_the_description_of_these_weights_and_of_no_others(model_path, tmp_path):
    """A kill between the renames leaves the new weights' description under its waiting name."""
    stale = json.loads(model_path.with_suffix(".json").read_text())
    model_path.with_suffix(".json").replace(model_path.with_suffix(".next.json"))
    model_path.with_suffix(".json").write_text(json.dumps({**stale, "sha256": "0" * 64, "map_scales": None}))
    copy_pair(model_path, tmp_path / "served" / "model.pt")
    assert read_weights(tmp_path / "served" / "model.pt").map_scales == SCALES
    model_path.with_suffix(".next.json").unlink()
    with pytest.raises(DataProblem, match="written for other weights"):
        copy_pair(model_path, tmp_path / "served" / "model.pt")


def with_folds(path: Path) -> list[dict[str, torch.Tensor]]:
    """Give the weights two fold models; returns their states."""
    folds = tuple({name: ClassScores((0.5, -1.0), (n, n)) for name in ("non-response", "response")} for n in (0, 1))
    states = [{name: tensor + 1 + n for name, tensor in network().state_dict().items()} for n in (0, 1)]
    add_fold_models(path, states, Certainty(Calibration(0.1, 0.8, -3.0, 4.0), ConformalSets(0.9, folds)))
    return states


def test_fold_models_are_bound_to_the_weights_and_go_with_their_copies(model_path, tmp_path):
    before = model_path.read_bytes()
    states = with_folds(model_path)
    assert model_path.read_bytes() == before
    copied = tmp_path / "served" / "model.pt"
    copy_pair(model_path, copied)
    model_path.with_name("model_fold_0.pt").write_bytes(b"")
    with pytest.raises(DataProblem, match=r"model_fold_0\.pt is not the fold model that model\.json names"):
        read_weights(model_path)
    weights = read_weights(copied)
    assert (weights.map_scales, weights.training_data) == (SCALES, DATA)
    assert weights.certainty.calibration == Calibration(0.1, 0.8, -3.0, 4.0)
    for read, state in zip(weights.folds, states, strict=True):
        assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    # Other fold models under the same names come to lie beside those of the earlier description.
    kept = copied.with_suffix(".json").read_text()
    write_weights(model_path, network(), SCALES, DATA)
    states[0]["0.bias"] += 1
    add_fold_models(model_path, states, weights.certainty)
    copy_pair(model_path, copied)
    assert torch.equal(read_weights(copied).folds[0]["0.bias"], states[0]["0.bias"])
    copied.with_suffix(".json").write_text(kept)
    assert torch.allclose(read_weights(copied).folds[0]["0.bias"], states[0]["0.bias"] - 1)
    write_weights(copied, network(), SCALES, DATA)
    assert read_weights(copied).certainty is None


def listed(entries: list[dict[str, Any]], kind: str) -> Any:
    return {
        "another folder": [{**entries[0], "file": "../model_fold_0.pt"}, entries[1]],
        "an absolute path": [{**entries[0], "file": "/model_fold_0.pt"}, entries[1]],
        "twice": [entries[0], entries[0]],
        "one less": entries[:1],
        "one absent": [{**entries[0], "file": "absent.pt"}, entries[1]],
        "more told": [{**entries[0], "approved": True}, entries[1]],
        "no list": {"0": entries[0]},
    }[kind]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("another folder", "not up to 20 files of its folder"),
        ("an absolute path", "not up to 20 files of its folder"),
        ("twice", r"names the fold model model_fold_0\.pt twice"),
        ("one less", "not as many as the folds"),
        ("one absent", r"the fold model absent\.pt is not beside model\.pt"),
        ("more told", "not up to 20 files of its folder"),
        ("no list", "not up to 20 files of its folder"),
    ],
)
def test_fold_models_that_are_not_there_as_named_are_refused_in_one_sentence(kind, sentence, model_path):
    with_folds(model_path)
    entries = json.loads(model_path.with_suffix(".json").read_text())["fold_models"]
    rewrite(model_path, dict(network().state_dict()), fold_models=listed(entries, kind))
    with pytest.raises(DataProblem, match=sentence) as raised:
        read_weights(model_path)
    assert len(str(raised.value).splitlines()) == 1


def test_weights_whose_answer_is_no_number_give_none(tmp_path):
    network = MaskedAutoencoderClassifier()
    with torch.no_grad():
        network.output.weight.fill_(3e38)
        network.output.bias.fill_(3e38)
    write_weights(tmp_path / "model.pt", network, SCALES, DATA)
    load_into(network, read_weights(tmp_path / "model.pt"))
    x = torch.ones(2, 2, 64, 64)
    with pytest.raises(DataProblem, match="the model: its predictions or maps are not finite"):
        CamInferer(SCALES)(x, network)
    with pytest.raises(DataProblem, match="the model: its predictions or maps are not finite"):
        LesionGroup(network, x, [("a", "L01"), ("b", "L01")], {}, [], 0)


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"a": 1}))
    for name in ("text.pt", "pickle.pt"):
        with pytest.raises(DataProblem, match=r"cannot be read as weights|is not beside it"):
            read_weights(tmp_path / name)
    with pytest.raises(DataProblem, match=r"no file absent\.pt"):
        read_weights(tmp_path / "absent.pt")
    with pytest.raises(DataProblem, match="there is no file"):
        read_weights(tmp_path)
