"""A limit on how many connections are open, and on how long one may stay open without asking for anything.

uvicorn limits requests only (``limit_concurrency``), and waits without end for the headers of one. Connections that
never send any would use up the process's file descriptors, and nobody else would be answered. This works below the
HTTP protocol, so with whichever of uvicorn's is installed, and however the server was started: `limit_connections`
is called while the application starts, just before uvicorn listens.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

IDLE_S = 15.0
"""How long a connection may be without a request in progress: before the first, between two, or after the last."""

STALLED_S = 60.0
"""How long a client may take nothing of its answer."""

_AT_A_TIME = 100
"""How many connections are accepted at a time: until they are counted they are beyond the limit."""

_HANDSHAKE_S = 10.0
_EVERY_S = 1.0
_FULL = b'{"detail":"The server has as many connections as it takes (PULSAR_SERVER_CONNECTION_LIMIT); try again soon."}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class Connections:
    """The open connections of a server.

    One more than `most` takes the place of the one that has been without a request in progress for longest; if all have
    one, it is told that the server is full.

    Args:
        most: how many there may be.
        idle_s: see `IDLE_S`.
        stalled_s: see `STALLED_S`.
    """

    def __init__(self, most: int, idle_s: float = IDLE_S, stalled_s: float = STALLED_S) -> None:
        self.most, self._idle_s, self._stalled_s = most, idle_s, stalled_s
        self.busy: set[_Connection] = set()
        self.idle: dict[_Connection, float] = {}  # since when, in that order

    def admit(self, connection: _Connection) -> bool:
        """Count a new connection; False if there is no place for it."""
        if len(self.busy) + len(self.idle) >= self.most:
            longest = next((other for other in self.idle if not other.unsent), None)
            if longest is None:
                return False
            self._close(longest)
        self.rest(connection)
        return True

    def rest(self, connection: _Connection) -> None:
        """Note that no request is in progress on a connection from now on."""
        self.busy.discard(connection)
        self.idle[connection] = asyncio.get_running_loop().time()

    def work(self, connection: _Connection) -> None:
        """Note that a request is in progress on a connection."""
        self.idle.pop(connection, None)
        self.busy.add(connection)

    def forget(self, connection: _Connection) -> None:
        """Note that a connection is closed."""
        self.idle.pop(connection, None)
        self.busy.discard(connection)

    def close_overdue(self) -> None:
        """Close the connections that have taken too long, and come back in a second."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [*self.idle, *self.busy]:
            still = now - connection.last_moved(now)
            if connection.unsent:
                overdue = still > self._stalled_s
            else:
                overdue = connection in self.idle and min(still, now - self.idle[connection]) > self._idle_s
            if overdue:
                self._close(connection)
        loop.call_later(_EVERY_S, self.close_overdue)

    def _close(self, connection: _Connection) -> None:
        self.forget(connection)
        connection.transport.abort()


_current: ContextVar[_Connection | None] = ContextVar("connection", default=None)


class _Connection(asyncio.Protocol):
    """Passes everything on to the server's own protocol, if there is a place for the connection."""

    transport: asyncio.Transport

    def __init__(self, server: asyncio.Protocol, connections: Connections) -> None:
        self._server, self._connections = server, connections
        self._requests = 0
        self._admitted = False
        self._unsent, self._moved = 0, float("-inf")

    @property
    def unsent(self) -> int:
        """How much of its answers the client has yet to take, in bytes."""
        return self.transport.get_write_buffer_size()

    def last_moved(self, now: float) -> float:
        """When that was last seen to change; called every second."""
        if self.unsent != self._unsent:
            self._unsent, self._moved = self.unsent, now
        return self._moved

    def begin(self) -> None:
        """A request is complete enough to be worked on."""
        self._requests += 1
        self._connections.work(self)

    def end(self) -> None:
        """It is answered."""
        self._requests -= 1
        if self._requests:
            return
        if self.transport.is_closing():
            self._connections.forget(self)
        else:
            self._connections.rest(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._admitted = self._connections.admit(self)
        if self._admitted:
            self._server.connection_made(transport)
        else:
            transport.write(_REFUSAL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            before = _current.set(self)  # the task that answers the request inherits it
            try:
                self._server.data_received(data)
            finally:
                _current.reset(before)

    def eof_received(self) -> bool | None:
        return self._server.eof_received() if self._admitted else None

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.forget(self)
        if self._admitted:
            self._server.connection_lost(error)

    def pause_writing(self) -> None:
        if self._admitted:
            self._server.pause_writing()

    def resume_writing(self) -> None:
        if self._admitted:
            self._server.resume_writing()


class InProgress:
    """ASGI middleware, the outermost: notes on which connection a request is in progress."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = _current.get()
        if connection is None:
            await self.app(scope, receive, send)
            return
        connection.begin()
        try:
            await self.app(scope, receive, send)
        finally:
            connection.end()


def limit_connections(loop: asyncio.AbstractEventLoop, connections: Connections) -> None:
    """Count the connections of every server that the loop opens from now on.

    Args:
        loop: the running loop.
        connections: what they are counted in; the application must be inside `InProgress`.
    """
    create_server = loop.create_server

    async def create_counted(factory: Callable[[], asyncio.Protocol], *args: Any, **more: Any) -> Any:
        waiting = more.get("backlog", _AT_A_TIME)
        more["backlog"] = min(waiting, _AT_A_TIME)
        if more.get("ssl") is not None:
            more.setdefault("ssl_handshake_timeout", _HANDSHAKE_S)
        server = await create_server(lambda: _Connection(factory(), connections), *args, **more)
        for listening in server.sockets:  # as many may wait as before: asyncio has one number for both
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(waiting)
        return server

    loop.create_server = create_counted  # type: ignore[method-assign,assignment]
    loop.call_soon(connections.close_overdue)


def most_connections(wanted: int) -> int:
    """As many connections as are wanted, but at most half of the process's file descriptors: the rest is for files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft // 2))
