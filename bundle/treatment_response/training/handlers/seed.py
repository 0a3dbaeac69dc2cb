"""Random numbers that depend on the epoch, not on what happened before it."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine, Events


class SeedEveryEpoch:
    """Seed torch at the start of every epoch from (seed, epoch, rank), so that dropout in a resumed run is the same.

    Args:
        seed: the run's seed, not negative.
        rank: this process among several.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        state = np.random.SeedSequence([self.seed, engine.state.epoch, self.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0] >> np.uint64(1)))
