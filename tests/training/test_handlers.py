"""Handlers on a bare engine."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.cohort.doubtful_counts import count_doubtful
from treatment_response.training.handlers import History, SeedEveryEpoch, WritePredictions


def numbers(seed: int, rank: int, disturb: bool = False) -> list[float]:
    drawn: list[float] = []

    def step(engine: Engine, batch: int) -> None:
        drawn.append(float(torch.rand(())))
        if disturb:
            torch.rand(5)

    engine = Engine(step)
    SeedEveryEpoch(seed, rank).attach(engine)
    engine.run([0], max_epochs=4)
    return drawn


def test_random_numbers_depend_on_seed_epoch_and_rank_only():
    assert numbers(0, 0) == numbers(0, 0, disturb=True)
    assert len(set(numbers(0, 0) + numbers(1, 0) + numbers(0, 1))) == 12


def test_whoever_reads_the_curves_while_they_are_written_sees_whole_epochs(tmp_path: Path):
    engine = Engine(lambda engine, batch: None)
    history = History(str(tmp_path))
    history.attach(engine)
    engine.run([0], max_epochs=1)
    with history.path.open(encoding="utf-8") as reader:
        history(engine)
        assert len(reader.read().splitlines()) == 2
    assert len(history.path.read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_scores_that_were_not_written_to_the_end_do_not_count_as_scored(tmp_path: Path):
    count = 400
    rows = [SampleRow("sub-001", f"L{number}", "ses-01", 0, 1) for number in range(count)]
    doubtful = count_doubtful(["sub-001"] * count, [])
    writer = WritePredictions(
        str(tmp_path), Samples(torch.zeros(count, 1), rows), ["heldout_mri1"] * count, doubtful, 0
    )
    writer.logits = [torch.zeros(count, 1)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the table is longer: its file breaks off
    try:
        with pytest.raises(OSError, match="too large"):
            writer.finish(Engine(lambda engine, batch: None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "predictions.csv").exists()
    writer.finish(Engine(lambda engine, batch: None))
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "predictions.csv"]
