"""The gate in front of every route: which machine asks, under which name, from which page, and with which token."""

from __future__ import annotations

import ipaddress
import logging
import re

import anyio
from fastapi import Request
from monailabel.config import settings
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from treatment_response.problems import DataProblem

from pulsar_app.server.errors import answer, answer_to
from pulsar_app.server.roles import LOCAL_USER
from pulsar_app.server.settings import cross_origins, login_needed, server_settings
from pulsar_app.server.tokens import InvalidToken, Provider, user_of

logger = logging.getLogger(__name__)

OPEN = ("/health", "/ready", "/auth", "/auth/", "/auth/token")
"""What answers without a token."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_OF_PROXIES = ("forwarded", "via", "x-real-ip")
"""Headers by which a proxy tells for whom it asks; only of ``X-Forwarded-For`` uvicorn makes the sender."""

_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADDRESS = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
_PORTS = {"http": 80, "https": 443}


class Gate:
    """ASGI middleware; what it lets through has `request.state.user`, except the addresses that need no token.

    Without login the server answers its own machine only, unless its settings open it: a page elsewhere in the web
    could otherwise reach it through the user's browser, under a name of its own (DNS rebinding) or by a form.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.provider = Provider(settings.MONAI_LABEL_AUTH_REALM_URI)
        self.origins = frozenset(cross_origins())
        # Tokens are checked beside long jobs, never queued behind them.
        self.limiter = anyio.CapacityLimiter(4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            request = Request(scope)
            refusal = self._refuse_sender(request) or await self._refuse_token(request)
            await (refusal or self.app)(scope, receive, send)

    def _refuse_sender(self, request: Request) -> Response | None:
        ours = server_settings()
        guarded = login_needed() or ours.open_to_network
        if not guarded and not _is_loopback(request.client.host if request.client else ""):
            return answer(
                403, "Without login this server answers its own machine only (PULSAR_SERVER_OPEN_TO_NETWORK)."
            )
        if not guarded and any(name in request.headers for name in _OF_PROXIES):
            return answer(
                403, "Without login this server answers nobody through a proxy (PULSAR_SERVER_OPEN_TO_NETWORK)."
            )
        host, port = _name_and_port(request.headers.get("host", ""))
        if (ours.hosts or not guarded) and host not in LOOPBACK | ours.hosts:
            return answer(403, "This server is not known under that name (PULSAR_SERVER_ALLOWED_HOSTS).")
        origins = [] if request.method in _HARMLESS else request.headers.getlist("origin")
        if not all(self._is_own_page(origin, host, port) for origin in origins):
            return answer(403, "Pages of other sites cannot use this server (MONAI_LABEL_CORS_ORIGINS).")
        return None

    def _is_own_page(self, origin: str, host: str, port: int | None) -> bool:
        """Whether a page comes from this server, by the name and port that it was asked under, or may use it."""
        if origin in self.origins:
            return True
        parts = _ORIGIN.fullmatch(origin.lower())
        if parts is None:  # "null" of a page without an address, several, or nonsense
            return False
        usual = _PORTS[parts[1]]
        name, other = _name_and_port(parts[2])
        return (name == host or {name, host} <= LOOPBACK) and bool(name) and (other or usual) == (port or usual)

    async def _refuse_token(self, request: Request) -> Response | None:
        if not login_needed():
            request.state.user = LOCAL_USER
            return None
        if _own_path(request.scope) in OPEN:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return unauthorised("Log in first: this needs a token.")
        try:
            request.state.user = await anyio.to_thread.run_sync(
                user_of, token.strip(), self.provider, limiter=self.limiter
            )
        except InvalidToken as error:
            return unauthorised(str(error))
        except DataProblem as error:
            return answer_to(error)
        return None


def _name_and_port(authority: str) -> tuple[str, int | None]:
    """Lower-case name and port, if given, of a ``Host`` header or the like; an empty name if it is not one."""
    parts = _ADDRESS.fullmatch(authority.lower())
    return (parts[1] or parts[2], int(parts[3]) if parts[3] else None) if parts else ("", None)


def unauthorised(sentence: str) -> Response:
    """The answer to who has no valid token."""
    return answer(401, sentence, {"WWW-Authenticate": "Bearer"})


def _own_path(scope: Scope) -> str:
    """The path without what a proxy or MONAI Label's settings put before it, as the routes are declared."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.removeprefix(settings.MONAI_LABEL_API_STR)


def _is_loopback(host: str) -> bool:
    if not host:  # a socket of this machine that has no address
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
