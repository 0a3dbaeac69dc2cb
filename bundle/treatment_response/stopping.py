"""A command that is told to stop: Ctrl-C and a scheduler's SIGTERM take one way, by KeyboardInterrupt."""

from __future__ import annotations

import signal
from multiprocessing import active_children


def stop_on_terminate() -> None:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that what is half done is cleaned up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def end_workers() -> None:
    """End this process's workers at once, instead of waiting for what they are at."""
    for child in active_children():
        child.terminate()
