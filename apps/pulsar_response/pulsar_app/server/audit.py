"""Who has seen what: one line for each access, without any patient's name or id.

A line is a JSON object: ``time`` (UTC), ``user`` (of the token; ``local`` without login, null for whoever was not let
in: such lines have a file of their own, so that strangers cannot fill the log until it forgets the others), ``study``
(a keyed hash, null where a request names none), ``action`` (method and route), ``result`` (HTTP status; 499 if the
client left before the answer) and ``seconds``. The hash is the first 16 digits of HMAC-SHA-256 of the Study Instance
UID (of the image's id in a folder, or where the study is not known), with the secret in ``audit.key``: who has the log
alone cannot find out whose studies were looked at by trying all UIDs of an archive.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from treatment_response.files import write_whole
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.settings import log_file

logger = logging.getLogger(__name__)
anonymous_logger = logging.getLogger(f"{__name__}.anonymous")

LOG, ANONYMOUS_LOG, KEY = "audit.log", "audit-anonymous.log", "audit.key"
_BYTES, _FILES = 10 * 2**20, 20
"""Size of a file of the log, and how many older ones are kept."""

_TELLING = frozenset({"http", "websocket"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_PROBES = frozenset({"/health", "/ready"})
"""What machines ask all the time, and what tells nothing of any patient."""

_STUDY_NAMES = ("StudyInstanceUID", "StudyInstanceUIDs", "0020000D")
_IMAGE_NAMES = ("image", "label", "id", "session_id", "SeriesInstanceUID", "0020000E")
_STUDY = re.compile(r"\bstudies/([0-9.]{1,64})")
_SERIES = re.compile(r"\bseries/([0-9.]{1,64})")
_LONGEST_USER = 64


class Audit:
    """ASGI middleware that writes a line for each request, also for those that are refused.

    Args:
        app: the application behind it.
        study_of: Study Instance UID of an image's id, or the id itself where it is not known.
        folder: for `LOG`, `ANONYMOUS_LOG` and `KEY`; None writes nothing.

    Raises:
        DataProblem: the secret is damaged.
    """

    def __init__(self, app: ASGIApp, study_of: Callable[[str], str], folder: Path | None) -> None:
        self.app, self._study_of = app, study_of
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._secret = secret_of(folder / KEY)
            write_to(folder)
        else:
            self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _TELLING or scope["path"] in _PROBES:
            await self.app(scope, receive, send)
            return
        begin = time.monotonic()
        status = 499

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.close":
                status = 403  # what the server makes of it
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            user = _user(scope)
            studies = [study_hash(self._secret, study) for study in self._studies(scope)]
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "user": user,
                "study": studies[0] if len(studies) == 1 else studies or None,
                "action": _action(scope),
                "result": status,
                "seconds": round(time.monotonic() - begin, 3),
            }
            (anonymous_logger if user is None else logger).info("%s", json.dumps(line))

    def _studies(self, scope: Scope) -> list[str]:
        """All studies that a request names, and for images their studies or, where these are not known, the images.

        What a route does not read counts as well: a name beside the one that is read would otherwise hide it.
        """
        params = scope.get("path_params", {})
        path = str(params.get("path", ""))
        query = parse_qs(scope["query_string"].decode("latin-1"))
        studies = _STUDY.findall(path)
        images = [] if studies else _SERIES.findall(path)
        studies += [uid for name in _STUDY_NAMES for value in query.get(name, []) for uid in value.split(",")]
        images += [str(params[name]) for name in ("image", "session_id") if name in params]
        images += [value for name in _IMAGE_NAMES for value in query.get(name, [])]
        images += scope.get("state", {}).get("images", [])  # what a route shows that its address does not name
        return list(dict.fromkeys([*studies, *(self._study_of(image) for image in images)]))


class _AuditFile(RotatingFileHandler):
    """A file of the log; a line that it does not take, as on a full disk, goes to the console."""

    def handleError(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"the audit log cannot be written: {record.getMessage()}\n")


def study_hash(secret: bytes, study: str) -> str:
    """What stands for a study in the log: 16 hexadecimal digits."""
    return hmac.new(secret, study.encode("utf-8", errors="surrogateescape"), hashlib.sha256).hexdigest()[:16]


def secret_of(file: Path) -> bytes:
    """The installation's secret of 32 bytes, made when it is first needed; the file holds it as hexadecimal digits.

    Raises:
        DataProblem: the file holds something else.
    """
    if not file.exists():
        write_whole(file, secrets.token_hex(32))
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        what = "it does not hold 64 hexadecimal digits"
        raise DataProblem(
            Problem(f"the audit log's secret ({file.name})", what, "restore it, or delete it: a new one is made")
        )
    return bytes.fromhex(text)


def write_to(folder: Path) -> None:
    """Let the lines go to files of a folder, and nowhere else; calling it again moves them."""
    for lines, name in ((logger, LOG), (anonymous_logger, ANONYMOUS_LOG)):
        for handler in lines.handlers[:]:
            lines.removeHandler(handler)
            handler.close()
        handler = _AuditFile(folder / name, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(message)s"))
        lines.addHandler(handler)
        lines.setLevel(logging.INFO)
        lines.propagate = False


def folder_of_log() -> Path | None:
    """Beside MONAI Label's own log; None where MONAI Label has no app folder."""
    folder = log_file().parent
    return folder if folder.is_absolute() else None


def _user(scope: Scope) -> str | None:
    """The user whom the gate has let in."""
    user: Any = scope.get("state", {}).get("user")
    return str(user.username)[:_LONGEST_USER] if user else None


def _action(scope: Scope) -> str:
    """Method and route, without what a client has put in their place."""
    asked = scope.get("method", "")
    method = asked if asked in _METHODS else "OTHER"
    route = getattr(scope.get("route"), "path", "")
    return f"{method} {route or '(no route)'}"
