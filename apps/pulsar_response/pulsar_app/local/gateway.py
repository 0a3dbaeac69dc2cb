"""One address for everything: the review viewer, the PACS's DICOMweb (reading only) and the MONAI Label server.

A viewer's page may only read from where it came from, and Orthanc allows no one else; so all that the pages need is
behind one origin::

    /dicom-web/…                      Orthanc, GET only
    /infer/…, /info/, /ohif/…, …      the MONAI Label server
    everything else                   OHIF for review; an unknown path is its index page, as its router expects

It is for this machine: it listens on loopback, asks for no login, and answers only to the names of this machine. The
server is told under which of them it was asked, since it takes nothing from pages of another origin.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from treatment_response.problems import DataProblem, Problem

from pulsar_app.local.processes import LOOPBACK, free_port
from pulsar_app.server.connections import Connections, InProgress, limit_connections, most_connections
from pulsar_app.server.headers import SafeHeaders
from pulsar_app.server.reverse_proxy import pass_back, pass_on
from pulsar_app.server.settings import server_settings
from pulsar_app.viewers.pages import SCRIPTS
from pulsar_app.viewers.review_pages import ReviewPages

DEPLOY = Path(__file__).parents[2] / "deploy"
# First parts of the MONAI Label server's paths, and of this app's own beside them.
SERVER_PATHS = frozenset(
    {"activelearning", "answers", "auth", "batch", "datastore", "docs", "health", "info", "infer", "jobs", "logs"}
    | {"model", "ohif", "openapi.json", "proxy", "ready", "scoring", "session", "static", "train"}
)
# Of one connection, and not of what is sent over it (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer"}
    | {b"transfer-encoding", b"upgrade"}
)
TIMEOUT = httpx.Timeout(600, connect=10)


def gateway(pages: Path, orthanc: str, server: str) -> Starlette:
    """The gateway as an ASGI application.

    Args:
        pages: folder of OHIF's pages.
        orthanc: root of the PACS's REST interface; its DICOMweb services are in ``/dicom-web``.
        server: root of the MONAI Label server.
    """
    # OHIF's reader of segmentations (ndarray) compiles its own code; without that it loads them for ever.
    settings = {"app-config.js": DEPLOY / "app-config.js"}
    viewer = ReviewPages(pages, "/", SCRIPTS, instead=settings, evaluates=True)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limit_connections(asyncio.get_running_loop(), Connections(most_connections(server_settings().connection_limit)))
        # A proxy in the environment is for the world outside, and what is asked for here is on this machine.
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client:
            app.state.client = client
            yield

    async def archive(request: Request) -> Response:
        return await _forward(request, orthanc, HOP_BY_HOP | {b"host"})

    async def route(request: Request) -> Response:
        path = request.path_params["path"]
        if path.split("/", 1)[0] in SERVER_PATHS:
            return await _forward(request, server, HOP_BY_HOP)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("There is nothing here that takes this request.", 405)
        return await viewer.get_response(path, request.scope)

    return Starlette(
        routes=[
            Route("/dicom-web/{path:path}", archive, methods=["GET"]),
            Route("/{path:path}", route, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ],
        middleware=[
            Middleware(InProgress),
            Middleware(SafeHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"]),
        ],
        lifespan=lifespan,
    )


async def _forward(request: Request, origin: str, without: frozenset[bytes]) -> Response:
    """Pass the request on as it is, ``without`` some headers, and stream the answer back as it comes."""
    if ".." in request.path_params["path"].split("/"):
        # It would leave the part of the server that is open here.
        return PlainTextResponse("A path with '..' is not passed on.", 400)
    raw_path: bytes = request.scope["raw_path"]
    url = origin + raw_path.decode("ascii")
    if request.url.query:
        url += f"?{request.url.query}"
    headers = [(name, value) for name, value in request.headers.raw if name not in without]
    try:
        answer = await pass_on(request.app.state.client, request, url, headers)
    except httpx.TransportError:
        return PlainTextResponse("The server behind this address does not answer; is it still running?", 502)
    return pass_back(answer, lambda name: name not in HOP_BY_HOP)


class Gateway:
    """The gateway, listening on loopback from a thread of this process, as a context manager.

    Args:
        port: wanted port; another free one is taken if it is in use. 0: any.
        pages, orthanc, server: see `gateway`.
        listen: address to listen on; another than loopback only inside a container that maps the port to loopback.
    """

    def __init__(self, port: int, pages: Path, orthanc: str, server: str, listen: str = LOOPBACK) -> None:
        self.port = free_port(port)
        config = uvicorn.Config(
            gateway(pages, orthanc, server), host=listen, port=self.port, log_level="warning", access_log=False
        )
        config.timeout_graceful_shutdown = 3
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="gateway", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive() and self._server.started

    def __enter__(self) -> Gateway:
        self._thread.start()
        while self._thread.is_alive() and not self._server.started:
            self._thread.join(0.02)
        if not self._thread.is_alive():
            raise DataProblem(Problem(f"port {self.port}", "was taken by another program meanwhile", "start again"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
