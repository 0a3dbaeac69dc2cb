"""The server's own small pages: who it is, whether it lives, its log, its model, the last answer of an image."""

from __future__ import annotations

import html
from collections import deque
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from monailabel.interfaces.utils.app import app_instance
from treatment_response.notice import RESEARCH_ONLY
from treatment_response.problems import Problem

from pulsar_app.server import ids
from pulsar_app.server.errors import answer
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.infer import check_model
from pulsar_app.server.problems import Refused, not_found
from pulsar_app.server.readiness import Readiness
from pulsar_app.server.roles import Role, requires
from pulsar_app.server.settings import log_file, login_needed
from pulsar_app.viewers.ohif import monai_label_pages

_HOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto">
<h1>{name}</h1>
<p><strong>For research use only.</strong> Not a medical device; no decision about a patient may rest on it.</p>
<ul>
<li><a href="ohif/">OHIF viewer</a></li>
<li><a href="info/">What this server offers</a> (3D Slicer: enter this page's address as the MONAI Label server)</li>
<li><a href="health">Health</a></li>
</ul></body></html>
"""


def router() -> APIRouter:
    """`/`, `/health`, `/ready`, `/info/`, `/logs/`, `/model/…` and `/answers/…`."""
    routes = APIRouter(route_class=GuardedRoute)
    user, admin = [requires(Role.USER)], [requires(Role.ADMIN)]
    readiness = Readiness()

    @routes.get("/", dependencies=user)
    async def home() -> HTMLResponse:
        return HTMLResponse(_HOME.format(name=html.escape(str(app_instance().name))))

    # Not one of the threads that may all be busy: a health check must not wait.
    @routes.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "login": login_needed(), "notice": RESEARCH_ONLY}

    @routes.get("/ready")
    async def ready() -> Response:
        if await readiness():
            return JSONResponse({"status": "ready"})
        return answer(503, "The server is up, but does not get its work done; look at its log, or restart it.")

    @routes.get("/ohif/{path:path}", dependencies=user)
    async def viewer(request: Request, path: str) -> Response:
        return await monai_label_pages().get_response(path, request.scope)

    @routes.get("/info/", dependencies=user)
    def info(StudyInstanceUID: str = "") -> dict[str, Any]:
        instance = app_instance()
        return dict(instance.info_of(ids.study(StudyInstanceUID)) if StudyInstanceUID else instance.info())

    @routes.get("/logs/", dependencies=admin)
    def logs(lines: Annotated[int, Query(ge=1, le=10000)] = 300) -> PlainTextResponse:
        if not log_file().is_file():
            raise not_found("server", "it has not written a log yet", "try again later")
        with log_file().open(encoding="utf-8", errors="replace") as file:
            return PlainTextResponse("".join(deque(file, lines)))

    @routes.get("/model/info/{model}", dependencies=admin)
    def model_info(model: str) -> dict[str, Any]:
        _model_file(model)
        return dict(app_instance().model_info(model))

    @routes.get("/model/{model}", dependencies=admin)
    def model_file(model: str) -> FileResponse:
        path = _model_file(model)
        return FileResponse(path, media_type="application/octet-stream", filename=f"{model}{path.suffix}")

    @routes.put("/model/{model}", dependencies=admin)
    @routes.delete("/model/{model}", dependencies=admin)
    def replace_model(model: str) -> Response:
        raise Refused(
            Problem("server", "the model's file is not changed over the network", "start it with --conf model FILE")
        )

    @routes.get("/answers/{image}", dependencies=user)
    def last_answer(image: str) -> dict[str, Any]:
        instance = app_instance()
        found = instance.answers.get(ids.known_image(instance.datastore(), image))
        if found is None:
            raise not_found("image", "nothing was predicted on it since the server started", "run the model on it")
        return dict(found)

    return routes


def _model_file(model: str) -> Path:
    instance = app_instance()
    check_model(instance, model)
    file = instance.model_file(model)
    if not file or not Path(file).is_file():
        raise not_found("model", "it has no file of its own", "ask for another model")
    return Path(file)
