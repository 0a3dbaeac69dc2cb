"""Logs without patients: no name, id or birth date, no token and no password, also not in what libraries log.

Three means. Loggers of libraries that print requests, labels and addresses are quiet below WARNING. The access log
loses its query strings, which hold what a viewer searches for. And what still looks like one of these values is cut out
of every record, whoever writes it.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

QUIET = (
    "monailabel",
    "__main__",
    "httpx",
    "httpcore",
    "requests",
    "urllib3",
    "dicomweb_client",
    "pydicom",
    "highdicom",
)
"""Loggers whose lines below WARNING print requests, answers, labels or addresses with patients in them."""

_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s&;,)}\]"']+)"""
_NAMED = (
    r"Patient'?s?[ _]?(?:Name|ID|BirthDate|Birth Date|BirthTime|Sex|Age|Address)|OtherPatientIDs|IssuerOfPatientID"
    r"|ReferringPhysicianName|AccessionNumber|00100010|00100020|00100030"
    r"|access_token|refresh_token|id_token|client_secret|password|passwd|Authorization"
)
_SECRET = re.compile(rf"""(?i)((?:{_NAMED})["']?\s*(?:=|:)\s*(?:Bearer\s+|Basic\s+)?){_VALUE}""")
_ELEMENT = re.compile(r"(\(0010, ?[0-9A-Fa-f]{4}\)[^\n]*?\b[A-Z]{2}: ).*")  # of group 0010, as pydicom prints them
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_USER_INFO = re.compile(r"(?i)(https?://)[^/\s@]+@")
_QUERY = re.compile(r"(https?://[^\s?'\"]+|\s/[^\s?'\"]*)\?[^\s'\"]*")

REMOVED = "[removed]"


def redact(text: str) -> str:
    """The text without values that belong to patients or to a login, as far as their names give them away."""
    text = _QUERY.sub(rf"\1?{REMOVED}", text)
    text = _ELEMENT.sub(rf"\1{REMOVED}", text)
    text = _SECRET.sub(rf"\1{REMOVED}", text)
    text = _BEARER.sub(rf"\1 {REMOVED}", text)
    text = _TOKEN.sub(REMOVED, text)
    return _USER_INFO.sub(rf"\1{REMOVED}@", text)


class _DiscreetRecord(logging.LogRecord):
    """A log record that is redacted when it is put into words."""

    def getMessage(self) -> str:
        return redact(super().getMessage())


class WithoutQuery(logging.Filter):
    """Cuts the query string off uvicorn's access log, whose third argument is the path with its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always kept."""
        if isinstance(record.args, tuple) and len(record.args) == 5:
            path: Any = record.args[2]
            record.args = (*record.args[:2], str(path).partition("?")[0], *record.args[3:])
        return True


class WithoutExceptionText(logging.Filter):
    """Leaves the kind of an exception and drops its text and trace: libraries quote the values that they stumble on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always kept."""
        if record.exc_info and record.exc_info[0] is not None and record.levelno > logging.DEBUG:
            record.msg = f"{record.getMessage()} ({record.exc_info[0].__name__})"
            record.args, record.exc_info, record.exc_text = None, None, None
        return True


def make_logs_discreet() -> None:
    """Apply all three means to this process; at level DEBUG libraries say everything: do not use it on patients."""
    logging.setLogRecordFactory(_DiscreetRecord)
    logging.raiseExceptions = False  # of a line that cannot be written, logging prints all that it was made of
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
    _add_once(logging.getLogger("uvicorn.access"), WithoutQuery)
    for name in ("", "uvicorn", "uvicorn.error"):
        for handler in logging.getLogger(name).handlers:
            _add_once(handler, WithoutExceptionText)
    # pydicom quotes a value that does not fit its representation, such as a date of birth.
    warnings.filterwarnings("ignore", message="Invalid value for VR", category=UserWarning)


def _add_once(place: logging.Filterer, kind: type[logging.Filter]) -> None:
    if not any(isinstance(filter_, kind) for filter_ in place.filters):
        place.addFilter(kind())
