"""Limits on what requests send: how much each may, how much all may together, and how slowly."""

from __future__ import annotations

from functools import cache
from types import TracebackType
from typing import Self

import anyio
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from pulsar_app.server.settings import server_settings

PATIENCE_S = 20.0
"""How long the server waits for a body before it asks for progress, in seconds."""

SLOWEST = 16 * 2**10
"""Progress that a body must make on average, in bytes per second of waiting beyond `PATIENCE_S`."""


class Bodies:
    """What the requests in progress have sent together; each holds its share until it is answered.

    A body lies in memory or, as a form's file, in a temporary file, and both are gone with the request: so this is also
    the limit of what uploads take on disk before they are kept somewhere. For one event loop.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def hold(self, size: int) -> None:
        """Count `size` bytes more.

        Raises:
            HTTPException: 503, together the requests would send more than they may.
        """
        if self.held + size > self.limit:
            raise HTTPException(
                503,
                "The server receives as much as it takes at a time (PULSAR_SERVER_BODIES_LIMIT_MB); try again soon.",
            )
        self.held += size

    def release(self, size: int) -> None:
        """Count `size` bytes less."""
        self.held -= size


@cache
def all_bodies() -> Bodies:
    """The bodies that this process is receiving."""
    return Bodies(server_settings().bodies_limit)


class Body:
    """The body of one request, as its route reads it: a context manager that holds its share of `Bodies`.

    Args:
        scope: of the request.
        receive: what gives the body's parts.
        limit: of this body in bytes.
        bodies: what all requests share.

    Raises:
        HTTPException: when entered, 413 or 503 if the length that the request announces is too much.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int, bodies: Bodies) -> None:
        announced = dict(scope["headers"]).get(b"content-length", b"")
        self._announced = int(announced) if announced.isdigit() else 0
        self._receive, self._limit, self._bodies = receive, limit, bodies
        self._read = self._held = 0
        self._waited = 0.0
        self._ended = False

    def __enter__(self) -> Self:
        self._check(self._announced)
        self._hold(self._announced)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bodies.release(self._held)

    async def receive(self) -> Message:
        """The next part (ASGI).

        Raises:
            HTTPException: 413, it is too much; 503, all bodies together are; 408, it comes too slowly.
        """
        if self._ended:  # what is waited for now is that the client leaves
            return await self._receive()
        begin = anyio.current_time()
        try:
            with anyio.fail_after(max(0.0, PATIENCE_S + self._read / SLOWEST - self._waited)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The request's body came too slowly; send it again over a faster line.") from None
        self._waited += anyio.current_time() - begin
        self._read += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        self._check(self._read)
        self._hold(self._read - self._held)
        return message

    def _check(self, size: int) -> None:
        if size > self._limit:
            named = " (PULSAR_SERVER_UPLOAD_LIMIT_MB)" if self._limit == server_settings().upload_limit else ""
            raise HTTPException(413, f"The request is larger than this address takes{named}.")

    def _hold(self, more: int) -> None:
        if more > 0:
            self._bodies.hold(more)
            self._held += more
