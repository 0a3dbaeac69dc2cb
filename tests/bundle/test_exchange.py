"""The bundle in strangers' hands: the zoo's loader, a copy elsewhere, exports, packages that have to be there."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, load, onnx_export
from treatment_response.problems import DataProblem, data_problem_in
from treatment_response.weights import add_fold_models, read_weights, write_pair

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
META = str(BUNDLE / "configs" / "metadata.json")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle in another folder, with weights of its own."""
    root = tmp_path_factory.mktemp("zoo") / "pulsar_response"
    shutil.copytree(BUNDLE, root, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    state["output.bias"] += 1
    buffer = io.BytesIO()
    torch.save(state, buffer)
    delivered = read_weights(path)
    write_pair(path, buffer.getvalue(), json.loads(path.with_suffix(".json").read_text()))
    folds = [{**fold, "output.bias": fold["output.bias"] + 1} for fold in delivered.folds]
    add_fold_models(path, folds, delivered.certainty)
    return root


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


def test_the_zoos_loader_gives_the_weights_bit_by_bit(copy):
    state = torch.load(copy / "models" / "model.pt", weights_only=True)
    assert same(load(copy.name, bundle_dir=str(copy.parent), device="cpu"), state)


CONFIGS = {
    "train": (("train.json",), "train"),
    "improved": (("train.json", "improved.json"), "train"),
    "improved_evaluate": (("train.json", "improved.json", "evaluate.json"), "infer"),
    "masked_input": (("train.json", "masked_input.json"), "train"),
    "masked_input_evaluate": (("train.json", "masked_input.json", "evaluate.json"), "infer"),
    "sequential": (("train.json", "sequential.json"), "train"),
    "evaluate": (("train.json", "evaluate.json"), "infer"),
    "inference": (("inference.json",), "infer"),
    "inference_improved": (("inference.json", "improved.json"), "infer"),
}


def workflow(root: Path, name: str, **more: str) -> ConfigWorkflow:
    files, kind = CONFIGS[name]
    made = ConfigWorkflow([str(root / "configs" / file) for file in files], workflow_type=kind, **more)
    made.initialize()
    return made


@pytest.mark.parametrize("name", CONFIGS)
def test_a_workflow_can_be_looked_at_without_data_and_refuses_to_run(name, copy, tmp_path):
    made = workflow(copy, name, **({} if name.startswith("inference") else {"output_dir": str(tmp_path)}))
    assert made.check_properties() == []
    assert made.bundle_root == str(copy)
    with pytest.raises(RuntimeError) as raised:
        made.run()
    problem = data_problem_in(raised.value)
    assert problem is not None
    assert len(str(problem).splitlines()) == 1
    assert str(copy / "data") in str(problem)
    assert not list(tmp_path.rglob("*.pt"))
    assert not (copy / "cams").exists()


def test_a_copy_uses_its_own_weights(copy):
    first = workflow(copy, "inference")
    other = workflow(BUNDLE, "inference")
    for made, root in ((first, copy), (other, BUNDLE), (first, copy)):
        path = root / "models" / "model.pt"
        state = torch.load(path, weights_only=True)
        assert made.parser.get_parsed_content("model_path") == str(path)
        assert same(made.parser.get_parsed_content("network"), state)
        assert same(made.evaluator.network, state)
        folds = made.parser.get_parsed_content("fold_networks")
        assert len(folds) == 5
        listed = json.loads(path.with_suffix(".json").read_text())["fold_models"]
        for fold, entry in zip(folds, listed, strict=True):
            assert same(fold, torch.load(path.with_name(entry["file"]), weights_only=True))
            assert not fold.training
        assert made.parser.get_parsed_content("weights").sha256 == read_weights(path).sha256
    assert workflow(copy, "inference").parser.get_parsed_content("bundle_root") == str(copy)  # without its workflow


def test_a_parser_that_cannot_know_where_its_config_lies_asks(copy):
    parser = ConfigParser()
    parser.read_config(str(copy / "configs" / "inference.json"))
    with pytest.raises(RuntimeError) as raised:
        parser.get_parsed_content("model_path")
    assert "--bundle_root" in str(data_problem_in(raised.value))
    parser["bundle_root"] = str(copy)
    assert parser.get_parsed_content("model_path") == str(copy / "models" / "model.pt")


def test_a_description_of_other_weights_stops_the_bundle(copy, tmp_path):
    broken = tmp_path / "bundle"
    shutil.copytree(copy, broken)
    shutil.copy2(BUNDLE / "models" / "model.json", broken / "models")
    with pytest.raises(RuntimeError) as raised:
        workflow(broken, "inference").parser.get_parsed_content("network")
    assert isinstance(data_problem_in(raised.value), DataProblem)
    assert "written for other weights" in str(data_problem_in(raised.value))


def slices(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    x = torch.rand(count, 2, 64, 64, generator=generator)
    x[:, 1] = 0
    x[:, 1, 20:44, 24:40] = 1
    return x


def test_torchscript_is_exported_without_a_key_and_answers_as_the_network(copy, tmp_path):
    ckpt_export(
        bundle_root=str(copy), filepath=str(tmp_path / "model.ts"), config_file=str(copy / "configs/train.json")
    )
    network = workflow(copy, "inference").parser.get_parsed_content("network")
    x = slices(3)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(x), network(x))


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")),
    reason='needs the extra: pip install -c requirements.txt -e ".[export]"',
)
def test_onnx_answers_as_the_network_at_any_batch_size(copy, tmp_path):
    import onnxruntime

    onnx_export(
        "network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(copy / "models" / "model.pt"),
        meta_file=META,
        config_file=str(copy / "configs" / "train.json"),
        converter_kwargs={
            "input_names": ["image"],
            "output_names": ["pred"],
            "dynamic_axes": {"image": {0: "batch"}, "pred": {0: "batch"}},
        },
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    network = workflow(copy, "inference").parser.get_parsed_content("network")
    for count in (1, 2, 7, 64):
        x = slices(count)
        (answer,) = session.run(["pred"], {"image": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(answer, network(x).numpy(), rtol=1e-5, atol=1e-5)


IMPORTED = """
import json, sys
from monai.bundle import ConfigWorkflow
workflow = ConfigWorkflow(sys.argv[1], workflow_type="infer")
workflow.initialize()
workflow.evaluator, workflow.parser.get_parsed_content("check", instantiate=False)
own = {name: module.__file__ for name, module in sys.modules.items() if name.startswith("treatment_response")}
print(json.dumps([file for file in own.values() if file]))
"""


def test_the_metadata_names_every_package_that_inference_imports():
    config = str(BUNDLE / "configs" / "inference.json")
    done = subprocess.run([sys.executable, "-c", IMPORTED, config], capture_output=True, text=True, check=True)
    names = {"monai", "ignite"}  # the config's own
    for file in json.loads(done.stdout.splitlines()[-1]):
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    of_module = packages_distributions()
    packages = {of_module[name][0].lower() for name in names - set(sys.stdlib_module_names) - {"treatment_response"}}
    metadata = json.loads(Path(META).read_text())
    assert packages - {"monai", "torch", "numpy"} <= set(metadata["required_packages_version"])
    assert {"scipy", "shapely", "nibabel"} <= packages


def test_the_metadata_says_that_its_metrics_are_of_synthetic_data():
    metrics = json.loads(Path(META).read_text())["eval_metrics"]
    assert "synthetic" in metrics.pop("data")
    assert metrics
    assert all("synthetic" in name for name in metrics)
