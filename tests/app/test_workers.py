"""What the server answers when a file keeps a worker process busy, fills its memory or ends it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from pulsar_app.server import workers
from pulsar_app.server.problems import TooLarge, Unavailable
from treatment_response.limited_workers import Limits, Workers


@pytest.fixture
def one_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    decoder = Workers(1, Limits(seconds=3, memory_bytes=100 * 2**20, wait_seconds=0.2))
    monkeypatch.setattr(workers, "decoders", lambda: decoder)
    yield decoder
    decoder.close()


def test_a_failed_worker_is_a_sentence_and_the_next_file_is_read(one_decoder: Workers) -> None:
    with pytest.raises(TooLarge, match=r"^file: reading it takes more memory than it may have; .*\.$"):
        workers.decode("file", bytearray, 2**30)
    with pytest.raises(Unavailable, match=r"^file: it could not be read: its process died; try again later\.$"):
        workers.decode("file", os._exit, 1)
    assert workers.decode("file", divmod, 7, 2) == (3, 1)


def test_the_server_is_ready_while_a_worker_answers(one_decoder: Workers) -> None:
    assert anyio.run(workers.ready) is True
    with ThreadPoolExecutor(1) as thread:
        stuck = thread.submit(workers.decode, "file", time.sleep, 300)
        time.sleep(0.2)
        assert anyio.run(workers.ready) is False
        with pytest.raises(Unavailable, match="longer than 3 s"):
            stuck.result()
    one_decoder.limits = Limits(seconds=3, memory_bytes=100 * 2**20, wait_seconds=60)
    assert anyio.run(workers.ready) is True
