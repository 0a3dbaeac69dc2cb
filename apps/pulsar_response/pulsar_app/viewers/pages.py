"""A viewer's folder of pages, served as they need it: own scripts first, nothing asked of another site.

The files come from Starlette's static files, which keep to their folder. The index page gets this app's scripts and
loses its links to a font service: a page with patient data asks no one outside for anything.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# For every viewer, in this order: the strip for what is added, what it is for, and the place of a lesion.
SCRIPTS = {name: Path(__file__).with_name(name) for name in ("dock.js", "research_banner.js", "go_to.js")}
HEADERS = {"Cache-Control": "no-cache", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
# What is shown stays here: nothing is sent to, framed by or named to another site, and no other site's script runs.
POLICY = (
    "connect-src 'self' blob: data:",
    "worker-src 'self' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' blob: data:",
    "font-src 'self' data:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
)
# A script's own policy holds where it runs as a worker, not where a page loads it. The viewers' codecs (Emscripten) are
# workers that make functions from texts of their own.
WORKER_POLICY = "; ".join(("script-src 'self' 'unsafe-eval'", *POLICY))
FILE_SUFFIXES = frozenset({".js", ".css", ".map", ".wasm", ".json"})
_INLINE_SCRIPT = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_OUTSIDE_LINK = re.compile(r'<link\b[^>]*\bhref="https?://[^"]*"[^>]*>')


class ViewerPages(StaticFiles):
    """A viewer whose router expects the index page for every path that is not a file.

    Args:
        folder: where ``index.html`` is.
        base: path that the pages are served under, with a slash at both ends.
        scripts: files by their path under ``base``, loaded by the index page before all others.
        instead: files by their path under ``base``, served in place of the folder's own.
        evaluates: whether the viewer's scripts make functions from texts of their own.
    """

    def __init__(
        self,
        folder: Path,
        base: str,
        scripts: Mapping[str, Path],
        instead: Mapping[str, Path] | None = None,
        evaluates: bool = False,
    ) -> None:
        super().__init__(directory=folder)
        self.own = {**scripts, **(instead or {})}
        self.index = with_scripts((folder / "index.html").read_text(), base, tuple(scripts))
        self.policy = content_security_policy(self.index, evaluates)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """What is at ``path``, relative to ``base``.

        Raises:
            HTTPException: 404 for a file that is not there, 405 for anything but GET and HEAD.
        """
        response = await self._found(path, scope)
        # By the path: an answer "not modified" has no type, and browsers take the policy from it.
        policy = WORKER_POLICY if PurePosixPath(path).suffix == ".js" else self.policy
        response.headers.update(HEADERS | {"Content-Security-Policy": policy})
        return response

    async def _found(self, path: str, scope: Scope) -> Response:
        if path in self.own:
            return FileResponse(self.own[path], media_type="text/javascript")
        if path not in ("", ".", "index.html"):
            try:
                return await super().get_response(path, scope)
            except HTTPException as error:
                # A missing script must not be answered with a page.
                if error.status_code != 404 or PurePosixPath(path).suffix in FILE_SUFFIXES:
                    raise
        return HTMLResponse(self.index)


def content_security_policy(page: str, evaluates: bool = False) -> str:
    """The policy of a viewer whose index page is given: its files' scripts, and the very scripts within the page."""
    evaluation = "'unsafe-eval'" if evaluates else "'wasm-unsafe-eval'"
    digests = [hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(page)]
    inline = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    return "; ".join((" ".join((f"script-src 'self' {evaluation}", *inline)), *POLICY))


def with_scripts(page: str, base: str, scripts: tuple[str, ...]) -> str:
    """An index page that loads ``scripts`` first and links to no other site."""
    tags = "".join(f'<script src="{base}{script}"></script>' for script in scripts)
    page, found = re.subn(r"<head\b[^>]*>", lambda head: head[0] + tags, _OUTSIDE_LINK.sub("", page), count=1)
    if not found:
        raise ValueError("the viewer's index page has no <head>; is it another version?")
    return page
