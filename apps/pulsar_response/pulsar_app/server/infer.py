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

from pulsar_app.jobs.case_jobs import State
from pulsar_app.server import ids, uploads
from pulsar_app.server.guarded_route import GuardedRoute
from pulsar_app.server.parameters import json_object, refuse_paths, without_identity
from pulsar_app.server.problems import not_found
from pulsar_app.server.roles import CurrentUser, Role, requires
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
        user: CurrentUser,
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: Output = Output.ALL,
    ) -> Response:
        return await in_worker(partial(_infer, user.username, model, image, session_id, params, file, label, output))

    return routes


def check_model(instance: MONAILabelApp, model: str) -> None:
    """Refuse a model that the app does not have.

    Raises:
        NotFound: naming the models that it has.
    """
    if model not in instance._infers:
        raise not_found("model", "there is none of this name", f"choose {' or '.join(instance._infers)}")


def _infer(
    user: str,
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
        raise DataProblem(Problem("request", "it names no image", "send image, session_id or file"))
    request = {**_parameters(params, model, image), "model": model}
    if _as_job(request, instance._infers[model]):
        if file is not None or label is not None:
            what = "a job works on an image that the server keeps, and on nothing that is sent along"
            raise DataProblem(Problem("job", what, "send the image as a session, or save it in the datastore"))
        instance._infers[model].check(request)
        return _start_job(instance, request, user, image, session_id, output)
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


def _as_job(request: dict[str, Any], task: Any) -> bool:
    """Whether a request is to be a job: it asks for one, or its model takes long; the parameter is taken out."""
    wanted = request.pop("job", False)
    if not isinstance(wanted, bool):
        raise DataProblem(Problem("job", "the value is not true or false", "give true or false"))
    return wanted or bool(task.long_work)


def _start_job(
    instance: Any, request: dict[str, Any], user: str, image: str, session_id: str, output: Output
) -> Response:
    """The result of the same request if it was answered a moment ago, else the job that will answer it (202)."""
    if session_id:
        request["image"] = str(session_image(instance, session_id))
    else:
        request["image"] = ids.known_image(instance.datastore(), image)
    weights = instance._infers[request["model"]].weights
    job = instance.jobs.start(request, user, session_id or image, weights)
    if job.state is State.DONE:
        answered, written = instance.jobs.result(job)
        return answer_as(answered, written, output)
    return JSONResponse(job.told(), status_code=202, headers={"Location": f"/jobs/{job.id}"})


def answer_as(answered: dict[str, Any], written: Path | None, output: Output) -> Response:
    """An answer as MONAI Label sends it.

    Args:
        answered: the JSON. written: the file of the label map, if there is one.

    Raises:
        NotFound: only the label map was asked for, and there is none.
    """
    if output is Output.JSON:
        return JSONResponse(answered)
    if written is None or not written.is_file():
        if output is Output.IMAGE:
            raise not_found("image", str(answered.get("message") or "there is no label map"), "ask for output=json")
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


def _answer(result: dict[str, Any], output: Output) -> Response:
    """The app's result as MONAI Label sends it; its temporary file is gone afterwards."""
    written = Path(result["file"]) if result.get("file") else None
    try:
        return answer_as(result.get("params") or {}, written, output)
    finally:
        if written is not None:
            with suppress(OSError):
                written.unlink()
