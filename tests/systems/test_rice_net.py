"""RICE-NET's overlay on a tiny data set: its input, its five folds, the final test, and where its maps lie."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import rice_case
import tiny_systems
import torch
from monai.bundle import ConfigParser
from test_four_commands import command
from treatment_response.cases.lesion_transforms import LesionTransforms
from treatment_response.cases.map_parts import ChannelPart, MaskPart
from treatment_response.cases.samples import training_samples
from treatment_response.classes import classes_of
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.dataset import load_datalist
from treatment_response.evaluation.comparison.reliance import HeldOut, reliance
from treatment_response.evaluation.comparison.variants import read_variants
from treatment_response.inference.model import load_model
from treatment_response.model_description import TrainingData
from treatment_response.networks.probabilities import probabilities
from treatment_response.problems import DataProblem
from treatment_response.report.case_pictures import case_pictures
from treatment_response.training.experiment import read_samples
from treatment_response.weights import read_weights, write_weights

CLASSES = classes_of(rice_case.CLASSES)
CONFIGS = ("train.json", "rice_net.json")
STEPS = ("image", "lesion", "patch")
RULES = ("lesion_mean_dose_gy", "months_since_radiotherapy", "modality")


def parsed(*files: str, **settings: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(tiny_systems.CONFIGS / file) for file in files])
    parser.update({"bundle_root": str(tiny_systems.CONFIGS.parent), **rice_case.TINY, **settings})
    return parser


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The tiny data set, cross-validated, its test patients predicted."""
    root = tmp_path_factory.mktemp("rice")
    data = rice_case.write_dataset(root / "data")
    small = root / "tiny.json"
    small.write_text(json.dumps({**rice_case.TINY, "max_epochs": 4}))
    options = ("--overlay", "rice_net.json", small, "--workers", 1, "--folds", rice_case.FOLDS, "--test")
    assert command("cross_validate", data, "--out", root / "cv", *options) == 0
    return SimpleNamespace(root=root, data=data, small=small, cv=root / "cv")


def test_the_overlay_stands_on_all_three_bases(system):
    for base in ("train.json",), ("train.json", "evaluate.json"), ("inference.json",):
        files = (base[0], "rice_net.json", *base[1:])
        model = str(system.cv / "fold_0" / "models" / "model.pt")
        parser = parsed(*files, dataset_dir=str(system.data), model_path=model, output_dir=str(system.root / "o"))
        parser.get_parsed_content("evaluator" if len(files) == 3 or base[0] == "inference.json" else "train#trainer")
        network = parser.get_parsed_content("network_def")
        assert type(network).__name__ == "ResNet"
        assert network.conv1.stride == (2, 2, 2)


def test_the_input_is_scaled_in_the_brain_and_centred_on_it(system):
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), protocol="patients", **rice_case.TINY)
    x = samples[0]["image"]
    assert x.shape == (3, 20, 20, 20)
    brain = (x != 0).any(dim=0)
    for channel in x[:2]:
        inside = channel[channel != 0]
        assert float(inside.mean()) == pytest.approx(0, abs=2e-3)
        assert float(inside.std()) == pytest.approx(1, abs=2e-3)
        assert not bool(channel[~brain].any())
    given = np.asarray(nibabel.load(system.data / "sub-001" / "dose.nii.gz").dataobj)
    stripped = given * (np.asarray(nibabel.load(system.data / "sub-001" / "brain.nii.gz").dataobj) > 0)
    assert float(x[2].max()) == pytest.approx(stripped.max() / 60, rel=0.05)  # Gy over 60, smoothed by the new grid
    middle = (torch.nonzero(brain).amin(dim=0) + torch.nonzero(brain).amax(dim=0)) / 2
    assert (middle - 9.5).abs().max() <= 1
    for channels in (["dose"], ["event", "dose"]):
        chosen = read_samples(CONFIGS, None, dataset_dir=str(system.data), **{**rice_case.TINY, "channels": channels})
        places = [("post_operative", "event", "dose").index(name) for name in channels]
        torch.testing.assert_close(chosen[0]["image"], x[places])
    assert len(list((system.data / "preprocessed").glob("*.npy"))) == 3 * 20  # the variants share the files


