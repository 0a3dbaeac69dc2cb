"""Puts the guard in front of MONAI Label's application, however that was started."""

from __future__ import annotations

import logging
import sys

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException
from monailabel.main import Main
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from treatment_response.problems import DataProblem

from pulsar_app.server import datastore_routes, dicom_proxy, infer, login, pages, sessions, task_routes
from pulsar_app.server.body_limit import BodyLimit
from pulsar_app.server.discreet import make_logs_discreet
from pulsar_app.server.errors import Errors, handle
from pulsar_app.server.gate import Gate
from pulsar_app.server.headers import SafeHeaders
from pulsar_app.server.settings import cross_origins, login_needed, server_settings

logger = logging.getLogger(__name__)


def secure(app: FastAPI) -> None:
    """Replace all of MONAI Label's routes by checked ones, and put login, errors and logs under the guard's rules.

    What is not in the guard's own list of routes is closed. MONAI Label makes its app while its server starts, when the
    middleware of the application is already built; it is built anew here, and serves every request after this one.
    Calling it again changes nothing.

    Args:
        app: MONAI Label's application, `monailabel.app.app`.
    """
    make_logs_discreet()
    if getattr(app.state, "pulsar_guard", False):
        return
    app.router.routes.clear()
    app.openapi_url = app.docs_url = app.redoc_url = None
    for routes in (infer, task_routes, datastore_routes, sessions, dicom_proxy, login, pages):
        app.include_router(routes.router(), prefix=settings.MONAI_LABEL_API_STR)
    app.user_middleware[:] = [
        Middleware(
            CORSMiddleware,
            allow_origins=cross_origins(),
            allow_credentials=True,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        ),
        Middleware(SafeHeaders),
        Middleware(Errors),
        Middleware(Gate),
        Middleware(BodyLimit, limit=server_settings().upload_limit),
    ]
    for kind in (DataProblem, HTTPException, RequestValidationError, MONAILabelException):
        app.exception_handlers[kind] = handle
    app.middleware_stack = app.build_middleware_stack()
    app.state.pulsar_guard = True
    _warn_of_open_doors(sys.argv[1:])


def _warn_of_open_doors(arguments: list[str]) -> None:
    """Say what an administrator should know about how the server was started.

    Args:
        arguments: the command line of MONAI Label; other programs that load the application have none of these.
    """
    ours = server_settings()
    known, _ = Main().args_parser().parse_known_args(arguments) if "start_server" in arguments else (None, None)
    host = known.host if known else ""
    if login_needed() or host in ("127.0.0.1", "localhost", "::1"):
        return
    if ours.open_to_network:
        logger.warning(
            "NO LOGIN, and PULSAR_SERVER_OPEN_TO_NETWORK is set: whoever reaches this port sees the patients. "
            "Set MONAI_LABEL_AUTH_ENABLE, see docs/how-to/secure-the-server.md."
        )
    elif host:
        logger.warning(
            "Listening on %s without login: only this machine is answered. Start with --host 127.0.0.1, or set up a "
            "login, see docs/how-to/secure-the-server.md.",
            host,
        )
