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
from monailabel.datastore.utils.convert import binary_to_image
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server import ids, uploads
from pulsar_app.server.parameters import json_object, without_identity
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
    routes = APIRouter(prefix="/infer", dependencies=[requires(Role.USER)])

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
        raise not_found("this request", "there is no model of that name", f"choose {' or '.join(instance._infers)}")


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
        raise DataProblem(
            Problem(
                "this request", "output=dicom_seg is not offered", 'send {"store": true} to put DICOM into the archive'
            )
        )
    if sum(map(bool, (image, session_id, file))) != 1:
        raise DataProblem(
            Problem("this request", "it must name exactly one MR", "send image, session_id or file, one of them")
        )
    request: dict[str, Any] = _parameters(params, model, image)
    with ExitStack() as stack:
        if image:
            request["image"] = ids.known_image(instance.datastore(), image)
        elif session_id:
            request["image"] = str(session_image(instance, session_id))
        elif file is not None:
            request["image"] = str(stack.enter_context(uploads.received(file, uploads.IMAGE_EXTENSIONS)))
        if label is not None:
            request["label"] = _label(stack, instance, label, image)
        result = instance.infer({**request, "model": model})
        return _answer(result or {}, output)


def _parameters(text: str, model: str, image: str) -> dict[str, Any]:
    found = json_object(text, "params")
    # Slicer names the segment that the user is drawing; a label as a file comes beside the parameters.
    if isinstance(found.get("label"), str):
        ids.name(found.pop("label"), "the label in params")
    return without_identity(found, model=model, image=image)


def _label(stack: ExitStack, instance: MONAILabelApp, label: UploadFile, image: str) -> str:
    path = stack.enter_context(uploads.received(label, uploads.LABEL_EXTENSIONS))
    if path.suffix != ".bin":
        return str(path)
    if not image:
        raise DataProblem(Problem("the uploaded label", "bare voxels need an MR", "send the id of the image as well"))
    try:
        made = Path(binary_to_image(instance.datastore().get_image_uri(image), str(path)))
    except ValueError as error:
        raise DataProblem(
            Problem("the uploaded label", "it does not have the MR's number of voxels", "draw it on this MR")
        ) from error
    stack.callback(made.unlink, missing_ok=True)
    return str(made)


def _answer(result: dict[str, Any], output: Output) -> Response:
    """The app's result as MONAI Label sends it; its temporary file is gone afterwards."""
    written = Path(result["file"]) if result.get("file") else None
    try:
        answered = result.get("params") or {}
        if output is Output.JSON:
            return JSONResponse(answered)
        if written is None or not written.is_file():
            if output is Output.IMAGE:
                raise not_found(
                    "this MR", str(answered.get("message") or "there is no label map"), "ask for output=json"
                )
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
