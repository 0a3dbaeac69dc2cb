"""Every fault leaves the server as one sentence, ``{"detail": …}``; what nobody expected gets an incident number.

The log then holds, under that number, what kind of error it was and the places in the code, but not the error's own
text: texts of libraries quote what they read, such as a birth date that does not parse.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from treatment_response.files import is_full_disk
from treatment_response.problems import DataProblem

from pulsar_app.server.problems import status_of

logger = logging.getLogger(__name__)

CLOSED = (
    "/docs",
    "/openapi.json",
    "/reload",
    "/static",
    "/infer/wsi",
    "/scoring",
    "/datastore/dataset",
    "/datastore/updatelabelinfo",
    "/logs/gpu",
)
"""Parts of MONAI Label that this server does not have."""

_RETRY_S = "5"


class UnfinishedAnswer(Exception):
    """An answer that had begun cannot be finished, and the log says why already."""


def answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A fault as the client sees it; one that will pass says when to try again."""
    again = {"Retry-After": _RETRY_S} if status in (429, 503) else {}
    return JSONResponse({"detail": " ".join(sentence.split())}, status_code=status, headers=again | (headers or {}))


def answer_to(error: Exception, path: str = "") -> JSONResponse:
    """The answer to any exception that a request raised.

    Args:
        error: what was raised.
        path: path of the request, for the sentence on what is not here.
    """
    if isinstance(error, DataProblem):
        return answer(status_of(error), str(error))
    if isinstance(error, HTTPException) and not is_full_disk(error.__cause__):
        return answer(error.status_code, _http_sentence(error, path), dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return answer(422, _validation_sentence(error.errors()))
    if isinstance(error, ImageNotFoundException | LabelNotFoundException):
        return answer(404, f"{error.msg}.")
    if isinstance(error, MONAILabelException) and error.error == MONAILabelError.INVALID_INPUT:
        return answer(400, f"{error.msg}.")
    if isinstance(error, requests.RequestException):
        return answer(502, f"The archive did not answer as it should (incident {record(error)}); try again later.")
    # FastAPI blames a body that it could not keep on the client.
    if is_full_disk(error) or is_full_disk(error.__cause__):
        return answer(507, f"The server's disk is full (incident {record(error)}); tell its administrator.")
    return answer(500, f"The server failed (incident {record(error)}); its log says where.")


def record(error: BaseException) -> str:
    """Write an unexpected error to the log, without its text, and return its incident number."""
    incident = uuid.uuid4().hex[:8]
    places = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-12:]
    ]
    logger.error("incident %s: %s at %s", incident, type(error).__name__, " > ".join(places) or "no place known")
    logger.debug("incident %s", incident, exc_info=error)
    return incident


async def handle(request: Request, error: Exception) -> JSONResponse:
    """Exception handler of the application for all exceptions that `answer_to` knows."""
    return answer_to(error, request.url.path)


class Errors:
    """ASGI middleware that turns whatever the application raises into an answer, so that no server logs its text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:  # too late for another answer: the server closes the connection on the unfinished one
                if not isinstance(error, UnfinishedAnswer):
                    record(error)
                return
            await answer_to(error, scope["path"])(scope, receive, send)


def _http_sentence(error: HTTPException, path: str) -> str:
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        if any(path == closed or path.startswith(f"{closed}/") for closed in CLOSED):
            return "This part of MONAI Label is closed here: the model does not need it."
        return "There is nothing at this address."
    if error.status_code == 405:
        return "This address does not take that method."
    said = str(error.detail)
    return said if said.endswith(".") else f"{said}."


def _validation_sentence(faults: Sequence[Any]) -> str:
    said = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults]
    return f"The request does not fit: {'; '.join(said)}."
