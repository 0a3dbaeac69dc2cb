"""A training in several processes: one network in all of them, and the end."""

from __future__ import annotations

import os
import sys

import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import nn


class SameOnAllRanks:
    """Give every process the first one's network at the end of each epoch and of the training.

    DDP keeps the weights equal, and each process its own batch statistics of the last batch. Without this, what is
    watched would be the mean over several networks, and the processes would go on from different ones when a schedule
    brings earlier weights back. List it last under ``schedules``.

    Args:
        network: the network that is trained, not DDP's wrapper.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        for tensor in self.network.state_dict().values():
            sent = tensor.contiguous()
            torch.distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


def leave() -> None:
    """Wait for the other processes, close the group and end this process at once, as finished.

    Everything is written by then. An interpreter that shuts down in the usual way beside gloo's threads was seen to
    abort now and then ("terminate called without an active exception"), and torchrun then reports a finished training
    as failed.
    """
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
