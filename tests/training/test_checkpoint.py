"""What ``--resume`` does with a ``checkpoint.pt`` that no run of this network wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.engines import Workflow
from torch import nn
from treatment_response.problems import DataProblem
from treatment_response.training.handlers import RunCheckpoint
from treatment_response.training.scoring import load_trained


def checkpoint(folder: Path, network: nn.Module, **settings: Any) -> RunCheckpoint:
    return RunCheckpoint(str(folder), network, torch.optim.AdamW(network.parameters()), settings, resume=True)


def engine() -> Workflow:
    return Workflow(device="cpu", max_epochs=1, data_loader=[0], iteration_update=lambda engine, batch: None)


CHANGES: dict[str, Any] = {
    "weights alone": lambda content: content["network"],
    "not finite": lambda content: {**content, "network": {**content["network"], "bias": torch.full((2,), torch.nan)}},
    "of another network": lambda content: {**content, "network": {"weight": torch.ones(2, 3)}},
    "network of text": lambda content: {**content, "network": "weights"},
    "settings": lambda content: {**content, "settings": "{"},
    "settings in a list": lambda content: {**content, "settings": "[1]"},
    "epoch": lambda content: {**content, "epoch": "many"},
    "optimizer": lambda content: {**content, "optimizer": {"state": {}}},
    "no dictionary": lambda content: [content],
}


@pytest.mark.parametrize("kind", [*CHANGES, "cut off"])
def test_a_broken_checkpoint_is_refused_in_one_sentence(kind, tmp_path):
    handler = checkpoint(tmp_path, nn.Linear(3, 2), seed=0)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "checkpoint.pt"
    handler.save(engine())
    handler.start(engine())
    if kind == "cut off":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        torch.save(CHANGES[kind](torch.load(path, weights_only=True)), path)
    with pytest.raises(DataProblem) as raised:
        handler.start(engine())
    assert len(str(raised.value).splitlines()) == 1
    assert str(raised.value).startswith("--resume: ")


def test_a_broken_record_of_a_run_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").touch()
    for broken in ("{", "[]", json.dumps({"fold": 0})[:-1] + ', "fold": 1}'):
        (tmp_path / "provenance.json").write_text(broken)
        with pytest.raises(DataProblem, match=r"--output_dir: provenance\.json"):
            load_trained(nn.Linear(3, 2), tmp_path, "B", 0)
