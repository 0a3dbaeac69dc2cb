"""OHIF's pages with one line of its MONAI Label mode changed: a click's result is shown in all its bands.

As it is, OHIF paints every voxel of a click model's result in the colour of the segment that was active, so that the
strongest and the weakest evidence would look alike.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from starlette.responses import Response
from starlette.types import Scope

from pulsar_app.viewers.pages import ViewerPages

ONE_LABEL = "this.props.updateView(response, model, label_names, true, label_class_unknown, sidx);"
ALL_LABELS = "this.props.updateView(response, model, info.modelLabelNames[model]);"


class ClickPages(ViewerPages):
    """MONAI Label's OHIF; arguments as :class:`~pulsar_app.viewers.pages.ViewerPages` takes them."""

    async def _found(self, path: str, scope: Scope) -> Response:
        name, text = self._script
        if path == name and scope["method"] in ("GET", "HEAD"):
            return Response(text, media_type="text/javascript")
        return await super()._found(path, scope)

    @cached_property
    def _script(self) -> tuple[str, str]:
        """Name and text of the script that shows results, as it is served."""
        for path in sorted(Path(str(self.directory)).glob("*.bundle.*.js")):
            text = path.read_text(encoding="utf-8")
            if text.count(ONE_LABEL) == 1:
                return path.name, text.replace(ONE_LABEL, ALL_LABELS)
        raise ValueError("no script of the viewer shows the results of clicks; is it another version?")
