"""A limit on what a request may send, whether it says its length or not."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsar_app.server.errors import answer

WITHOUT_FILES = 2**20
"""Largest body in bytes that brings no files: JSON is read as a whole before anything of it is looked at."""

TOO_LARGE = "The request is larger than this server takes (PULSAR_SERVER_UPLOAD_LIMIT_MB)."


class BodyLimit:
    """ASGI middleware: 413 before a too large body is read to its end.

    Starlette has one of its own, which answers in plain text.

    Args:
        app: the application behind it.
        limit: in bytes, for requests that bring files.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        files = headers.get(b"content-type", b"").lower().startswith(b"multipart/")
        limit = self.limit if files else min(self.limit, WITHOUT_FILES)
        said = headers.get(b"content-length", b"0")
        if not said.isdigit() or int(said) > limit:
            await answer(413, TOO_LARGE)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:  # FastAPI lets this through to the handler of its kind
                raise HTTPException(413, TOO_LARGE)
            return message

        await self.app(scope, counted, send)
