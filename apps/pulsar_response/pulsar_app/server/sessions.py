"""`/session/…`: an MR that a client sends to be worked on for a while, without joining the datastore."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.sessions import SessionInfo, Sessions
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server import ids, uploads
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.problems import Refused, not_found
from pulsar_app.server.roles import Role, requires
from pulsar_app.server.workers import in_worker


def router() -> APIRouter:
    """`/session/…`: create, look at, remove."""
    routes = APIRouter(route_class=GuardedRoute, prefix="/session", dependencies=[requires(Role.USER)])

    @routes.put("/")
    async def create(
        files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0
    ) -> dict[str, Any]:
        if uncompress:
            raise Refused(Problem("session", "archives are not unpacked here", "send the volume itself"))
        return await in_worker(partial(_create, files, expiry))

    @routes.get("/{session_id}")
    def look(session_id: str, update_ts: bool = False, image: bool = False) -> Response:
        found = _find(app_instance(), session_id, update_ts)
        if image:
            return FileResponse(found.image, media_type="application/octet-stream", filename=Path(found.image).name)
        return JSONResponse(_shown(found))

    @routes.delete("/{session_id}")
    def remove(session_id: str) -> dict[str, Any]:
        instance = app_instance()
        found = _find(instance, session_id)
        _sessions(instance).remove_session(session_id)
        return _shown(found)

    return routes


def session_image(instance: MONAILabelApp, session_id: str) -> Path:
    """The file of a session's MR.

    Raises:
        NotFound: there is no such session, or its file is not in the sessions' folder.
    """
    found = _find(instance, session_id, update_ts=True)
    return ids.inside(Path(_sessions(instance).store_path), Path(found.image))


def _create(files: list[UploadFile], expiry: int) -> dict[str, Any]:
    sessions = _sessions(app_instance())
    if len(files) != 1:
        raise DataProblem(Problem("session", f"it brings {len(files)} files", "send the MR as one volume"))
    with uploads.received(files[0], EXTENSIONS) as volume:
        session_id, found = sessions.add_session(str(volume), max(0, expiry))
    return {"session_id": session_id, "session_info": _shown(found)}


def _find(instance: MONAILabelApp, session_id: str, update_ts: bool = False) -> SessionInfo:
    found = _sessions(instance).get_session(ids.session(session_id), update_ts=update_ts)
    if not found:
        raise not_found("session", "there is none of this id", "create one by PUT /session/")
    return found


def _sessions(instance: MONAILabelApp) -> Sessions:
    sessions = instance.sessions()
    if sessions is None:
        raise Refused(Problem("session", "sessions are switched off", "set MONAI_LABEL_SESSIONS=true"))
    return sessions


def _shown(found: SessionInfo) -> dict[str, Any]:
    """A session without the server's own folders."""
    return {key: value for key, value in found.to_json().items() if key not in ("path", "image")}
