"""SIGTERM stops a command as Ctrl-C does, and workers do not outlive it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context

import pytest
from treatment_response.stopping import end_workers, stop_on_terminate


@pytest.fixture
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_terminate_raises_what_ctrl_c_raises(restored: None) -> None:
    stop_on_terminate()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_busy_workers_are_ended_and_not_waited_for() -> None:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    pool.submit(time.sleep, 300)
    time.sleep(1)
    pool.shutdown(wait=False, cancel_futures=True)
    end_workers()
    deadline = time.monotonic() + 20
    while active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not active_children()
