"""`POST /infer/{model}`: MONAI Label's request and answer, with everything that a client sends checked first."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import JSONResponse, Response
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder
from treatment_response.inference.volume_files import EXTENSIONS
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server import ids, uploads
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.parameters import json_object, refuse_paths, without_identity
from pulsar_app.server.problems import not_found
from pulsar_app.server.roles import Role, requires
from pulsar_app.server.sessions import session_image
from pulsar_app.server.workers import in_worker


class Output(StrEnum):
    """What the answer holds: the label map, the JSON, or both (`multipart/form-data`)."""

    IMAGE = "image"
    JSON = "json"
    ALL = "all"
    DICOM_SEG = "dicom_seg"


def router() -> APIRouter:
    """`POST /infer/{model}`."""
    routes = APIRouter(route_class=GuardedRoute, prefix="/infer", dependencies=[requires(Role.USER)])

    @routes.post("/{model}")
    async def infer(
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: Output = Output.ALL,
    ) -> Response:
        return await in_worker(partial(_infer, model, image, session_id, params, file, label, output))

    return routes


def check_model(instance: MONAILabelApp, model: str) -> None:
    """Refuse a model that the app does not have.

    Raises:
        NotFound: naming the models that it has.
    """
    if model not in instance._infers:
        raise not_found("model", "there is none of this name", f"choose {' or '.join(instance._infers)}")


def _infer(
    model: str,
    image: str,
    session_id: str,
    params: str,
    file: UploadFile | None,
    label: UploadFile | None,
    output: Output,
) -> Response:
    instance = app_instance()
    check_model(instance, model)
    if output is Output.DICOM_SEG:
        what = "dicom_seg is not offered"
        raise DataProblem(Problem("output", what, 'send {"store": true} to put DICOM objects into the archive'))
    if not (image or session_id or file):
        raise DataProblem(Problem("request", "it names no MR", "send image, session_id or file"))
    request = {**_parameters(params, model, image), "model": model}
    with ExitStack() as stack:
        # As in MONAI Label: Slicer names a volume of its own beside the session that holds it.
        if session_id:
            request["image"] = str(session_image(instance, session_id))
        elif file is not None:
            request["image"] = str(stack.enter_context(uploads.received(file, EXTENSIONS)))
        else:
            request["image"] = ids.known_image(instance.datastore(), image)
        if label is not None:
            request["label"] = str(stack.enter_context(uploads.received(label, EXTENSIONS)))
        return _answer(instance.infer(request), output)


def _parameters(text: str, model: str, image: str) -> dict[str, Any]:
    found = json_object(text, "params")
    # Slicer names the segment that the user is drawing; a label as a file comes beside the parameters.
    if isinstance(found.get("label"), str):
        refuse_paths({"label": found.pop("label")})
    return without_identity(found, model=model, image=image)


def _answer(result: dict[str, Any], output: Output) -> Response:
    """The app's result as MONAI Label sends it; its temporary file is gone afterwards."""
    written = Path(result["file"]) if result.get("file") else None
    try:
        answered = result.get("params") or {}
        if output is Output.JSON:
            return JSONResponse(answered)
        if written is None or not written.is_file():
            if output is Output.IMAGE:
                raise not_found("MR", str(answered.get("message") or "there is no label map"), "ask for output=json")
            return JSONResponse(answered)
        mime = get_mime_type(written.name)
        if output is Output.IMAGE:
            headers = {"Content-Disposition": f'attachment; filename="{written.name}"'}
            return Response(written.read_bytes(), media_type=mime, headers=headers)
        encoder = MultipartEncoder(
            {
                "params": (None, json.dumps(answered, allow_nan=False), "application/json"),
                "image": (written.name, written.read_bytes(), mime),
            }
        )
        return Response(encoder.to_string(), media_type=encoder.content_type)
    finally:
        if written is not None:
            with suppress(OSError):
                written.unlink()
