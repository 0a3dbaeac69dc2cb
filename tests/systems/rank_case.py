"""What each of several training processes has at the end of every epoch, written down by a handler."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.utils.data import DistributedSampler


def digest(state: dict[str, torch.Tensor]) -> str:
    """Of all weights and statistics, bit by bit."""
    found = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


class RecordRank:
    """Write ``rank_N.json``: per epoch the network, the schedule, the watched loss and the process' share of cases."""

    def __init__(
        self, out: str, rank: int, network: torch.nn.Module, schedule: Any, sampler: Any, validator: Engine
    ) -> None:
        self.path = Path(out).parent / f"rank_{rank}.json"
        self.network, self.schedule, self.sampler, self.validator = network, schedule, sampler, validator
        self.epochs: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.look)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def look(self, engine: Engine) -> None:
        self.epochs.append(
            {
                "network": digest(self.network.state_dict()),
                "rate": self.schedule.optimizer.param_groups[0]["lr"],
                "lowest": self.schedule.lowest,
                "failures": self.schedule.failures,
                "watched": self.validator.state.metrics["loss"],
                "share": list(DistributedSampler.__iter__(self.sampler)),
            }
        )

    def write(self, engine: Engine) -> None:
        content = {"epochs": self.epochs, "model": digest(self.network.state_dict())}
        self.path.write_text(json.dumps(content))
