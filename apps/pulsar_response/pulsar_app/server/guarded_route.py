"""Routes that know who asks, and how much may be sent to them, before they read any of it.

FastAPI reads a request's whole body, and writes the files in it to disk, before it asks a route's dependencies whether
the user may use the route at all.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.params import File
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from pulsar_app.server.bodies import Body, all_bodies
from pulsar_app.server.roles import current_user
from pulsar_app.server.settings import server_settings

WITHOUT_FILES = 2**20
"""Largest body in bytes of a route that takes no files: JSON is read as a whole before anything of it is looked at."""

LOGIN = 2**14
"""Largest body in bytes of a route that needs no login."""


class GuardedRoute(APIRoute):
    """A route whose roles (its ``dependencies``, made by `roles.requires`) come first, then its limit, then the body.

    The limit depends on the route alone, whatever the request says that its body is.
    """

    @property
    def body_limit(self) -> int:
        """Largest body that is taken, in bytes."""
        takes_files = self.body_field is not None and isinstance(self.body_field.field_info, File)
        most = server_settings().upload_limit
        return most if takes_files else min(most, WITHOUT_FILES)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI).

        Raises:
            HTTPException: 403, another role is needed; 408, 413 or 503, see `Body`; 405, another method is needed.
        """
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        for check in self.dependencies:
            assert check.dependency is not None
            check.dependency(current_user(Request(scope)))
        with Body(scope, receive, self.body_limit, all_bodies()) as body:
            await super().handle(scope, body.receive, send)


class StreamingRoute(GuardedRoute):
    """A route that passes a body on as it comes, with files or without."""

    @property
    def body_limit(self) -> int:
        return server_settings().upload_limit


class LoginRoute(GuardedRoute):
    """A route that anybody may use: it takes a name and a password, and nothing larger."""

    @property
    def body_limit(self) -> int:
        return LOGIN
