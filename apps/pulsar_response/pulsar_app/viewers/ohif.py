"""OHIF's pages as MONAI Label carries them, with the notice and the answers that OHIF itself does not show.

MONAI Label's own route joins whatever path it is asked for and breaks the slashes of deeper ones; these pages do not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import monailabel

from pulsar_app.viewers.ohif_changes import ChangedPages
from pulsar_app.viewers.pages import SCRIPTS, ViewerPages

PAGES = Path(monailabel.__file__).parent / "endpoints" / "static" / "ohif"
PANEL = tuple(Path(__file__).with_name(name) for name in ("ohif_panel.js", "ohif_answers.js"))


@cache
def monai_label_pages() -> ViewerPages:
    """What is under ``/ohif/``; ``await monai_label_pages().get_response(path, request.scope)``, path without that."""
    return ChangedPages(PAGES, "/ohif/", {f"pulsar/{file.name}": file for file in (*SCRIPTS.values(), *PANEL)})
