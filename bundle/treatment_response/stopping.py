"""A command that is told to stop: Ctrl-C and a scheduler's SIGTERM take one way, by KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread


def stop_on_terminate() -> None:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that what is half done is cleaned up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def prepare_worker() -> None:
    """Start of a worker process: Ctrl-C is its parent's to handle, and it ends when its parent does.

    A parent that is killed (SIGKILL, out of memory) cannot end its workers; one that lived on would write into the
    folder of the command that was started again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    wait([parent.sentinel])
    os._exit(1)
