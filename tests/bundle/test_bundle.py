"""The bundle as MONAI's own tools see it: workflows, metadata, overlays, other places, two processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata, verify_net_in_out
from preloaded_python import preloaded_python

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "bundle"
CONFIGS = BUNDLE / "configs"
META = str(CONFIGS / "metadata.json")
SCHEMA = BUNDLE / "docs" / "metadata_schema.json"

# Every overlay, what it is laid over, and the ids that it adds; any other id must exist below it.
OVERLAYS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "evaluate.json": (
        ("train.json",),
        {
            "threshold",
            "trained",
            "scoring",
            "dataset",
            "dataloader",
            "inferer",
            "handlers",
            "evaluator",
            "evaluating",
        },
    ),
    "multi_gpu_train.json": (
        ("train.json",),
        {"finalize"},
    ),
    "sequential.json": (("train.json",), {"autoencoder_epochs"}),
    "smoke.json": (("train.json",), set()),
    "improved.json": (("train.json", "inference.json"), set()),
    "masked_input.json": (("train.json",), set()),
    "rice_net.json": (
        ("train.json", "inference.json"),
        {
            "channels",
            "widths",
            "stem_stride",
            "learning_rate",
            "cube",
            "scale_cases",
            "dose_map",
            "start_from",
            "loader_workers",
            "inputs",
        },
    ),
    "rice_net_small.json": (("train.json", "rice_net.json"), set()),
    "rano.json": (
        ("train.json", "inference.json"),
        {
            "sequences",
            "difference",
            "class_count",
            "checkpointed_blocks",
            "learning_rate",
            "flip_axes",
            "gamma",
            "cam_layer",
            "cube",
            "scale_cases",
            "start_from",
            "loader_workers",
            "pair_images",
            "channels",
            "pair_samples",
            "sample_weights",
            "images_outputs",
            "images_network",
            "schedule",
            "resumed#schedule",
            "inputs",
        },
    ),
    "rano_small.json": (("train.json", "rano.json"), {"inputs"}),
    "rano_rotations.json": (("train.json", "inference.json", "rano.json"), set()),
    "rano_autoencoder.json": (("train.json", "inference.json", "rano.json"), {"resumed#loss"}),
}


def leaves(content: Any, prefix: str = "") -> Iterator[str]:
    """Ids that a config sets, as MONAI's parser names them; a component counts as one."""
    for key, value in content.items():
        name = f"{prefix}{key.lstrip('+')}"
        if isinstance(value, dict) and "_target_" not in value:
            yield from leaves(value, f"{name}#")
        else:
            yield name


def unknown_ids(overlay: dict[str, Any], base: ConfigParser, new: set[str]) -> list[str]:
    return [name for name in leaves(overlay) if name not in base and name.split("#")[0] not in new and name not in new]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_key_exists_below_or_is_declared_new(name):
    """MONAI adds a misspelled leaf without a word."""
    below, new = OVERLAYS[name]
    base = ConfigParser()
    base.read_config([str(CONFIGS / file) for file in below])
    overlay = json.loads((CONFIGS / name).read_text())
    assert unknown_ids(overlay, base, new) == []
    assert all(key in base or key.split("#")[0] in overlay or key in overlay for key in new)
    assert unknown_ids({**overlay, "max_epoch": 3, "train#trainer#max_epoch": 3}, base, new) == [
        "max_epoch",
        "train#trainer#max_epoch",
    ]


def test_overlays_change_top_level_ids_alone():
    """MONAI refuses a path such as ``train#…`` on a base that does not have it."""
    for name in OVERLAYS:
        assert not [key for key in json.loads((CONFIGS / name).read_text()) if "#" in key], name


def test_the_training_config_stays_small():
    text = (CONFIGS / "train.json").read_text()
    assert len(text.splitlines()) <= 260
    assert len(set(re.findall(r'"_target_": "(treatment_response[^"]+)"', text))) <= 20


