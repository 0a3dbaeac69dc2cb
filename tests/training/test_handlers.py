"""Handlers on a bare engine."""

from __future__ import annotations

import torch
from ignite.engine import Engine
from treatment_response.training.handlers import SeedEveryEpoch


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
