"""RANO trained by two processes: one network in both, one schedule, one best epoch, and each case in one of them."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import rano_case
import torch
from preloaded_python import preloaded_python
from rank_case import digest
from tiny_systems import CONFIGS

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What both processes wrote down; the rate is so high that an epoch fails."""
    root = tmp_path_factory.mktemp("ranks")
    data = rano_case.write_dataset(root / "data", patients=12)
    record = {
        "_target_": "rank_case.RecordRank",
        "out": "@output_dir",
        "rank": "@rank",
        "network": "@network",
        "schedule": "@schedule",
        "sampler": "@train_sampler",
        "validator": "@validate#evaluator",
    }
    tiny = {
        **rano_case.TINY,
        "checkpointed_blocks": ["_DenseLayer"],
        "learning_rate": 0.3,
        "max_epochs": 5,
        "protocol": "time_points_best",
        "val_interval": 1,
        "explanation": None,
        "extra_handlers": [record],
    }
    (root / "tiny.json").write_text(json.dumps(tiny))
    configs = [CONFIGS / name for name in ("train.json", "rano.json")]
    files = [str(file) for file in (*configs, root / "tiny.json", CONFIGS / "multi_gpu_train.json")]
    given = ("--dataset_dir", str(data), "--output_dir", str(root / "run"), "--fold", "0")
    command = [
        preloaded_python().python,
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        *("-m", "monai.bundle", "run", "training", "--meta_file", str(CONFIGS / "metadata.json")),
        *("--config_file", str(files), *given, "--device", "$torch.device('cpu')"),
    ]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": path}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((root / f"rank_{rank}.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(run=root / "run", ranks=ranks)


def test_both_processes_have_one_network_and_one_schedule_in_every_epoch(trained: SimpleNamespace) -> None:
    first, second = (rank["epochs"] for rank in trained.ranks)
    assert len(first) == len(second) == 5
    for one, other in zip(first, second, strict=True):
        assert {**one, "share": None} == {**other, "share": None}
    assert any(epoch["failures"] for epoch in first)
    # An epoch that failed has the network of the one before, and its watched loss.
    for before, epoch in pairwise(first):
        assert (epoch["network"] == before["network"]) == bool(epoch["failures"])
        assert (epoch["watched"] == before["watched"]) == bool(epoch["failures"])


def test_the_epoch_that_is_kept_ends_in_both_processes_and_in_the_model(trained: SimpleNamespace) -> None:
    epochs = trained.ranks[0]["epochs"]
    watched = [epoch["watched"] for epoch in epochs]
    best = watched.index(min(watched))
    kept = torch.load(trained.run / "models" / "best_epoch.pt", weights_only=True)
    assert (kept["epoch"], kept["loss"]) == (best + 1, watched[best])
    assert digest(torch.load(trained.run / "models" / "model.pt", weights_only=True)) == epochs[best]["network"]
    assert [rank["model"] for rank in trained.ranks] == [epochs[best]["network"]] * 2


def test_each_case_is_drawn_by_one_process_in_an_epoch(trained: SimpleNamespace) -> None:
    shares = [[set(epoch["share"]) for epoch in rank["epochs"]] for rank in trained.ranks]
    for one, other in zip(*shares, strict=True):
        assert not one & other
        assert one | other == set(range(8))
        assert len(one) == len(other) == 4
    assert shares[0][0] != shares[0][1]  # dealt anew in each epoch
