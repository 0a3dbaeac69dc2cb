"""On how many threads networks run: one for each of many small requests, all of the machine's for long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHORT_WORK = 1
"""PULSAR's network is tiny: threads of its own would only compete with those of other requests."""
_LONG_WORK = torch.get_num_threads()
"""What torch has by itself: the cores, or OMP_NUM_THREADS."""


@contextmanager
def threads_for(long_work: bool) -> Iterator[None]:
    """Let torch use its threads for long work in the block; jobs run one after the other, so that it has them alone."""
    if long_work:
        torch.set_num_threads(_LONG_WORK)
    try:
        yield
    finally:
        torch.set_num_threads(SHORT_WORK)
