"""How every command line ends."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from treatment_response.commands import command
from treatment_response.problems import DataProblem, Problem


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def refuse() -> int:
    raise DataProblem(Problem("table", "it is empty", "fill it"))


def interrupt() -> int:
    raise KeyboardInterrupt


def fill_the_disk() -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/of/a/patient")


def terminate() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return 0


@pytest.mark.parametrize(
    ("main", "status", "said"),
    [
        (lambda: 1, 1, ""),
        (refuse, 2, "table: it is empty; fill it.\n"),
        (
            fill_the_disk,
            2,
            "output: the disk is full, or a file may not be so large; free some room and run the same command again.\n",
        ),
        (interrupt, 130, "stopped; nothing was written\n"),
        (terminate, 130, "stopped; nothing was written\n"),
    ],
    ids=["its own status", "bad input", "full disk", "Ctrl-C", "SIGTERM"],
)
def test_a_command_ends_with_a_sentence_and_a_status(
    main: Callable[[], int], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("nothing was written")(main)() == status
    assert capsys.readouterr().err == said
