"""`/proxy/dicom/…`: the DICOMweb services of the archive, for the viewer's page, with the query that was asked.

MONAI Label's own proxy drops the query, so that a viewer that asks for one study is shown every patient's.
"""

from __future__ import annotations

import logging
import re

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import Response
from monailabel.config import settings

from pulsar_app.server.errors import answer
from pulsar_app.server.guarded_route import StreamingRoute
from pulsar_app.server.problems import not_found
from pulsar_app.server.reverse_proxy import pass_back, pass_on
from pulsar_app.server.roles import Role, requires
from pulsar_app.server.settings import server_settings

logger = logging.getLogger(__name__)

_UID = r"[0-9.]{1,64}"
_SERIES = rf"series/{_UID}"
_INSTANCE = rf"instances/{_UID}"
SEARCH = re.compile(
    rf"studies|series|instances|studies/{_UID}/(series|instances)|studies/{_UID}/{_SERIES}/instances|{_SERIES}/instances"
)
"""Resources of QIDO-RS (PS3.18, 10.6.1)."""

RETRIEVE = re.compile(
    rf"studies/{_UID}(/{_SERIES}(/{_INSTANCE}(/frames/[0-9]+(,[0-9]+)*)?)?)?(/metadata|/rendered|/thumbnail)?"
    rf"|studies/{_UID}/{_SERIES}/{_INSTANCE}/bulk(data)?(/[0-9A-Za-z]+)+"
)
"""Resources of WADO-RS (PS3.18, 10.4.1), and the bulk data to which an archive's metadata refer."""

STORE = re.compile(rf"studies(/{_UID})?")
"""Resources of STOW-RS (PS3.18, 10.5.1)."""

_ASKED = ("accept", "accept-encoding", "if-none-match")
_STORED = ("accept", "content-type", "content-length")
_ANSWERED = frozenset({b"content-type", b"content-encoding", b"content-length", b"etag", b"last-modified"})
_CONNECT_S = 5.0


def router() -> APIRouter:
    """`GET /proxy/dicom/…` for QIDO-RS and WADO-RS; `POST` for STOW-RS if the settings allow it."""
    routes = APIRouter(route_class=StreamingRoute, prefix="/proxy/dicom", dependencies=[requires(Role.USER)])

    @routes.get("/{path:path}")
    async def read(request: Request, path: str) -> Response:
        resource = _resource(path)
        if SEARCH.fullmatch(resource):
            prefix = settings.MONAI_LABEL_QIDO_PREFIX
        elif RETRIEVE.fullmatch(resource):
            prefix = settings.MONAI_LABEL_WADO_PREFIX
        else:
            raise not_found("address", "it is no resource of DICOMweb", "ask for studies, series or instances")
        return await _forward(request, resource, prefix, _ASKED)

    @routes.post("/{path:path}", dependencies=[requires(Role.ANNOTATOR)])
    async def store(request: Request, path: str) -> Response:
        resource = _resource(path)
        if not server_settings().allow_stow:
            return answer(403, "This server does not store for its clients (PULSAR_SERVER_ALLOW_STOW).")
        if not STORE.fullmatch(resource):
            raise not_found("address", "nothing can be stored there", "send DICOM objects to studies")
        return await _forward(request, resource, settings.MONAI_LABEL_STOW_PREFIX, _STORED)

    return routes


def _resource(path: str) -> str:
    """The part of the address that DICOMweb defines; MONAI Label puts the service's name before it."""
    service, _, rest = path.partition("/")
    return (rest if service in ("qido", "wado", "stow") else path).rstrip("/")


async def _forward(request: Request, resource: str, prefix: str | None, headers: tuple[str, ...]) -> Response:
    root = settings.MONAI_LABEL_STUDIES.rstrip("/")
    if not root.startswith(("http://", "https://")):
        raise not_found("server", "it works on a folder and has no archive", "start it with a DICOMweb address")
    address = "/".join(part.strip("/") for part in (prefix or "", resource) if part)
    asked = [(name, request.headers[name]) for name in headers if name in request.headers]
    if odd := [name for name, value in asked if not value.isascii()]:
        return answer(400, f"The header {odd[0]} is not plain ASCII; leave it out or write it as HTTP does.")
    url = httpx.URL(f"{root}/{address}").copy_with(query=request.scope["query_string"] or None)
    try:
        got = await pass_on(_client(request), request, url, [(name.encode(), value.encode()) for name, value in asked])
    except httpx.TimeoutException:
        return answer(504, "The archive took too long to answer; try again later.")
    except httpx.HTTPError as error:
        logger.warning("the archive does not answer: %s", type(error).__name__)
        return answer(502, "The archive does not answer; check that it is running.")
    if got.is_success or got.status_code == 304:
        return pass_back(got, _ANSWERED.__contains__)
    await got.aclose()
    return _refusal(got.status_code)


def _refusal(status: int) -> Response:
    """What the archive refused, without its own page, which can name its machine and software."""
    if status in (404, 410):
        return answer(404, "The archive has nothing of that kind.")
    if status in (400, 406, 409, 413, 415):
        return answer(status, f"The archive does not take this request ({status}).")
    return answer(502, f"The archive refuses or fails ({status}).")


def _client(request: Request) -> httpx.AsyncClient:
    """One client per application; the user's own headers, such as a token, never reach the archive."""
    state = request.app.state
    if not hasattr(state, "archive_client"):
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        state.archive_client = httpx.AsyncClient(
            auth=(user, password) if user and password else None,
            timeout=httpx.Timeout(settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT, connect=_CONNECT_S),
            follow_redirects=False,
        )
    return state.archive_client
