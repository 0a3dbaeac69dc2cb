"""Trials trained at once end as trials trained one by one: same batches, same dropout, same statistics, same optimiser.

The comparison is in float64. In float32 both ways round differently, and AdamW turns the rounding noise of a gradient
that is zero (a bias before batch normalisation) into whole steps; there predictions are compared, with a tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import nn
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.evaluation.stacked_trials import pays, train_at_once
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.networks import MaskedAutoencoderClassifier
from treatment_response.training.experiment import run_training
from treatment_response.training.stacked import CannotBeStacked, train_stacked
from treatment_response.training.stacked.dropout import draw
from treatment_response.training.stacked.step import StackedStep
from treatment_response.weights import read_weights

FILES = ("train.json", "smoke.json")
LESIONS = (13, 16, 20)  # 9, 10 and 13 to train on: a last batch of one sample, of two, and of five
SETTINGS: dict[str, Any] = {"protocol": "B", "fold": 0, "patch_size": 16, "picture_interval": 0, "save_interval": 2}


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def made(lesions: int, seed: int) -> Samples:
    """Round lesions of 16 × 16 pixels, a bright core in every second one, both sessions, three folds."""
    generator = torch.Generator().manual_seed(seed)
    distance = (torch.arange(16) - 7.5).square()[:, None] + (torch.arange(16) - 7.5).square()
    images, rows = [], []
    for number in range(lesions):
        for session in ("ses-01", "ses-02"):
            noise = 0.1 * torch.randn(16, 16, generator=generator)
            mask = (distance < 30 + 20 * torch.rand(1, generator=generator)).to(noise)
            images.append(torch.stack([(0.5 + noise + 0.3 * (number % 2) * (distance < 6)).clamp(0, 1), mask]))
            rows.append(SampleRow(f"sub-{number:03d}", "L01", session, number // 2 % 3, number % 2))
    return Samples(torch.stack(images), rows)


def overrides(root: Path, epochs: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"samples": made(n, k), "seed": k, "output_dir": str(root / str(k)), "max_epochs": epochs, **SETTINGS, **more}
        for k, n in enumerate(LESIONS)
    ]


def weights(root: Path, trial: int) -> dict[str, torch.Tensor]:
    return torch.load(root / str(trial) / "models" / "model.pt", weights_only=True)


def assert_close(first: Path, second: Path) -> None:
    for trial in range(len(LESIONS)):
        mine, other = weights(first, trial), weights(second, trial)
        assert mine.keys() == other.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], other[name], atol=1e-6, rtol=0, msg=f"{trial} {name}")
            assert mine[name].stride() == other[name].stride()


def test_a_stack_ends_as_trials_one_by_one_stopped_in_between_or_not(float64: None, tmp_path: Path) -> None:
    for each in overrides(tmp_path / "alone", 4):
        run_training(FILES, **each)
    told: list[tuple[int, int]] = []
    train_stacked(FILES, overrides(tmp_path / "whole", 4), lambda trial, epochs: told.append((trial, epochs)))
    assert_close(tmp_path / "alone", tmp_path / "whole")
    assert int(weights(tmp_path / "whole", 0)["norm.num_batches_tracked"]) == 4, "a batch of one was tracked"
    assert told[-3:] == [(0, 4), (1, 4), (2, 4)]
    for name in ("history.csv", "provenance.json", "models/checkpoint.pt"):
        assert (tmp_path / "whole" / "2" / name).is_file()
    assert not (tmp_path / "alone" / "0" / "pictures").exists()
    alone, whole = (pd.read_csv(tmp_path / name / "1" / "history.csv") for name in ("alone", "whole"))
    pd.testing.assert_frame_equal(alone, whole, rtol=1e-4)

    # Two trials were stopped after two epochs, one of them trained alone; the third had not begun.
    first, second, third = overrides(tmp_path / "parts", 2)
    run_training(FILES, **first)
    train_stacked(FILES, [second])
    again = [{**each, "max_epochs": 4} for each in (first, second, third)]
    for each in again[:2]:
        (Path(each["output_dir"]) / "models" / "model.pt").unlink()
    train_stacked(FILES, [{**each, "resume": k < 2} for k, each in enumerate(again)])
    assert_close(tmp_path / "alone", tmp_path / "parts")


def test_sequential_training_freezes_the_same_halves(float64: None, tmp_path: Path) -> None:
    files = ("train.json", "sequential.json", "smoke.json")
    one = overrides(tmp_path / "alone", 3, autoencoder_epochs=2)[2]
    run_training(files, **one)
    stacked = [
        {**each, "output_dir": each["output_dir"]} for each in overrides(tmp_path / "st", 3, autoencoder_epochs=2)
    ]
    train_stacked(files, stacked)
    mine, other = weights(tmp_path / "alone", 2), weights(tmp_path / "st", 2)
    for name in mine:
        torch.testing.assert_close(mine[name], other[name], atol=1e-6, rtol=0, msg=name)


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.5), nn.Dropout(0.0)], ids=str)
def test_dropout_is_what_the_layer_itself_would_draw(layer: nn.Module) -> None:
    x = torch.rand(4, 6, 5, 5).to(memory_format=torch.channels_last) + 1
    torch.manual_seed(7)
    expected = layer(x)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(x * draw(layer, (x.shape, x.stride(), x.dtype)), expected)
    assert torch.equal(torch.rand(1), after), "the stream is at another place"


class Branching(nn.Module):
    """A loss that looks at a value, which a stack cannot."""

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        pred = network(x)
        return {"loss": pred.mean() if pred.mean() > 0 else pred.sum(), "pred": pred}


class Step(nn.Module):
    def __init__(self, network: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.loss(self.network, x, label)


class Noisy(nn.Module):
    """A network that draws numbers of its own, which the stack does not know of."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(512, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.flatten(1) + torch.randn_like(x.flatten(1)))