def test_every_config_is_known_here():
    variants = {"rice_net_variants.json", "rano_variants.json", "rano_protocols.json"}
    siblings = {"train.json", "metadata.json", "inference.json", *variants}
    assert {path.name for path in CONFIGS.glob("*.json")} <= siblings | set(OVERLAYS)


def test_run_and_the_named_id_do_the_same():
    for files, named in ((("train.json",), "training"), (("train.json", "evaluate.json"), "evaluating")):
        parser = ConfigParser()
        parser.read_config([str(CONFIGS / file) for file in files])
        assert parser[named] == "%run"


def test_inference_shares_the_preprocessing_of_training():
    train, inference = (json.loads((CONFIGS / name).read_text()) for name in ("train.json", "inference.json"))
    for name in ("image_transforms", "lesion_transforms", "network_def", "explanation", "patch_size", "pixel"):
        assert inference[name] == train[name], name


@pytest.mark.parametrize("bases", [("train.json",), ("train.json", "evaluate.json"), ("inference.json",)])
def test_masked_input_is_one_overlay_for_every_base(bases):
    base, masked = ConfigParser(), ConfigParser()
    base.read_config([str(CONFIGS / name) for name in bases])
    masked.read_config([str(CONFIGS / name) for name in (*bases, "masked_input.json")])
    assert masked["network_def"] == {**base["network_def"], "mask_input": True}
    assert masked.get_parsed_content("network_def").mask_input


def test_check_workflow_of_training_and_evaluation(toy_dataset, tmp_path):
    """The same calls as MONAI's own check of its model zoo."""
    override = {"dataset_dir": str(toy_dataset), "output_dir": str(tmp_path), "max_epochs": 1}
    for files, kind in (
        (("train.json", "smoke.json"), "train"),
        (("train.json", "evaluate.json", "smoke.json"), "infer"),
    ):
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / file) for file in files],
            meta_file=META,
            logging_file=str(CONFIGS / "logging.conf"),
            workflow_type=kind,
            **override,
        )
        workflow.initialize()
        assert workflow.check_properties() == []
        workflow.run()
        workflow.finalize()
    assert (tmp_path / "metrics.json").is_file()


def test_metadata_passes_monais_own_schema():
    verify_metadata(meta_file=META, filepath=str(SCHEMA))


