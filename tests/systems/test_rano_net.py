"""RANO's overlay on a tiny data set: its options, input, weights of classes, schedule, facts, pretexts and maps."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import rano_case
import tiny_systems
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from test_four_commands import command
from treatment_response.cases.lesion_transforms import LesionTransforms
from treatment_response.cases.map_parts import LabelPart
from treatment_response.classes import classes_of
from treatment_response.cohort.dataset import load_datalist
from treatment_response.cohort.paired_patient import COMPARTMENTS_IMAGE
from treatment_response.cohort.paired_patient import EARLIER as EARLIER_OF_DATA_SETS
from treatment_response.evaluation.comparison.variants import read_variants
from treatment_response.problems import DataProblem, data_problem_in
from treatment_response.training.experiment import read_samples
from treatment_response.transforms import JoinImagesd
from treatment_response.transforms.pair_input import EARLIER, pair_images

CONFIGS = ("train.json", "rano.json")
CLASSES = classes_of(rano_case.CLASSES)
STEPS = ("image", "lesion", "patch")
VARIANTS = read_variants("rano_variants.json", ["rano.json"]).networks
DEFAULT = "T1 + T2 + FLAIR"
NETWORKS = [name for name, ids in VARIANTS.items() if "images_network" in ids or name == DEFAULT]
PRETEXTS = {"rotations": "rano_rotations.json", "autoencoder": "rano_autoencoder.json"}
OPTIONS = [name for name in VARIANTS if name not in NETWORKS]


def parsed(*files: str | Path, **settings: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(tiny_systems.CONFIGS / file) for file in files])
    parser.update({"bundle_root": str(tiny_systems.CONFIGS.parent), **settings})
    return parser


def overlay_file(path: Path, *more: str, **settings: Any) -> Path:
    """The system's overlay made tiny, with more overlays and settings on top, as one file."""
    contents = [json.loads((tiny_systems.CONFIGS / name).read_text()) for name in ("rano.json", *more)]
    path.write_text(json.dumps({**contents[0], **rano_case.TINY, **dict(*contents[1:]), **settings}))
    return path


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The tiny data set, a network trained on the patients outside fold 2, and its scores."""
    root = tmp_path_factory.mktemp("rano")
    data = rano_case.write_dataset(root / "data")
    overlay = overlay_file(root / "rano.json")
    run = {"dataset_dir": str(data), "output_dir": str(root / "run"), "fold": 2}
    tiny_systems.run("train", overlay, **run)
    tiny_systems.run("evaluate", overlay, **run)
    return SimpleNamespace(root=root, data=data, overlay=overlay, run=root / "run")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_the_full_input(name: str) -> None:
    """Without memory: on the device that holds no numbers."""
    parser = parsed("inference.json", "rano.json", **VARIANTS[name])
    with torch.device("meta"):
        network = parser.get_parsed_content("network_def").eval()
        x = torch.empty(1, len(parser.get_parsed_content("channels")), *parser["patch_size"])
        assert x.shape == (1, 6, 182, 218, 182)
        assert network(x).shape == (1, 4)
    assert parser["cam_layer"] in dict(network.named_modules())
    if name == DEFAULT:
        assert type(network.images).__name__ == "DenseNet264"
        assert sum(weights.numel() for weights in network.parameters()) == 40_366_404


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_of_the_images_that_it_names_on_the_small_overlay_too(name: str) -> None:
    full, small = (parsed(*CONFIGS, *more, **VARIANTS[name]) for more in ([], ["rano_small.json"]))
    assert small.get_parsed_content("channels") == full.get_parsed_content("channels")


@pytest.mark.parametrize("name", [*OPTIONS, *PRETEXTS])
def test_every_option_stands_on_all_three_bases(system, name):
    ids = {**rano_case.TINY, **VARIANTS.get(name, {})}
    files = ("rano.json", *([PRETEXTS[name]] if name in PRETEXTS else []))
    given = {"dataset_dir": str(system.data), "output_dir": str(system.root / "none"), "fold": 0, **ids}
    parsed("train.json", *files, **given).get_parsed_content("train#trainer")
    parsed("train.json", *files, "evaluate.json", **given).get_parsed_content("evaluator")
    parser = parsed("inference.json", *files, **given)
    case = parser.get_parsed_content("dataset")[0]
    network = parser.get_parsed_content("network_def").eval()
    assert network(case["image"]).shape == (1, parser.get_parsed_content("class_count"))
    assert case["map_image"] == parser["sequences"][-1]


def test_the_overlays_say_what_the_study_says():
    parser = parsed(*CONFIGS)
    assert (parser["batch_size"], parser["max_epochs"], parser["learning_rate"]) == (4, 100, 1e-4)
    assert parser.get_parsed_content("channels") == ["T1", "T2", "FLAIR", "T1_earlier", "T2_earlier", "FLAIR_earlier"]
    augment = parser["prepare_training_batch"]["augment"]
    assert (parser["gamma"], augment["noise"], augment["brightness"]) == ([0.5, 4.5], 0.1, 0.1)
    assert not augment["each_channel"]
    schedule = parser["schedule"]
    assert (schedule["factor"], schedule["patience"]) == (10, 10)
    assert EARLIER == EARLIER_OF_DATA_SETS
    assert parser["explanation"]["parts"]["edema"]["image"] == COMPARTMENTS_IMAGE
    network = parsed(*CONFIGS, **rano_case.TINY).get_parsed_content("network_def")
    weight = network.images.features.conv0.weight
    deviation = np.sqrt(2 / (weight[0].numel() + weight[:, 0].numel()))  # Glorot and Bengio, equation 12 for normals
    assert float(weight.detach().std()) == pytest.approx(deviation, rel=0.05)
    assert network.images.class_layers.out.bias.tolist() == [1, 1, 1, 1]


def test_no_batch_is_of_one_sample_alone(system):
    """Batch normalisation cannot train on one sample of a feature map with a single cell."""
    given = {**rano_case.TINY, "dataset_dir": str(system.data), "output_dir": str(system.root / "none"), "fold": 2}
    count = len(parsed(*CONFIGS, **given).get_parsed_content("train_dataset"))
    for size in (count, count - 1):
        loader = parsed(*CONFIGS, **{**given, "batch_size": size}).get_parsed_content("train_dataloader")
        assert [len(batch["image"]) for batch in loader] == [size]


def test_the_input_is_scaled_over_the_whole_volume(system):
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), **rano_case.TINY)
    x = samples[0]["image"]
    assert x.shape == (6, 20, 20, 20)
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)), torch.zeros(6), atol=2e-3, rtol=0)
    torch.testing.assert_close(x.std(dim=(1, 2, 3)), torch.ones(6), atol=2e-3, rtol=0)
    changed = read_samples(CONFIGS, None, dataset_dir=str(system.data), **{**rano_case.TINY, "difference": True})
    torch.testing.assert_close(changed[0]["image"], x[:3] - x[3:], atol=2e-3, rtol=0)
    region = parsed(*CONFIGS, **rano_case.TINY).get_parsed_content("explanation").region
    brain = region(x[None])[0, 0] > 0
    assert float(brain.sum()) * 9.0**3 == pytest.approx(4 / 3 * np.pi * 62 * 75 * 58, rel=0.3)
    assert torch.equal(region(-3 * x[None] + 7)[0, 0] > 0, brain)  # whatever number the scaling made of the background
    # Facts have one value everywhere: they have no place.
    assert torch.equal(region(torch.cat([x, torch.full((1, 20, 20, 20), 63.0)])[None])[0, 0] > 0, brain)


def test_the_tumour_lies_where_it_is_on_the_inputs_grid(system):
    parser = parsed(*CONFIGS, dataset_dir=str(system.data), **rano_case.TINY)
    transforms = LesionTransforms(*(parser.get_parsed_content(f"{name}_transforms") for name in STEPS))
    parts = parser.get_parsed_content("explanation").parts
    entries = load_datalist(system.data, sessions=None)
    entry = next(one for one in entries if one["label"] == 1)
    image = transforms.patch(transforms.lesion(entry, transforms.image(entry)))["image"]
    found = {name: part(entry, image) for name, part in parts.items()}
    whole = found["enhancing"] + found["necrosis"] + found["edema"]
    for share in (
        whole,
        found["edema"],
        image[2] > image[2].min() + 0.8 * (image[2].max() - image[2].min()),
    ):  # FLAIR itself shows it there too
        places = torch.nonzero(torch.as_tensor(share).as_subclass(torch.Tensor) > 0.5).double()
        centre = (image.affine.double() @ torch.cat([places.mean(dim=0), torch.ones(1)]).double())[:3]
        np.testing.assert_allclose(centre, rano_case.TUMOUR_MM, atol=4.0)
    assert float(whole.sum()) * 9.0**3 == pytest.approx(4 / 3 * np.pi * 22.0**3, rel=0.15)
    torch.testing.assert_close(found["outside"], 1 - whole, atol=1e-5, rtol=0)
    gone = next(one for one in entries if one["label"] == 3)
    assert all(part(gone, image) is None for part in parts.values())
    assert LabelPart("compartments", [1])(entry, torch.zeros(1, 4, 4, 4)) is None  # an input without a place


def test_the_classes_weigh_by_their_shares_among_the_training_cases_alone(system):
    parser = parsed(*CONFIGS, dataset_dir=str(system.data), output_dir="o", fold=0, **rano_case.TINY)
    # Patients 1 to 18 in classes that go round; fold 0 holds 1 to 4 and 13 to 16: 10 train, 3 PD, 3 SD, 2 PR, 2 CR.
    assert [row.label for row in parser.get_parsed_content("train_dataset").rows] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    weight = parser.get_parsed_content("loss").criterion.weight
    torch.testing.assert_close(weight, torch.tensor([10 / 3, 10 / 3, 5.0, 5.0]))
    sampler = parser.get_parsed_content("train_sampler")
    np.testing.assert_allclose(sampler.weights, [0.7, 0.7, 0.8, 0.8, 0.7, 0.7, 0.8, 0.8, 0.7, 0.7])


def test_a_stopped_training_ends_with_the_same_weights(system, tmp_path):
    """With a rate that makes an epoch fail, so that there is something to remember; by the study's own protocol."""
    study = {"protocol": "time_points_best", "val_interval": 1}
    overlay = overlay_file(tmp_path / "o.json", learning_rate=0.3, explanation=None, max_epochs=4, **study)
    given = {"dataset_dir": str(system.data), "fold": 0}
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "whole"))
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "parts"), max_epochs=3)
    held = torch.load(tmp_path / "parts" / "models" / "checkpoint.pt", weights_only=True)
    assert held["resumed"]["schedule"]["failures"] > 0
    tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / "parts"), resume=True)
    once, twice = (
        torch.load(tmp_path / name / "models" / "checkpoint.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert all(torch.equal(once["network"][name], twice["network"][name]) for name in once["network"])
    assert once["optimizer"]["param_groups"][0]["lr"] == twice["optimizer"]["param_groups"][0]["lr"] < 0.3
    assert once["resumed"]["schedule"]["failures"] == twice["resumed"]["schedule"]["failures"]
    kept, again = (
        torch.load(tmp_path / name / "models" / "best_epoch.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert kept["epoch"] == again["epoch"]
    assert all(torch.equal(kept["network"][name], again["network"][name]) for name in kept["network"])
    # As in the study, the watched cases are scored after the schedule: a failed epoch repeats the kept one's loss.
    history = pd.read_csv(tmp_path / "whole" / "history.csv").set_index("epoch")
    lowest = {epoch: history.loc[:epoch, "loss"].idxmin() for epoch in history.index}
    assert any(epoch != of for epoch, of in lowest.items())
    assert [history.loc[epoch, "heldout_loss"] for epoch in lowest] == [
        history.loc[of, "heldout_loss"] for of in lowest.values()
    ]


def test_patients_that_were_held_out_are_scored(system):
    table = pd.read_csv(system.run / "predictions.csv")
    assert list(table["subject"]) == [f"sub-{number:03d}" for number in (9, 10, 11, 12)]
    np.testing.assert_allclose(table[list(CLASSES.columns)].sum(axis=1), 1, atol=1e-6)


@pytest.fixture(scope="module")
def maps(system: SimpleNamespace) -> Path:
    """Held-out patients explained."""
    out = system.root / "maps"
    given = {"dataset_dir": str(system.data), "model_path": str(system.run / "models" / "model.pt")}
    tiny_systems.run("inference", system.overlay, output_dir=str(out), folds=[2], **given)
    return out


def test_maps_lie_on_the_current_images_own_grid_inside_the_head(system, maps):
    case = json.loads((maps / "cases.json").read_text())["cases"][0]
    names = {(one["explanation"], one["class"]) for one in case["maps"]}
    drawn = {"saliency", "smoothgrad", "gradcam", "occlusion"}
    assert {name for name, _ in names} == drawn
    (raw,) = [one["raw"] for one in case["maps"] if (one["explanation"], one["class"]) == ("saliency", "PD")]
    image = nibabel.load(maps / raw)
    assert image.shape == rano_case.SHAPE
    np.testing.assert_allclose(image.affine, rano_case.affine(), atol=1e-4)
    volume = np.asarray(image.dataobj)
    flair = np.asarray(nibabel.load(system.data / "sub-009" / "FLAIR.nii.gz").dataobj)
    assert volume.max() > 0
    assert volume[flair > 0].sum() > 0.7 * volume.sum()  # what is left lies in voxels that the head's rim shares


def test_the_share_of_maps_in_each_compartment_is_scored_beside_controls(system, tmp_path):
    explanation = json.loads(system.overlay.read_text())["explanation"]
    kept = {name: explanation["explanations"][name] for name in ("saliency", "gradcam")}
    few = overlay_file(tmp_path / "few.json", explanation={**explanation, "explanations": kept})
    options = ("--run", system.run, "--config", "train.json", few, "--out", tmp_path / "e")
    assert command("score_explanations", system.data, *options, "--measures", "shares") == 2
    bare = overlay_file(tmp_path / "bare.json", explanation={**explanation, "explanations": kept, "parts": {}})
    without = ("--run", system.run, "--config", "train.json", bare, "--out", tmp_path / "none")
    assert command("score_explanations", system.data, *without, "--measures", "place") == 2
    assert command("score_explanations", system.data, *options, "--measures", "place") == 0
    content = json.loads((tmp_path / "e" / "explanations.json").read_text())
    assert "Not asked for, so not scored: faithfulness, stability, randomisation." in content["notes"]
    assert {measure["group"] for measure in content["measures"].values()} == {"place"}
    scores = pd.read_csv(tmp_path / "e" / "scores.csv")
    shares = scores[scores["measure"].str.startswith("share_")].pivot_table(
        index=["subject", "map"], columns="measure", values="value"
    )
    parts = ["share_enhancing", "share_necrosis", "share_edema", "share_outside"]
    assert list(shares) == sorted(parts)
    np.testing.assert_allclose(shares.dropna()[parts].sum(axis=1), 1, atol=1e-4)
    assert set(shares.index.get_level_values("subject")) == {f"sub-{n:03d}" for n in (9, 10, 11)}  # not CR
    table = pd.read_csv(tmp_path / "e" / "summary.csv").set_index(["map", "measure"])
    better = table["better"].xs("random map")
    assert (better["in_enhancing"], better["in_outside"]) == ("higher", "lower")
    summary = table["mean"]
    # Chance is the part's share of the head: by hand, of the tumour of every case.
    chance = summary["random map", "share_outside"]
    assert 0.8 < chance < 1
    by_class = [summary[f"{name}saliency for PD", "share_outside"] for name in ("", "untrained network: ")]
    assert all(0 < value < 1 for value in by_class)


def test_facts_go_into_the_network_and_none_is_ignored(system, tmp_path):
    facts = ["sex", "age", "idh", "mgmt", "weeks"]
    overlay = overlay_file(tmp_path / "o.json", clinical=facts, explanation=None, max_epochs=1)
    run = {"dataset_dir": str(system.data), "output_dir": str(tmp_path / "run"), "fold": 1}
    tiny_systems.run("train", overlay, **run)
    tiny_systems.run("evaluate", overlay, **run)
    parser = parsed("inference.json", overlay, dataset_dir=str(system.data))
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(tmp_path / "run" / "models" / "model.pt", weights_only=True))
    # Fitted on the patients outside fold 1 that know it: fold 1 holds 5 to 8 and 17, 18; the age of 2 is not known.
    training = [n for n in range(1, 19) if n not in (5, 6, 7, 8, 17, 18)]
    ages = [41.0 if n == 1 else 45.0 + n for n in training if n != 2]
    weeks = [{1: 12.0, 2: 30.0}.get(n, 10.0 + n) for n in training]
    mean, sd = network.fact_mean.tolist(), network.fact_sd.tolist()
    np.testing.assert_allclose(mean, [0, np.mean(ages), 0, 0, np.mean(weeks)], rtol=1e-5)
    np.testing.assert_allclose(sd, [1, np.std(ages), 1, 1, np.std(weeks)], rtol=1e-5)
    first, second = (parser.get_parsed_content("dataset")[n]["image"] for n in (0, 1))
    assert first.shape == (1, 11, 20, 20, 20)
    assert first[0, 6:, 3, 4, 5].tolist() == [-1, 41, -1, 1, 12]  # female, mutant, methylated
    assert second[0, 6:].mean(dim=(1, 2, 3)).tolist() == [1, 0, 1, 0, 30]  # 0 is unknown
    with torch.no_grad():
        before = network(first)
        for place in range(6, 11):
            swapped = first.clone()
            swapped[:, place] = second[:, place]
            assert not torch.allclose(network(swapped), before, atol=1e-6), facts[place - 6]
        unknown, average = first.clone(), first.clone()
        unknown[:, 7], average[:, 7] = 0, mean[1]
        torch.testing.assert_close(network(unknown), network(average), atol=1e-4, rtol=0)
    table = pd.read_csv(tmp_path / "run" / "predictions.csv").set_index("subject")
    with torch.no_grad():
        image = next(one["image"] for one in parser.get_parsed_content("dataset") if one["subject"] == table.index[0])
        p = network(image).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(table.iloc[0][list(CLASSES.columns)].to_numpy(float), p, atol=5e-3)  # half precision


@pytest.mark.parametrize(
    ("facts", "column", "value", "sentence"),
    [
        (["height"], "age", 60, "config: there is no clinical fact 'height'"),
        (["sex", "sex"], "age", 60, "config: a clinical fact stands twice"),
        (["idh"], "idh", "WT", "sub-001 week-020: idh is 'WT'"),
        (["age"], "age", "old", "sub-001 week-020: age is 'old'"),
        (["mgmt"], None, None, "data set: the table of cases has no column mgmt"),
    ],
)
def test_facts_that_cannot_be_read_are_told(system, tmp_path, facts, column, value, sentence):
    from treatment_response.cases.clinical_channels import AppendFactsd

    table = pd.read_csv(system.data / "cases.csv", dtype=object)
    if column is None:
        table = table.drop(columns="mgmt")
    else:
        table.loc[0, column] = value
    (tmp_path / "dataset.json").write_text("{}")
    table.to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(DataProblem) as told:
        AppendFactsd("image", facts, tmp_path)
    assert str(told.value).startswith(sentence)


def test_a_pair_without_an_image_or_on_two_grids_is_refused_in_a_sentence(system):
    parser = parsed(*CONFIGS, dataset_dir=str(system.data), **rano_case.TINY)
    transforms = LesionTransforms(*(parser.get_parsed_content(f"{name}_transforms") for name in STEPS))
    entry = dict(load_datalist(system.data, sessions=None)[0])
    del entry["T2_earlier"]
    with pytest.raises(DataProblem, match="sub-001 week-020 ses-01: it has no image T2_earlier"):
        transforms.image({**entry, "images": {name: entry[name] for name in ("T1", "FLAIR")}})
    one, moved = torch.eye(4), torch.eye(4)
    moved[0, 3] = 0.5
    join = JoinImagesd(["a", "b"])
    image = torch.rand(1, 3, 4, 5)
    joined = join({"a": MetaTensor(image, one), "b": MetaTensor(image + 1, one)})["image"]
    torch.testing.assert_close(joined.as_subclass(torch.Tensor), torch.cat([image, image + 1]))
    with pytest.raises(
        DataProblem, match=r"sub-9: 'b' and 'a' lie on different grids \(first voxel moved by \(0.5, 0, 0\) mm"
    ):
        join({"subject": "sub-9", "a": MetaTensor(image, one), "b": MetaTensor(image, moved)})
    with pytest.raises(DataProblem, match="different grids"):
        join({"a": MetaTensor(image, one), "b": MetaTensor(image[:, 1:], one)})
    flat = next(one for one in parser.get_parsed_content("image_transforms") if type(one).__name__ == "RefuseConstantd")
    shown = {name: torch.rand(1, 2, 2, 2) for name in pair_images(["T1", "T2", "FLAIR"])}
    with pytest.raises(DataProblem, match="'T2' has the value 3 everywhere;"):
        flat({**shown, "T2": torch.full((1, 2, 2, 2), 3.0)})


def test_trainings_on_pretexts_are_a_start(system, tmp_path, caplog):
    """Six turns of the head, and rebuilding the input; what they have learned comes over, the last layer does not."""
    given = {"dataset_dir": str(system.data), "fold": 0, "max_epochs": 1}
    for name, file in PRETEXTS.items():
        overlay = overlay_file(tmp_path / f"{name}.json", file)
        tiny_systems.run("train", overlay, **given, output_dir=str(tmp_path / name))
        start = tmp_path / name / "models" / "model.pt"
        tuned = overlay_file(tmp_path / f"from_{name}.json", start_from=str(start), learning_rate=0.0, explanation=None)
        with caplog.at_level(logging.INFO):
            tiny_systems.run("train", tuned, **given, output_dir=str(tmp_path / f"from_{name}"))
        learned, taken = (
            torch.load(tmp_path / folder / "models" / "model.pt", weights_only=True)
            for folder in (name, f"from_{name}")
        )
        body = "images.features.denseblock1.denselayer1.layers.conv1.weight"
        torch.testing.assert_close(taken[body], learned[body], rtol=0, atol=0)
        assert set(learned) == set(taken)
        out = "images.class_layers.out.weight"
        assert learned[out].shape[0] == (6 if name == "rotations" else 4)
        said = [one.message for one in caplog.records if one.message.startswith("Started from")][-1]
        assert ("images.class_layers.out.weight" in said) == (name == "rotations")
    table = pd.read_csv(tmp_path / "rotations" / "history.csv")
    assert {"loss", "accuracy"} <= set(table)
    held = torch.load(tmp_path / "autoencoder" / "models" / "checkpoint.pt", weights_only=True)
    assert any(name.startswith("decoder") for name in held["resumed"]["loss"])


def test_a_turned_head_that_is_no_cube_is_told(system, tmp_path):
    flat = {**rano_case.TINY, "patch_size": [20, 20, 18]}
    overlay = overlay_file(tmp_path / "o.json", "rano_rotations.json", **flat)
    with pytest.raises(Exception) as raised:  # noqa: PT011  as MONAI's engine raises it
        tiny_systems.run("train", overlay, dataset_dir=str(system.data), output_dir=str(tmp_path / "run"))
    assert "--patch_size: an input of 20 × 20 × 18 voxels is no cube" in str(data_problem_in(raised.value))