def test_augmentation_leaves_the_dose_and_what_is_outside_the_brain(system):
    parser = parsed(*CONFIGS, dataset_dir=str(system.data), output_dir=str(system.root / "o"), bf16=False)
    augment = parser.get_parsed_content("prepare_training_batch").augment
    augment.rotation_deg = augment.scale = augment.elastic_mm = 0.0
    augment.probability = 1.0
    batch = next(iter(parser.get_parsed_content("train_dataloader")))["image"]
    assert batch.dtype == torch.float16
    x = batch.float()
    changed = augment(batch)
    torch.testing.assert_close(changed[:, 2], x[:, 2], rtol=0, atol=0)
    assert not torch.equal(changed[:, 1], x[:, 1])
    assert not bool(changed[:, :2][(x == 0).all(dim=1, keepdim=True).expand(-1, 2, -1, -1, -1)].any())
    assert changed.is_contiguous(memory_format=torch.channels_last_3d)


def test_the_test_patients_are_predicted_by_all_folds_together(system):
    table = pd.read_csv(system.cv / "test_predictions.csv")
    assert list(table["subject"]) == [f"sub-{number:03d}" for number in (19, 20)]
    folds = [system.cv / f"fold_{fold}" / "models" / "model.pt" for fold in range(rice_case.FOLDS)]
    metrics = json.loads((system.cv / "test_metrics.json").read_text())
    assert metrics["calibrated"]
    parser = parsed(*CONFIGS)
    network = parser.get_parsed_content("network_def").eval()
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), case_list="test", **rice_case.TINY)
    temperature = read_weights(system.cv / "ensemble" / "model.pt").certainty.calibration.temperature
    by_hand = []
    for path in folds:
        network.load_state_dict(torch.load(path, weights_only=True))
        with torch.no_grad():
            by_hand.append(probabilities(network(torch.stack([one["image"] for one in samples])) / temperature))
    mean = torch.stack(by_hand).mean(dim=0)
    np.testing.assert_allclose(table[list(CLASSES.columns)], mean, atol=1e-5)
    votes = torch.stack(by_hand).argmax(dim=-1).sum(dim=0).numpy()
    np.testing.assert_array_equal(table["votes_recurrence"], votes)
    np.testing.assert_array_equal(table["decided"], 2 * votes > rice_case.FOLDS)
    np.testing.assert_allclose(table["agreement"], np.maximum(votes, rice_case.FOLDS - votes) / rice_case.FOLDS)
    hits = int((table["decided"] == table["label"]).sum())
    assert (metrics["accuracy"]["hits"], metrics["accuracy"]["method"]) == (hits, "exact binomial")
    pooled = pd.read_csv(system.cv / "predictions.csv")
    assert not set(pooled["subject"]) & set(table["subject"])
    # The ensemble that was written is this mean.
    weights = read_weights(system.cv / "ensemble" / "model.pt")
    assert (weights.training_data.lesions, weights.training_data.patients, weights.training_data.fold) == (18, 18, None)
    whole = load_model(
        parser.get_parsed_content("network_def"), weights, torch.device("cpu"), parser.get_parsed_content("explanation")
    )
    with torch.no_grad():
        torch.testing.assert_close(probabilities(whole(samples[0]["image"][None]))[0], mean[0], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def maps(system: SimpleNamespace) -> Path:
    """The test patients, explained by the ensemble."""
    out = system.root / "maps"
    overlay = system.root / "one.json"
    content = json.loads((tiny_systems.CONFIGS / "rice_net.json").read_text())
    overlay.write_text(json.dumps({**content, **rice_case.TINY}))
    given = {"dataset_dir": str(system.data), "model_path": str(system.cv / "ensemble" / "model.pt")}
    tiny_systems.run("inference", overlay, output_dir=str(out), case_list="test", **given)
    return out


def test_a_map_of_the_ensemble_lies_on_the_event_images_own_grid(system, maps):
    case = json.loads((maps / "cases.json").read_text())["cases"][1]
    table = pd.read_csv(system.cv / "test_predictions.csv")
    np.testing.assert_allclose([case[name] for name in CLASSES.columns], table.loc[1, list(CLASSES.columns)], atol=1e-4)
    assert not [warning for warning in case["warnings"] if "training data" in warning]
    (raw,) = [one["raw"] for one in case["maps"] if one["class"] == "recurrence"]
    image = nibabel.load(maps / raw)
    assert image.shape == rice_case.SHAPE
    np.testing.assert_allclose(image.affine, rice_case.affine(), atol=1e-4)
    volume = np.asarray(image.dataobj)
    brain = np.asarray(nibabel.load(system.data / case["subject"] / "brain.nii.gz").dataobj) > 0
    assert volume.max() > 0
    assert volume[brain].sum() > 0.95 * volume.sum()


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda c: c["test"].append(c["training"][0] | {"fold": -1}), "sub-001: is a test patient and in a fold too"),
        (lambda c: c["training"][0].update(label=2), "sample 1 of dataset.json: label 2 is unknown, expected 0 or 1"),
        (lambda c: c["test"][0].update(fold=0), "test sample 1 of dataset.json: is in fold 0, expected -1"),
        (lambda c: c["training"].append(c["training"][0] | {"case": "later", "fold": 2}), "sub-001: is in folds 0, 2"),
        (lambda c: c["training"][0]["images"].update(event="sub-002/flat.nii.gz"), "holds 7 in every voxel"),
    ],
    ids=["test and fold", "label", "fold of a test patient", "two folds", "constant"],
)
def test_faults_of_the_data_set_are_told_in_a_sentence(tmp_path: Path, break_it, sentence: str):
    data = rice_case.write_dataset(tmp_path, patients=10, apart=2)
    flat = nibabel.Nifti1Image(np.full(rice_case.SHAPE, 7, np.float32), rice_case.affine())
    nibabel.save(flat, data / "sub-002" / "flat.nii.gz")
    assert check_dataset(data) == []
    content = json.loads((data / "dataset.json").read_text())
    break_it(content)
    (data / "dataset.json").write_text(json.dumps(content))
    assert any(sentence in str(problem) for problem in check_dataset(data))


