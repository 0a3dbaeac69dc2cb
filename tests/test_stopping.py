"""SIGTERM stops a command as Ctrl-C does, and workers do not outlive it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from multiprocessing import active_children

import pytest
from treatment_response.processes import worker_pool
from treatment_response.stopping import stop_on_terminate


@pytest.fixture
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_terminate_raises_what_ctrl_c_raises(restored: None) -> None:
    stop_on_terminate()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def stopped_at_work() -> None:
    with worker_pool(2, []) as pool:
        for _ in range(2):
            pool.submit(time.sleep, 300)
        time.sleep(1)
        raise KeyboardInterrupt


def test_busy_workers_of_a_stopped_command_are_ended_and_not_waited_for() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped_at_work()
    assert time.monotonic() - started < 60
    assert not active_children()
