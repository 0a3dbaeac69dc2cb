"""Scores of explanations from folders: who explains whom, what is written, and what bad input is told."""

from __future__ import annotations

import json
import runpy
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from toy_dataset import write_toy_dataset
from treatment_response.cohort.dataset import dataset_digest
from treatment_response.cohort.layout import image_path, mask_path, read_volume, write_volume
from treatment_response.evaluation.explanations import lesion_scores, models, plan
from treatment_response.evaluation.explanations import run as parts_run
from treatment_response.evaluation.explanations.gradient_features import feature_scores, gradient_cells, slice_cells
from treatment_response.evaluation.explanations.maps import METHODS, SCORE_COLUMNS, with_predicted_class
from treatment_response.evaluation.explanations.plan import LEAST_CELLS, Scoring, notes_of
from treatment_response.evaluation.explanations.score import score_explanations
from treatment_response.evaluation.explanations.tables import SUMMARY_COLUMNS, measures_of, summarise
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.niche import niche_cells
from treatment_response.evaluation.views import LesionSlice
from treatment_response.explain.cam import PixelwiseCAM
from treatment_response.explain.localisation import localisation_scores
from treatment_response.explain.target import TargetClass
from treatment_response.features.gradients import gradient_maps
from treatment_response.geometry import Volume
from treatment_response.model_description import TrainingData
from treatment_response.networks import MaskedAutoencoderClassifier
from treatment_response.problems import DataProblem
from treatment_response.weights import write_weights

PATIENTS = 4
PIXELWISE = "pixel-wise CAM for non-response"


def lesions_of(dataset: Path) -> pd.DataFrame:
    return pd.read_csv(dataset / "lesions.csv", dtype={"subject": str, "lesion": str})