def test_test_patients_never_train_and_an_image_flat_in_the_brain_is_refused(system):
    of_test = read_samples(CONFIGS, None, dataset_dir=str(system.data), case_list="test", **rice_case.TINY)
    with pytest.raises(DataProblem, match="leaves 0 training samples"):
        training_samples(of_test, "patients", 0)
    parser = parsed("inference.json", "rice_net.json")
    refuse = next(
        one for one in parser.get_parsed_content("image_transforms") if type(one).__name__ == "RefuseConstantd"
    )
    shown = {"post_operative": torch.rand(1, 4, 4, 4), "event": torch.ones(1, 4, 4, 4), "brain": torch.ones(1, 4, 4, 4)}
    with pytest.raises(DataProblem, match="sub-9: 'event' has the value 1 everywhere inside 'brain'"):
        refuse({**shown, "subject": "sub-9"})


def test_fine_tuning_starts_from_given_weights(system, tmp_path):
    start = system.cv / "fold_0" / "models" / "model.pt"
    kept = {}
    for name, given in (("tuned", str(start)), ("plain", None)):
        overlay = tmp_path / f"{name}.json"
        content = json.loads((tiny_systems.CONFIGS / "rice_net.json").read_text())
        settings = {"max_epochs": 1, "learning_rate": 0.0, "start_from": given, "explanation": content["explanation"]}
        overlay.write_text(json.dumps({**content, **rice_case.TINY, **settings}))
        tiny_systems.run("train", overlay, dataset_dir=str(system.data), output_dir=str(tmp_path / name), fold=1)
        kept[name] = torch.load(tmp_path / name / "models" / "model.pt", weights_only=True)["layer4.1.conv2.weight"]
    given = torch.load(start, weights_only=True)["layer4.1.conv2.weight"]
    torch.testing.assert_close(kept["tuned"], given, rtol=0, atol=0)
    assert not torch.equal(kept["plain"], given)


