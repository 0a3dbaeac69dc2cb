"""Where long work stands, told to whoever started it; nobody needs to listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float], None]
"""Takes the name of the stage and the share of it that is done, in [0, 1]; what it raises ends the work."""
_listener: ContextVar[Listener | None] = ContextVar("progress", default=None)


def tell(stage: str, share: float) -> None:
    """Tell the listener of this thread, if there is one, where the work stands.

    Args:
        stage: in words, such as ``registering the earlier image``.
        share: of the stage that is done, in [0, 1].
    """
    listener = _listener.get()
    if listener is not None:
        listener(stage, share)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Let a listener hear of the work that this thread does in the block."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
