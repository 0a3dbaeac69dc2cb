"""The stronger network as an overlay: it trains, is scored per lesion, is exported, and serves as the paper's does."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_net_in_out
from treatment_response.cohort.layout import read_volume
from treatment_response.inference.lesions.explainer import Explainer
from treatment_response.inference.lesions.inferer import CamInferer
from treatment_response.networks import CellVoteClassifier
from treatment_response.training.experiment import read_samples, run_evaluation, run_training
from treatment_response.weights import read_weights

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
META = str(CONFIGS / "metadata.json")
FILES = [str(CONFIGS / name) for name in ("train.json", "improved.json")]


@pytest.fixture(scope="module")
def run(toy_dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("improved")
    configs = ("train.json", "improved.json")
    samples = read_samples(configs, dataset_dir=str(toy_dataset))
    settings = {"samples": samples, "dataset_dir": str(toy_dataset), "output_dir": str(out), "max_epochs": 2}
    run_training(configs, **settings)
    run_evaluation((*configs, "evaluate.json"), **settings)
    return out


def test_every_slice_is_a_sample_and_every_lesion_one_row(run, toy_dataset):
    samples = read_samples(("train.json", "improved.json"), dataset_dir=str(toy_dataset))
    # Fold 0 is held out: MRI 1 of the others is what trained, and is not scored.
    lesions = {(r.subject, r.case, r.session) for r in samples.rows if r.session == "ses-02" or r.fold == 0}
    assert len(samples) > 2 * len(lesions)
    assert len({(*key, row.slice) for row in samples.rows for key in [(row.subject, row.case, row.session)]}) == len(
        samples
    )
    table = pd.read_csv(run / "predictions.csv")
    assert not table.duplicated(["subject", "lesion", "session"]).any()
    assert len(table) == len(lesions)
    network = CellVoteClassifier()
    network.load_state_dict(torch.load(run / "models" / "model.pt", weights_only=True))
    network.eval()
    first = table.iloc[0]
    own = samples.where(
        lambda row: (row.subject, row.case, row.session) == (first.subject, first.lesion, first.session)
    )
    area = own.image[:, 1].sum((1, 2))
    with torch.no_grad():
        mean = float((network(own.image)[:, 0] * area).sum() / area.sum())
    assert first.logit == pytest.approx(mean, abs=1e-5)
    made = json.loads((run / "provenance.json").read_text())
    assert made["dataset"]["training_lesions"] == (table["role"] == "train_mri2").sum()


def test_it_serves_where_the_papers_network_does(run, toy_dataset, tmp_path):
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / "inference.json"), str(CONFIGS / "improved.json")],
        meta_file=META,
        logging_file=str(CONFIGS / "logging.conf"),
        workflow_type="infer",
        dataset_dir=str(toy_dataset),
        output_dir=str(tmp_path),
        model_path=str(run / "models" / "model.pt"),
        folds=[0],
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    lesions = json.loads((tmp_path / "lesions.json").read_text())["lesions"]
    assert lesions
    assert {one["variant"] for one in lesions[0]["maps"]} == {"gradcam", "gradcampp", "pixelwise"}
    # Who is served the model is told what it was evaluated by.
    scored = pd.read_csv(run / "predictions.csv").query("role == 'heldout_mri1'").set_index(["subject", "lesion"])
    for one in lesions:
        expected = scored.loc[(one["subject"], one["lesion"]), "p_response"]
        assert one["p_response"] == pytest.approx(expected, abs=2e-6)
        assert one["score"] == "all slices"
        assert one["scored_slices"] == [each["slice"] for each in one["slices"]]
    # So is who asks the server.
    explainer = Explainer([CONFIGS / "inference.json", CONFIGS / "improved.json"], run / "models" / "model.pt")
    first = lesions[0]
    image, mask = (read_volume(toy_dataset / path, "lesion") for path in files_of(first))
    asked = {"key": "mr", "name": "GTV", "contrast_named": True}
    told = explainer.explain(image, mask.array, **asked).result
    assert told["p_response"] == pytest.approx(first["p_response"], abs=2e-6)
    assert told["scored_slices"] == first["scored_slices"]


def files_of(lesion: dict) -> tuple[str, str]:
    """MR and mask of a lesion's first session, in the data set."""
    subject, session = lesion["subject"], lesion["session"]
    named = f"{subject}/{session}"
    image = f"{named}/anat/{subject}_{session}_ce-gadolinium_T1w.nii.gz"
    return image, f"derivatives/masks/{named}/{subject}_{session}_label-{lesion['lesion']}_mask.nii.gz"


def test_its_shapes_are_those_of_the_metadata_and_its_script_answers_the_same(run, tmp_path):
    verify_net_in_out("network_def", meta_file=META, config_file=FILES, device="cpu")
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(run / "models" / "model.pt"),
        meta_file=META,
        config_file=FILES,
    )
    parser = ConfigParser()
    parser.read_config(FILES)
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(run / "models" / "model.pt", weights_only=True))
    x = torch.rand(3, 2, 64, 64).round(decimals=2)
    x[:, 1] = x[:, 1].round()
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(x), network(x))
    assert CamInferer(read_weights(run / "models" / "model.pt").map_scales)(x, network).logits.shape == (3,)