@pytest.fixture(scope="module")
def compared(system: SimpleNamespace) -> SimpleNamespace:
    """Two networks and the rules on the data set's own folds."""
    out, variants = system.root / "comparison", system.root / "variants.json"
    channels = ["post_operative", "event", "dose"]
    networks = {"all three": {}, "constant dose": {"dose_map": "constant", "channels": channels}}
    worth = {"the place of the dose": list(networks)}
    variants.write_text(json.dumps({"networks": networks, "worth": worth, "reliance": ["dose"]}))
    options = (
        "--overlay",
        "rice_net.json",
        system.small,
        "--variants",
        variants,
        "--features",
        *RULES,
        "lesion_growth",
    )
    options += ("--methods", "prevalence", "each", "features", "network", "--folds", "stored", "--trials", 3)
    assert command("compare", system.data, "--out", out, *options, "--epochs", 1, "--workers", 1) == 0
    content = json.loads((out / "table.json").read_text())
    return SimpleNamespace(out=out, content=content, predictions=pd.read_csv(out / "predictions.csv"), options=options)


def test_rules_and_networks_are_compared_on_the_stored_folds(system, compared):
    rules = ["prevalence", *(f"{name} alone" for name in RULES), "features"]
    methods = compared.content["methods"]
    assert list(methods) == [*rules, "all three", "constant dose"]
    assert methods["constant dose"].endswith("With dose_map constant, channels post_operative + event + dose.")
    fold_of = {
        one["subject"]: one["fold"] for one in json.loads((system.data / "dataset.json").read_text())["training"]
    }
    assert (compared.predictions["subject"].map(fold_of) == compared.predictions["model"]).all()
    notes = " ".join(compared.content["notes"])
    assert "lesion_growth: not computed in this data set." in notes
    assert "months_since_radiotherapy: not computed for 1 of 18 cases" in notes
    scores = pd.read_csv(compared.out / "table.csv", comment="#").set_index(["method", "class", "score"])["estimate"]
    assert scores["lesion_mean_dose_gy alone", "all classes", "auc"] > 0.9  # the dose carries the label
    assert scores["modality alone", "all classes", "auc"] < 0.8
    point = compared.content["operating_points"]["lesion_mean_dose_gy alone"]
    assert 1 <= len(point["thresholds"]) <= 3
    assert point["sensitivity"]["method"] == "exact binomial"
    assert compared.content["headline"][0].split(":")[0] in (
        "Worse than the rule",
        "Not shown to be better than the rule",
    )
    assert compared.content["seeds"][0]["sd"] is None
    (worth,) = compared.content["worth"]
    assert (worth["with"], worth["without"]) == ("all three", "constant dose")
    assert command("compare", system.data, "--out", compared.out, *compared.options, "--epochs", 2) == 2


def test_the_controls_replace_the_dose_alone(system):
    given = {"dataset_dir": str(system.data), "protocol": "patients", **rice_case.TINY}
    own = read_samples(CONFIGS, None, **given)
    doses = {row.subject: own[number]["image"][2] for number, row in enumerate(own.rows)}
    prescriptions = pd.read_csv(system.data / "cases.csv").set_index("subject")["prescription_gy"]
    for control in ("constant", "swapped"):
        changed = read_samples(CONFIGS, None, **given, dose_map=control)
        takers = []
        for number, row in enumerate(changed.rows):
            before, after = own[number]["image"], changed[number]["image"]
            torch.testing.assert_close(after[:2], before[:2], rtol=0, atol=0)
            brain = (before != 0).any(dim=0)
            if control == "constant":
                expected = brain * (prescriptions[row.subject] / 60)
                torch.testing.assert_close(after[2], expected.float(), rtol=0, atol=1e-3)
            else:
                same = [subject for subject, dose in doses.items() if torch.equal(after[2], dose * brain)]
                assert same != [row.subject]
                takers += same
        assert control == "constant" or set(takers) == set(doses)  # everybody gives once


def test_swapped_doses_show_what_the_network_relies_on(system, compared):
    """A network that reads the dose alone loses its AUC; one that does not look at it keeps it."""
    (found,) = compared.content["reliance"]
    assert (found["channel"], found["swaps"]) == ("dose", 200)
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), **rice_case.TINY)
    for place, weight in ((2, 40.0), (1, 0.0)):
        model = system.root / f"reads_{place}.pt"
        with_settings = {**rice_case.TINY, "network_def": {"_target_": "test_rice_net.MeanOfDose", "weight": weight}}
        write_weights(model, MeanOfDose(weight), None, TrainingData(), CLASSES)
        result = reliance([HeldOut(model, samples)], "dose", CLASSES, CONFIGS, with_settings, swaps=20)
        if weight:
            assert result["own"] > 0.9
            assert result["mean"] < 0.7
            assert result["at_least_as_good"] < 0.1
        else:
            assert result["own"] == result["mean"] == result["low"]