def write_run(run: Path, lesions: pd.DataFrame, seed: int, held_out: list[str]) -> None:
    """What training and scoring leave behind, with weights that nobody has trained."""
    torch.manual_seed(seed)
    network = MaskedAutoencoderClassifier()
    with torch.no_grad():
        network.output.bias += 0.3
    (run / "models").mkdir(parents=True)
    write_weights(run / "models" / "model.pt", network, None, TrainingData())
    rows = []
    for one in lesions.itertuples():
        mine = [("heldout_mri1", "ses-01"), ("heldout_mri2", "ses-02")]
        for role, session in mine if one.subject in held_out else [("train_mri2", "ses-02")]:
            rows.append((one.subject, one.lesion, session, role, 0, one.label, 0.0, 0.5))
    columns = ["subject", "lesion", "session", "role", "fold", "label", "logit", "p_response"]
    pd.DataFrame(rows, columns=columns).to_csv(run / "predictions.csv", index=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A data set with one tiny lesion, its truth, a cross-validation, trials, a shuffled run and a single run."""
    root = tmp_path_factory.mktemp("explanations")
    dataset = write_toy_dataset(root / "dataset", patients=PATIENTS, folds=2)
    subjects = [f"sub-{n:03d}" for n in range(1, PATIENTS + 1)]
    truth = root / "truth"
    for number, subject in enumerate(subjects, start=1):
        for lesion in ("L01", "L02"):
            path = dataset / mask_path(subject, "ses-01", lesion)
            mask = read_volume(path, subject)
            points = np.argwhere(mask.array)
            middle = points.mean(axis=0)
            niche = mask.array * (np.indices(mask.array.shape)[0] > middle[0])
            write_volume(truth / "niche" / f"SYN{number:03d}_{lesion}_mri1.nii.gz", Volume(niche, mask.affine))
            if (subject, lesion) == ("sub-004", "L02"):  # one pixel of the scanner: fewer than nine cells
                tiny = np.zeros_like(mask.array)
                tiny[tuple(np.round(middle).astype(int))] = 1
                write_volume(path, Volume(tiny, mask.affine))
    names = [f"SYN{n:03d}" for n in range(1, PATIENTS + 1)]
    rows = [(name, lesion) for name in names for lesion in ("L01", "L02")]
    pd.DataFrame(rows, columns=["patient_id", "lesion"]).to_csv(truth / "truth.csv", index=False)
    lesions = lesions_of(dataset)
    halves = [subjects[::2], subjects[1::2]]
    for fold, held_out in enumerate(halves):
        write_run(root / "cv" / f"fold_{fold}", lesions, fold, held_out)
        write_run(root / "shuffled" / f"fold_{fold}", lesions, 10 + fold, held_out)
    # Only two patients are held out by a second network.
    write_run(root / "trials" / "trial_000", lesions, 20, subjects[:2])
    write_run(root / "single", lesions, 30, subjects[:1])
    return {name: root / name for name in ("dataset", "truth", "cv", "shuffled", "trials", "single")}


@pytest.fixture(scope="module")
def scored(folders, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scores")
    runs = [folders["cv"], folders["trials"]]
    score_explanations(Scoring(folders["dataset"], runs, folders["truth"], folders["shuffled"]), out)
    return out


@pytest.fixture(scope="module")
def scores(scored) -> pd.DataFrame:
    return pd.read_csv(scored / "scores.csv", dtype={"subject": str, "lesion": str}, keep_default_na=True)


@pytest.fixture(scope="module")
def summary(scored) -> pd.DataFrame:
    return pd.read_csv(scored / "summary.csv", keep_default_na=True)


def test_the_files_hold_what_the_report_reads(scored, scores, summary):
    assert sorted(path.name for path in scored.iterdir()) == ["explanations.json", "scores.csv", "summary.csv"]
    assert list(scores) == SCORE_COLUMNS
    assert list(summary) == SUMMARY_COLUMNS
    assert set(summary["kind"]) == {"map", "control"}
    assert not scores.duplicated(["subject", "lesion", "map", "measure"]).any()
    assert len(scores[["subject", "lesion"]].drop_duplicates()) == 2 * PATIENTS - 1
    content = json.loads((scored / "explanations.json").read_text())
    assert {"notes", "settings", "model", "versions", "measures"} <= set(content)
    assert content["settings"]["randomisation"]["from_the_head_down"][0] == "output"
    # Every measure says which way is better, what chance is, and what it means.
    assert set(summary["better"].fillna("")) == {"higher", "lower", ""}
    assert summary["about"].str.endswith(".").all()
    assert set(summary["measure"]) == set(content["measures"])


def test_every_method_and_control_is_scored(summary):
    maps = set(summary.loc[summary["kind"] == "map", "map"])
    for method in METHODS:
        assert {f"{method} for non-response", f"{method} for response", f"{method} for the predicted class"} <= maps
    controls = {m: set(part["map"]) for m, part in summary[summary["kind"] == "control"].groupby("measure")}
    for name in ("untrained network: ΣA", "label-shuffled network: ΣA", "oracle on the same cells", "random map"):
        assert name in controls["auc"]
    assert {"feature maps without class (ΣA)", "image beyond rim and necrosis"} <= controls["auc"]
    for name in ("random map", f"reversed {PIXELWISE}".removesuffix(" for non-response")):
        assert f"{name} for non-response" in controls["deletion"]
    assert f"untrained network: {PIXELWISE}" in controls["retrained_agreement"]
    auc = summary[summary["measure"] == "auc"].set_index("map")["mean"]
    assert auc["oracle on the same cells"] == auc.max() > 0.95


def test_each_lesion_is_explained_by_the_network_that_held_it_out(folders, scores):
    parser = models.run_configs((), folders["dataset"])
    slices = models.dataset_slices(parser, folders["dataset"])
    own = scores[(scores["map"] == PIXELWISE) & (scores["measure"] == "auc")].set_index(["subject", "lesion"])["value"]
    for fold, subjects in enumerate((("sub-001", "sub-003"), ("sub-002", "sub-004"))):
        network = models.trained_network(parser, models.find_models(folders["cv"])[fold])
        mine = [one for one in slices if one.subject in subjects and (one.subject, one.lesion) in own.index]
        x = stack(mine)
        cam = PixelwiseCAM()(network, x, TargetClass.NON_RESPONSE)
        niche = torch.from_numpy(niche_cells(mine, folders["truth"]))
        expected = localisation_scores(cam, niche, network.cell_mask(x)).auc
        assert [own[one.subject, one.lesion] for one in mine] == pytest.approx(expected.tolist(), abs=1e-5)


def test_only_networks_that_have_not_seen_a_lesion_count_as_retrained(scores):
    part = scores[(scores["measure"] == "retrained_agreement") & (scores["map"] == PIXELWISE)]
    assert set(part.dropna(subset="value")["subject"]) == {"sub-001", "sub-002"}
    assert set(part.loc[part["value"].isna(), "subject"]) == {"sub-003", "sub-004"}


def test_controls_have_the_values_that_they_must_have(scores, summary):
    means = summary.set_index(["measure", "map"])["mean"]
    assert means["randomised_5", "fine texture of the image (high-pass)"] == pytest.approx(1)
    assert means["randomised_3", "feature maps without class (ΣA)"] == pytest.approx(1)
    assert means["randomised_5", "feature maps without class (ΣA)"] < 0.99
    for measure in ("shift_agreement", "noise_agreement", "randomised_1", "retrained_agreement"):
        assert abs(means[measure, "random map"]) < 0.25
    effect = "effect of removing single cells for non-response"
    assert means["deletion", effect] > means["deletion", "random map for non-response"]
    wide = scores.pivot_table(index=["subject", "lesion"], columns=["measure", "map"], values="value")
    response, other = (
        wide["deletion", f"feature maps without class (ΣA) for {c}"] for c in ("response", "non-response")
    )
    np.testing.assert_allclose(response, -other, atol=1e-5)
    np.testing.assert_allclose(wide["deletion", f"reversed {PIXELWISE}"], -wide["insertion", PIXELWISE], atol=1e-5)


def test_means_are_over_patients_and_chance_of_pointing_is_the_niche_share(scores, summary):
    row = summary[(summary["measure"] == "pointing") & (summary["map"] == PIXELWISE)].iloc[0]
    part = scores[(scores["measure"] == "pointing") & (scores["map"] == PIXELWISE)]
    assert row["mean"] == pytest.approx(part.groupby("subject")["value"].mean().mean(), abs=1e-5)
    assert (row["patients"], row["lesions"]) == (PATIENTS, 2 * PATIENTS - 1)
    assert 0.3 < row["chance"] < 0.6  # half of each lesion


def test_what_was_left_out_is_said(scored):
    notes = json.loads((scored / "explanations.json").read_text())["notes"]
    assert "Research use only." in notes
    assert f"Left out: 1 of {2 * PATIENTS} lesions with fewer than {LEAST_CELLS} cells." in notes


def test_a_network_that_has_seen_a_lesion_explains_it_only_where_no_other_has_not(folders):
    seen = models.TrainedModel(Path("a"), frozenset({("sub-001", "L01"), ("sub-002", "L01")}), held_out=False)
    unseen = models.TrainedModel(Path("b"), frozenset({("sub-001", "L01")}), held_out=True)
    found = models.explainers([seen, unseen], [("sub-001", "L01"), ("sub-002", "L01")])
    assert [each[0].folder.name for each in found.values()] == ["b", "a"]
    assert "Protocol A: the networks have trained on the lesions that they explain (1 of 2 lesions)." in notes_of(
        found, None, None
    )


def test_a_shuffled_network_that_is_a_control_has_not_seen_the_lesion_either(folders, tmp_path):
    for fold in (0, 1):  # the same networks, numbered the other way round
        shutil.copytree(folders["shuffled"] / f"fold_{fold}", tmp_path / f"fold_{1 - fold}")
    trained, shuffled = models.find_models(folders["cv"]), models.find_models(tmp_path)
    keys = sorted(frozenset().union(*(model.lesions for model in trained)))
    parts = plan.parts_of(models.explainers(trained, keys), models.explainers(shuffled, keys), keys)
    for part in parts:
        own = {keys[index] for index in part.lesions}
        assert own <= part.explainer.lesions
        assert own <= part.shuffled.lesions
        assert part.shuffled.folder.name != part.explainer.folder.name


class Stopped(Exception):
    pass


def test_without_truth_and_other_runs_the_rest_is_scored_and_a_stopped_command_ends_with_the_same_bytes(
    folders, tmp_path, monkeypatch
):
    runs = [folders["single"], folders["trials"]]  # three patients, in two parts
    summary, content = score_explanations(Scoring(folders["dataset"], runs), tmp_path / "first")
    scored_parts = []

    def stop_at_second(inputs, found, score_part=parts_run.score_part):
        scored_parts.append(len(inputs.group.keys))
        if len(scored_parts) == 2:
            raise Stopped
        return score_part(inputs, found)

    monkeypatch.setattr(parts_run, "score_part", stop_at_second)
    with pytest.raises(Stopped):
        score_explanations(Scoring(folders["dataset"], runs), tmp_path / "second")
    assert [path.name for path in (tmp_path / "second").rglob("*") if path.is_file()] == ["part_000.json"]
    score_explanations(Scoring(folders["dataset"], runs), tmp_path / "second")
    assert len(scored_parts) == 3  # the second part again, the first not
    for file in ("scores.csv", "summary.csv", "explanations.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert not (tmp_path / "second" / "parts").exists()
    assert "auc" not in set(summary["measure"])
    assert {"deletion", "shift_agreement", "randomised_1", "magnitude_z"} <= set(summary["measure"])
    said = " ".join(content["notes"])
    for words in ("No truth was given", "shuffled labels", "Left out: 3 lesions"):
        assert words in said
    assert summary["lesions"].max() == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": "truth"}, "no trained and scored network"),
        ({"truth": "dataset"}, "truth.csv: the file is missing"),
        ({"config": ["nowhere.json"]}, r"nowhere\.json is no config of this bundle"),
        ({"config": ["train.json", "no_interface.json"]}, "Identity has no encode and no cell_mask and no classify"),
        ({"config": ["train.json", "wide.json"]}, "do not fit the network"),
        ({"config": ["improved.json"]}, "name train.json first"),
        ({"config": ["broken.json"]}, r"broken\.json holds no config"),
        ({"run": "damaged"}, r"model\.pt: cannot be read as weights"),
        ({"run": "elsewhere"}, "trained on another data set"),
        ({"run": "null"}, "trained on shuffled labels; give it as --shuffled"),
        ({"shuffled": "true"}, "trained on true labels; give it as --run"),
        ({"seed": -1}, "--seed: -1 is negative"),
        ({"groups": ["place"]}, "--measures: groups of measures are chosen for explanations that a config names"),
        ({"out": "broken.json"}, r"--out: .*broken\.json is a file"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_nothing_is_written(folders, tmp_path, change, said):
    overlays = {"no_interface.json": {"network_def": {"_target_": "torch.nn.Identity"}}}
    overlays["wide.json"] = {"network_def#width": 8}
    for name, content in overlays.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "broken.json").write_text("{")
    overlays["broken.json"] = {}
    digest = dataset_digest(folders["dataset"])
    records = {"elsewhere": {"dataset": "another", "shuffle": None}}
    records |= {"null": {"dataset": digest, "shuffle": 0}, "true": {"dataset": digest, "shuffle": None}}
    for name, record in (records | {"damaged": {}}).items():
        shutil.copytree(folders["single"], tmp_path / name / "fold_0")
        (tmp_path / name / "cross_validation.json").write_text(json.dumps(record))
    (tmp_path / "damaged" / "fold_0" / "models" / "model.pt").write_text("no weights")

    def at(name: str) -> Path:
        return folders.get(name, tmp_path / name)

    configs = [str(tmp_path / name) if name in overlays else name for name in change.get("config", [])]
    scoring = Scoring(
        folders["dataset"],
        [at(change.get("run", "cv"))],
        at(change.get("truth", "truth")),
        at(change["shuffled"]) if "shuffled" in change else None,
        configs,
        change.get("seed", 0),
        change.get("groups", ()),
    )
    with pytest.raises(DataProblem, match=said):
        score_explanations(scoring, tmp_path / change.get("out", "out"))
    assert not (tmp_path / "out").exists()


def test_a_truth_and_a_run_of_another_cohort_are_refused(folders, tmp_path):
    other = tmp_path / "truth"
    (other / "niche").mkdir(parents=True)
    pd.DataFrame({"patient_id": ["SYN001"], "lesion": ["L77"]}).to_csv(other / "truth.csv", index=False)
    with pytest.raises(DataProblem, match=r"has no row in truth\.csv"):
        score_explanations(Scoring(folders["dataset"], [folders["cv"]], other), tmp_path / "out")
    strangers = lesions_of(folders["dataset"]).assign(lesion="L99")
    write_run(tmp_path / "run", strangers, 0, ["sub-001"])
    with pytest.raises(DataProblem, match="none of its networks has scored a lesion of this data set"):
        score_explanations(Scoring(folders["dataset"], [tmp_path / "run"]), tmp_path / "out")


def test_the_command_exits_with_two_and_no_traceback(repository, folders, tmp_path, monkeypatch, capsys):
    handler = signal.getsignal(signal.SIGTERM)
    arguments = [folders["dataset"], "--run", folders["truth"], "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["score_explanations.py", *map(str, arguments)])
    try:
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(repository / "scripts/score_explanations.py"), run_name="__main__")
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert stopped.value.code == 2
    assert "no trained and scored network" in capsys.readouterr().err


def test_where_every_slice_is_a_sample_the_largest_one_is_explained(folders, tmp_path):
    overlay = tmp_path / "all_slices.json"
    cut = {"_target_": "treatment_response.transforms.AllLesionSlicesPatchd", "size": 64, "pixel": 0.5}
    concatenate = {"_target_": "ConcatItemsd", "keys": ["image", "mask"], "name": "image", "dim": -3}
    overlay.write_text(json.dumps({"patch_transforms": [cut, concatenate]}))
    dataset = folders["dataset"]
    usual, stacked = (
        models.dataset_slices(models.run_configs(configs, dataset), dataset)
        for configs in ((), ("train.json", str(overlay)))
    )
    for one, other in zip(usual, stacked, strict=True):
        assert other.x.shape == (2, 64, 64)
        if one.x[1].sum() == other.x[1].sum():  # of slices with the same area another one may be taken
            np.testing.assert_array_equal(one.x, other.x)
            np.testing.assert_allclose(one.affine, other.affine)
        assert other.x[1].sum() >= one.x[1].sum() - 1


def test_the_predicted_class_takes_the_rows_of_its_map():
    rows = [
        ("sub-001", "L01", f"Grad-CAM for {c}", "map", "auc", v) for c, v in (("response", 1.0), ("non-response", 2.0))
    ]
    rows += [
        ("sub-002", "L01", f"Grad-CAM for {c}", "map", "auc", v) for c, v in (("response", 3.0), ("non-response", 4.0))
    ]
    rows += [("sub-001", "L01", "random map", "control", "auc", 5.0)]
    predicted = {("sub-001", "L01"): TargetClass.NON_RESPONSE, ("sub-002", "L01"): TargetClass.RESPONSE}
    table = with_predicted_class(pd.DataFrame(rows, columns=SCORE_COLUMNS), predicted)
    own = table[table["map"] == "Grad-CAM for the predicted class"]
    assert dict(zip(own["subject"], own["value"], strict=True)) == {"sub-001": 2.0, "sub-002": 3.0}
    assert len(table) == 7


def test_undefined_values_are_left_out_of_a_mean():
    rows = [(f"sub-{n}", "L01", "Grad-CAM for response", "map", "randomised_1", v) for n, v in ((1, 0.5), (2, np.nan))]
    summary = summarise(pd.DataFrame(rows, columns=SCORE_COLUMNS), measures_of(["output"]), {})
    assert summary.loc[0, ["mean", "patients", "lesions", "better", "chance"]].tolist() == [0.5, 1, 1, "lower", 0.0]


def ball(centre: tuple[float, float, float] = (3.0, -2.0, 1.0)) -> tuple[Volume, np.ndarray, LesionSlice]:
    """A lesion whose intensities rise away from its centre, on anisotropic voxels, and its slice through the middle."""
    affine = np.diag([-0.6, 0.8, 1.0, 1.0])
    affine[:3, 3] = [15.0, -18.0, -14.0]
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in (50, 42, 30)], indexing="ij"), axis=-1)
    distance = np.linalg.norm(voxels * np.diag(affine)[:3] + affine[:3, 3] - centre, axis=-1)
    pixels = np.diag([0.5, 0.5, 1.0, 1.0])
    pixels[:3, 3] = np.array(centre) - [15.75, 15.75, 0]
    i, j = np.meshgrid(np.arange(64) * 0.5 - 15.75, np.arange(64) * 0.5 - 15.75, indexing="ij")
    mask = (np.hypot(i, j) <= 7).astype(np.float32)
    one = LesionSlice("sub-001", "L01", "ses-01", 1, np.stack([mask, mask]), pixels)
    return Volume(10.0 * distance**2, affine), (distance <= 7).astype(np.uint8), one


def test_gradient_features_arrive_at_the_right_cells_in_millimetres():
    image, mask, one = ball()
    cells = slice_cells(one, gradient_maps(image, mask), 16)
    inside = one.x[1].reshape(16, 4, 16, 4).any(axis=(1, 3))
    centres = np.stack(np.meshgrid(np.arange(16) * 2 - 15, np.arange(16) * 2 - 15, indexing="ij"))
    distance = np.hypot(*centres)
    whole = one.x[1].reshape(16, 4, 16, 4).all(axis=(1, 3)) & (distance > 2.5)
    # d/dr of 10 r² is 20 r, straight outwards.
    np.testing.assert_allclose(cells["magnitude"][whole], 20 * distance[whole], rtol=0.06)
    assert cells["radial_gradient"][whole].min() > 0.98
    assert cells["radial_deviation"][whole].max() < 12
    assert all(np.isfinite(values[inside]).all() for values in cells.values())


def test_a_map_equal_to_the_gradient_magnitude_has_a_high_z_and_an_unrelated_one_has_not():
    rng = np.random.default_rng(0)
    inside = np.hypot(*np.mgrid[-7.5:8, -7.5:8]) < 5
    features, maps = [], {"same": [], "other": [], "empty": []}
    for _ in range(30):
        drawn = {name: gaussian_filter(rng.normal(size=(16, 16)), 1) for name in ("magnitude", "a", "b", "other")}
        features.append(
            {"magnitude": drawn["magnitude"], "radial_gradient": drawn["a"], "radial_deviation": drawn["b"]}
        )
        maps["same"].append(drawn["magnitude"])
        maps["other"].append(drawn["other"])
        maps["empty"].append(np.zeros((16, 16)))
    mask = torch.from_numpy(np.stack([inside] * 30))
    rows = feature_scores({name: torch.from_numpy(np.stack(m)) for name, m in maps.items()}, features, mask)
    value = {(name, measure): values.numpy() for name, measure, values in rows}
    assert value["same", "magnitude_z"].mean() > 2.5
    assert value["same", "magnitude_p05"].mean() > 0.95
    assert value["same", "magnitude_rho"] == pytest.approx(1)
    assert abs(value["other", "magnitude_z"].mean()) < 3 / np.sqrt(30) * 1.2
    others = np.concatenate(
        [value[name, f"{q}_p05"] for name, q in (("other", "magnitude"), ("same", "radial_gradient"))]
    )
    assert others.mean() <= 0.15
    assert (value["empty", "magnitude_z"] == 0).all()
    assert (value["empty", "magnitude_p05"] == 0.05).all()


def test_gradient_features_of_a_data_set_are_read_for_every_lesion(folders):
    parser = models.run_configs((), folders["dataset"])
    slices = models.dataset_slices(parser, folders["dataset"])[:2]
    ticks: list[int] = []
    cells = gradient_cells(slices, folders["dataset"], advance=lambda: ticks.append(1))
    assert len(ticks) == len(cells) == 2
    assert (folders["dataset"] / image_path("sub-001", "ses-01")).is_file()
    # A bright core of 3 mm radius in a lesion that responds: steep around the core, flat within.
    assert slices[0].label == 1
    centre = cells[0]["magnitude"][7:9, 7:9].mean()
    assert cells[0]["magnitude"][6:10, 6:10].max() > 2 * centre


def test_groups_know_what_their_network_predicts():
    torch.manual_seed(0)
    network = MaskedAutoencoderClassifier().eval()
    x = torch.rand(3, 2, 64, 64)
    x[:, 1] = 0
    x[:, 1, 20:44, 20:44] = 1
    with torch.no_grad():
        network.output.bias += 50
    group = lesion_scores.LesionGroup(network, x, [("sub-001", f"L0{n}") for n in range(3)], {}, [], 0)
    assert group.predicted == [TargetClass.RESPONSE] * 3
    assert group.completeness_gap() < 0.2