@pytest.mark.parametrize(
    "path",
    [("task",), ("network_data_format", "inputs"), ("network_data_format", "outputs", "pred", "dtype")],
    ids="#".join,
)
def test_metadata_without_a_required_field_fails(path, tmp_path):
    broken = inner = json.loads(Path(META).read_text())
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    (tmp_path / "metadata.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="schema"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(SCHEMA))


def test_metadata_names_the_locked_versions():
    metadata = json.loads(Path(META).read_text())
    lock = dict(
        line.split("==") for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if "==" in line[:60]
    )
    named = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    for package, version in named.items():
        assert lock[package].split()[0] == version, package


def test_the_network_has_the_shapes_that_the_metadata_names():
    config = str(CONFIGS / "train.json")
    verify_net_in_out("network_def", meta_file=META, config_file=config, device="cpu")
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(
            "network_def",
            meta_file=META,
            config_file=config,
            device="cpu",
            **{"_meta_#network_data_format#outputs#pred#num_channels": 2},
        )


def run_bundle(
    *args: str, cwd: Path, launcher: tuple[str, ...] = (), python: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **more}
    command = [python or preloaded_python().python, *launcher, "-m", "monai.bundle", *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def smoke(configs: Path, *names: str) -> str:
    return str([str(configs / name) for name in ("train.json", *names, "smoke.json")])


SHORT = ("--max_epochs", "1", "--picture_interval", "100")


def test_command_from_the_repository_root(toy_dataset, tmp_path):
    done = run_bundle(
        "run",
        "training",
        "--config_file",
        "['bundle/configs/train.json','bundle/configs/smoke.json']",
        "--dataset_dir",
        str(toy_dataset),
        "--output_dir",
        str(tmp_path),
        *SHORT,
        cwd=REPOSITORY,
        python=sys.executable,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "model.pt").is_file()
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 10, "MONAI's noise is back"


def test_command_from_anywhere_lists_faults_without_a_traceback(toy_dataset, tmp_path):
    broken = tmp_path / "data"
    shutil.copytree(toy_dataset, broken)
    for mask in sorted(broken.rglob("*_mask.nii.gz"))[:2]:
        mask.unlink()
    done = run_bundle(
        "run",
        "--config_file",
        smoke(CONFIGS),
        "--bundle_root",
        str(BUNDLE),
        "--dataset_dir",
        str(broken),
        "--output_dir",
        str(tmp_path / "run"),
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("missing") >= 2
    assert not (tmp_path / "run").exists()


def test_an_unpacked_zip_elsewhere_uses_its_own_package(toy_dataset, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "bundle"), "zip", root_dir=BUNDLE, base_dir=".")
    unpacked = tmp_path / "elsewhere" / "pulsar"
    shutil.unpack_archive(archive, unpacked)
    # The checkout's package is not installed for this process: -S leaves its .pth out, the libraries are given by path.
    libraries = str(Path(torch.__file__).parents[1])
    proof = unpacked / "treatment_response" / "networks" / "masked_autoencoder_classifier.py"
    proof.write_text(proof.read_text() + "\nprint('made by the unpacked bundle')\n")
    done = run_bundle(
        "run",
        "training",
        "--config_file",
        smoke(unpacked / "configs"),
        "--dataset_dir",
        str(toy_dataset),
        *SHORT,
        cwd=tmp_path,
        launcher=("-S",),
        python=sys.executable,
        PYTHONPATH=libraries,
    )
    assert done.returncode == 0, done.stderr
    assert "made by the unpacked bundle" in done.stdout
    assert (unpacked / "runs" / "pulsar" / "models" / "model.pt").is_file()


def distributed(toy_dataset: Path, out: Path, *overlays: str, epochs: int, extra: tuple[str, ...] = ()) -> None:
    done = run_bundle(
        "run",
        "training",
        "--config_file",
        smoke(CONFIGS, *overlays, "multi_gpu_train.json"),
        "--dataset_dir",
        str(toy_dataset),
        "--output_dir",
        str(out),
        "--picture_interval",
        "100",
        "--max_epochs",
        str(epochs),
        *extra,
        cwd=REPOSITORY,
        launcher=("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
    )
    assert done.returncode == 0, done.stderr


def test_two_gloo_processes_learn_like_one(toy_dataset, tmp_path):
    """Without dropout, and apart from batch statistics, which each process takes from its half of a batch."""
    quiet = ("--network_def#dropout", "0.0")
    distributed(toy_dataset, tmp_path / "two", epochs=3, extra=quiet)
    done = run_bundle(
        "run",
        "training",
        "--config_file",
        smoke(CONFIGS),
        "--dataset_dir",
        str(toy_dataset),
        "--output_dir",
        str(tmp_path / "one"),
        "--picture_interval",
        "100",
        "--max_epochs",
        "3",
        *quiet,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    one, two = (pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two"))
    assert list(one.columns) == list(two.columns)
    assert len(two) == 3
    for column in ("reconstruction", "heldout_reconstruction"):
        pd.testing.assert_series_equal(one[column], two[column], rtol=2e-3)
    pd.testing.assert_series_equal(one["heldout_loss"], two["heldout_loss"], rtol=0.03)
    assert not list((tmp_path / "two").rglob("*.partial"))
    assert len(list((tmp_path / "two").glob("events*"))) == 1, "only the first process writes"


def test_the_frozen_half_does_not_stop_two_processes(toy_dataset, tmp_path):
    distributed(toy_dataset, tmp_path, "sequential.json", epochs=2, extra=("--autoencoder_epochs", "1"))
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["loss"][0] == history["reconstruction"][0]
    assert history["loss"][1] == history["classification"][1]