class MeanOfDose(torch.nn.Module):
    """The less dose there is, the surer of recurrence; with weight 0 the mean of the event image counts."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dose = x[:, 2].flatten(1).mean(dim=1)
        bright = x[:, 1].flatten(1).max(dim=1).values
        score = torch.where(self.weight > 0, -self.weight * dose, bright)
        return torch.stack([torch.zeros_like(score), score], dim=1)


def test_variants_are_refused_in_a_sentence(tmp_path):
    for content, sentence in (
        ({"networks": {"a": {"chanels": ["dose"]}}}, "'a' sets 'chanels', which no config has"),
        ({"networks": {}}, "it names no networks"),
        ({"networks": {"a": {}}, "worth": {"it": ["a", "b"]}}, "'it' names no two networks"),
    ):
        (tmp_path / "v.json").write_text(json.dumps(content))
        with pytest.raises(DataProblem, match=sentence):
            read_variants(str(tmp_path / "v.json"), ["rice_net.json"])
    delivered = read_variants("rice_net_variants.json", ["rice_net.json"])
    assert len(delivered.networks) == 9


def test_the_report_tells_the_test_the_threshold_and_the_controls(system, compared, maps):
    out = system.root / "report"
    given = ("--dataset", system.data, "--run", system.cv, "--comparison", compared.out, "--out", out)
    given += ("--cams", maps)
    assert command("report", *given) == 0
    content = json.loads((out / "report.json").read_text())
    page = (out / "report.html").read_text()
    assert compared.content["headline"][0] in page
    run = {Path(table["file"]).stem: table for table in content["run"]["tables"]}
    test = json.loads((system.cv / "test_metrics.json").read_text())
    hits = f"{test['accuracy']['hits']}/{test['accuracy']['n']}"
    assert hits in run["final_test"]["rows"][0][1]
    assert len(run["network_threshold"]["rows"]) == 1
    tables = {Path(table["file"]).stem for table in content["comparisons"][0]["tables"]}
    assert tables == {"comparison_1_points", "comparison_1_reliance"}
    assert "net_benefit" in {Path(one["file"]).stem for one in content["figures"]}
    assert "kept apart for the final test" in page
    assert content["key_numbers"][1]["name"].startswith("Brier score")
    # The map is drawn over the event, though another image of its grid comes first.
    picture = case_pictures(system.data, json.loads((system.data / "dataset.json").read_text()), maps, CLASSES)[0]
    assert picture.image.max() > 1000


def test_the_lesion_and_the_high_dose_are_found_on_the_inputs_grid(system):
    """In millimetres; whether maps point there is scored in test_four_commands.py."""
    parser = parsed(*CONFIGS, dataset_dir=str(system.data))
    transforms = LesionTransforms(*(parser.get_parsed_content(f"{name}_transforms") for name in STEPS))
    entry = load_datalist(system.data, sessions=None)[0]
    image = transforms.patch(transforms.lesion(entry, transforms.image(entry)))["image"]
    lesion = MaskPart()(entry, image)
    places = torch.nonzero(lesion > 0.5).double()
    centre = (image.affine.double() @ torch.cat([places.mean(dim=0), torch.ones(1)]).double())[:3]
    np.testing.assert_allclose(centre, rice_case.LESION_MM, atol=3.0)
    volume = float(lesion.sum()) * 9.0**3
    assert volume == pytest.approx(4 / 3 * np.pi * rice_case.RADIUS_MM**3, rel=0.15)
    high = ChannelPart("dose", ("post_operative", "event", "dose"))(entry, image)
    assert bool((image[2][high > 0] >= 0.9 * image[2].max()).all())
    assert ChannelPart("dose", ("event",))(entry, image) is None