def mean_loss(network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
    pred = network(x)
    return {"loss": pred.mean(), "pred": pred}


class Mean(nn.Module):
    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        return mean_loss(network, x, label)


@pytest.mark.parametrize(
    ("network", "loss"),
    [(MaskedAutoencoderClassifier(16), Branching()), (Noisy(), Mean())],
    ids=["branches", "draws"],
)
def test_what_cannot_be_stacked_is_noticed_before_training(network: nn.Module, loss: nn.Module) -> None:
    step = Step(network, loss)
    before = {name: value.clone() for name, value in step.state_dict().items()}
    with pytest.raises(CannotBeStacked, match=r"\w+ \w+"):
        StackedStep(step).check(torch.rand(4, 2, 16, 16), torch.ones(4, 1))
    for name, value in step.state_dict().items():
        assert torch.equal(value, before[name])


def network_trials(root: Path, **more: Any) -> tuple[list[Trial], dict[str, Samples]]:
    settings = {key: value for key, value in SETTINGS.items() if key != "fold"}
    trials = [
        Trial(f"trial {k}", root / str(k), {**settings, "fold": 0, "seed": k, "max_epochs": 3, **more}, 3)
        for k in range(len(LESIONS))
    ]
    return trials, {trial.name: made(n, k) for k, (trial, n) in enumerate(zip(trials, LESIONS, strict=True))}


def test_stacked_trials_are_scored_like_others_and_a_network_that_cannot_be_is_left_to_them(tmp_path: Path) -> None:
    assert not pays(("smoke.json",)), "on a CPU one by one is faster"
    tables = {}
    for name in ("alone", "stacked"):
        trials, samples = network_trials(tmp_path / name)
        if name == "stacked":
            train_at_once(trials, samples, ("smoke.json",), at_once=2)
            kept = {t.name: (t.output_dir / "models" / "model.pt").stat().st_mtime_ns for t in trials}
        run_trials(trials, samples, ("smoke.json",), workers=1)
        tables[name] = [pd.read_csv(trial.output_dir / "predictions.csv") for trial in trials]
    assert {t.name: (t.output_dir / "models" / "model.pt").stat().st_mtime_ns for t in trials} == kept
    assert all(read_weights(t.output_dir / "models" / "model.pt").map_scales for t in trials)
    for alone, stacked in zip(tables["alone"], tables["stacked"], strict=True):
        pd.testing.assert_frame_equal(alone, stacked, atol=5e-3, rtol=0)
    console = Console(record=True, width=200, file=(tmp_path / "said").open("w"))
    trials, samples = network_trials(tmp_path / "left", loss={"_target_": "test_stacked.Branching"})
    train_at_once(trials, samples, ("smoke.json",), console)
    assert "train one by one, for they cannot be stacked" in console.export_text()
    assert not list((tmp_path / "left").rglob("model.pt"))
