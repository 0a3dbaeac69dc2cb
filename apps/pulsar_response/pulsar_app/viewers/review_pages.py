"""OHIF for review with one fault mended: where it draws the lines and outlines of structured reports.

Cornerstone takes the distance between a pixel's rows for that between its columns when it places image coordinates, and
the other way round. In pixels that are not square a line lies beside what was measured, and is too long or too short.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from pulsar_app.viewers.pages import ViewerPages

logger = logging.getLogger(__name__)

_OF_ROWS, _OF_COLUMNS = "rowPixelSpacing", "columnPixelSpacing"
# Texts of `imageToWorldCoords` and `worldToImageCoords`, and which distance stands in the gap. Each is there once in a
# script that holds these functions.
_USED = {
    "rowCosines, {} * (imageCoords[0] - 0.5)": _OF_ROWS,
    "columnCosines, {} * (imageCoords[1] - 0.5)": _OF_COLUMNS,
    "newOrigin, origin, columnCosines, -{} / 2": _OF_COLUMNS,
    "newOrigin, newOrigin, rowCosines, -{} / 2": _OF_ROWS,
    "rowDistance / {}": _OF_ROWS,
    "columnDistance / {}": _OF_COLUMNS,
}
CHANGES = {
    text.format(used).encode(): text.format(_OF_COLUMNS if used == _OF_ROWS else _OF_ROWS).encode()
    for text, used in _USED.items()
}
"""What stands in the script → what is served."""


class ReviewPages(ViewerPages):
    """OHIF for review; arguments as :class:`~pulsar_app.viewers.pages.ViewerPages` takes them.

    A version of the viewer without these functions is logged and served as it is.
    """

    def __init__(
        self,
        folder: Path,
        base: str,
        scripts: Mapping[str, Path],
        instead: Mapping[str, Path] | None = None,
        evaluates: bool = False,
    ) -> None:
        super().__init__(folder, base, scripts, instead, evaluates)
        found = {path.name: script for path in sorted(folder.glob("*.js")) if (script := mended(path)) is not None}
        self.mended = {name: (script, f'"{hashlib.sha256(script).hexdigest()}"') for name, script in found.items()}
        if not self.mended:
            logger.warning("OHIF's scripts are another version; left as it is: lines in pixels that are not square")

    async def _found(self, path: str, scope: Scope) -> Response:
        if path not in self.mended or scope["method"] not in ("GET", "HEAD"):
            return await super()._found(path, scope)
        script, tag = self.mended[path]
        if Headers(scope=scope).get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(script, media_type="text/javascript", headers={"ETag": tag})


def mended(path: Path) -> bytes | None:
    """A script with its changes; None if it is none of those that need them."""
    script = path.read_bytes()
    if not all(script.count(before) == 1 for before in CHANGES):
        return None
    for before, after in CHANGES.items():
        script = script.replace(before, after)
    return script
