"""Puts the guard in front of MONAI Label's application, however that was started."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException
from monailabel.main import Main
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from treatment_response.problems import DataProblem

from pulsar_app.server import datastore_routes, dicom_proxy, infer, job_routes, login, pages, sessions, task_routes
from pulsar_app.server.audit import Audit, folder_of_log
from pulsar_app.server.connections import Connections, InProgress, limit_connections, most_connections
from pulsar_app.server.discreet import make_logs_discreet
from pulsar_app.server.errors import Errors, handle
from pulsar_app.server.gate import Gate
from pulsar_app.server.headers import SafeHeaders
from pulsar_app.server.settings import cross_origins, login_needed, server_settings

logger = logging.getLogger(__name__)


def secure(app: FastAPI, study_of: Callable[[str], str] = str) -> None:
    """Replace all of MONAI Label's routes by checked ones, and put login, errors and logs under the guard's rules.

    What is not in the guard's own list of routes is closed. MONAI Label makes its app while its server starts, when the
    middleware of the application is already built; it is built anew here, and serves every request after this one.
    Calling it again changes nothing.

    Args:
        app: MONAI Label's application, `monailabel.app.app`.
        study_of: Study Instance UID of an image's id, or the id itself where it is not known; for the audit log.

    Raises:
        DataProblem: the audit log's secret is damaged.
    """
    make_logs_discreet()
    if getattr(app.state, "guarded", False):
        return
    app.router.routes.clear()
    app.openapi_url = app.docs_url = app.redoc_url = None
    # No route knows more than two files, and each that is larger than 1 MiB is an open file.
    for routes in (infer, job_routes, task_routes, datastore_routes, sessions, dicom_proxy, login, pages):
        app.include_router(
            routes.router(), prefix=settings.MONAI_LABEL_API_STR, form_limits={"max_files": 4, "max_fields": 32}
        )
    app.user_middleware[:] = [
        Middleware(
            CORSMiddleware,
            allow_origins=cross_origins(),
            allow_credentials=True,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        ),
        Middleware(SafeHeaders),
        Middleware(Audit, study_of=study_of, folder=folder_of_log()),
        Middleware(Errors),
        Middleware(Gate),
    ]
    for kind in (DataProblem, HTTPException, RequestValidationError, MONAILabelException):
        app.exception_handlers[kind] = handle
    app.middleware_stack = InProgress(app.build_middleware_stack())
    _limit_connections()
    app.state.guarded = True
    _warn_of_open_doors(sys.argv[1:])


def _limit_connections() -> None:
    """Limit the connections of the server that is about to listen, if one is."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # the app is used without a server
        return
    limit_connections(loop, Connections(most_connections(server_settings().connection_limit)))


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
