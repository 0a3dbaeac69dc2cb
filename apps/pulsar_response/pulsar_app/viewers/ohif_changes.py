"""OHIF's pages with a few lines of its MONAI Label mode changed: a text or control there that says what is not so here.

MONAI Label's panel was made for segmenting organs. The texts that speak of organs, anatomy and "everything", and the
controls that do nothing with this app's models, are replaced or left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.responses import Response
from starlette.types import Scope

from pulsar_app.viewers.pages import ViewerPages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One place of the viewer's script.

    Attributes:
        what: that is changed, for people.
        before: the text of the script, which is there once.
        after: what stands there instead.
    """

    what: str
    before: str
    after: str


# OHIF paints every voxel of a click model's result in the colour of the segment that was active, so that the strongest
# and the weakest evidence would look alike.
BANDS_OF_CLICKS = Change(
    "a click's result is shown in all its bands",
    "this.props.updateView(response, model, label_names, true, label_class_unknown, sidx);",
    "this.props.updateView(response, model, info.modelLabelNames[model]);",
)


def _without_map(when: str, message: str) -> Change:
    """The note after an answer without a map: a job that goes on (202) is no error, and not red."""
    return Change(
        f"note when {when}",
        f"message: '{message}',\n          type: 'error',",
        "message: response.status === 202 ? 'Long work: see the panel below' : 'No map: see the panel below',\n"
        "          type: response.status === 202 ? 'info' : 'error',",
    )


_MODEL = "this.props.info.data.models[this.state.currentModel || models[0]]"
_NOTES = "this.props.info.data.models[name]"
TEXTS = (
    Change(
        "what Auto-Segmentation does: it segments nothing",
        '"Experience fully automated segmentation for ", /*#__PURE__*/react.createElement("b", null, "everything"), '
        "' ', \"from the pre-trained model.\"",
        f"{_MODEL}?.description",
    ),
    Change("name of the tab that predicts", '}, "Auto-Segmentation")', '}, "Predict")'),
    Change("what its button runs", 'title: "Segmentation",', 'title: "Prediction",'),
    Change("note while it predicts", "'Running Auto-Segmentation...'", "'Predicting…'"),
    Change("note once it has predicted", "'Running Segmentation - Successful'", "'Answered: see the panel below'"),
    _without_map("it was refused, or is a job", "Failed to Run Segmentation"),
    Change("name of the tab that takes clicks", '}, "Point Prompts")', '}, "Predict from a click")'),
    Change("what its button runs", 'title: "PointPrompts",', 'title: "Prediction from clicks",'),
    Change(
        "there is no anatomy to select",
        '"Select an anatomy from the segments menu below."',
        f"{_MODEL}?.description",
    ),
    Change(
        "what to click",
        '"To guide the inference, add foreground clicks:"',
        '"One click into each lesion, then Run. Check the outline that grows from it."',
    ),
    Change(
        "note once clicks have been answered",
        "'Running Inference for Point Prompts - Successful'",
        "'Answered: see the panel below'",
    ),
    _without_map("clicks were refused, or are a job", "Failed to Run Inference for Point Prompts"),
    Change(
        "the bands are no organs, and none has to be chosen before a click",
        'className: "optionsTableContainer"\n    }, /*#__PURE__*/react.createElement("hr", null), '
        '/*#__PURE__*/react.createElement("p", null, "Available Organ(s):")',
        "className: \"optionsTableContainer\",\n      style: { display: 'none' }\n    }, null, null",
    ),
    Change(
        "no model here takes classes of organs: the tab is left out",
        "const display = models.length > 0 ? 'block' : 'none';\n    const segInfo = this.segmentInfo();\n    if (",
        "const display = 'none';\n    const segInfo = this.segmentInfo();\n    if (",
    ),
    Change(
        "the chosen strategy is the one that is asked",
        "onChange: this.onChangeStrategy,",
        "onChange: event => this.setState({ strategy: event.target.value }),",
    ),
    Change("the accuracy is that of lesions held out", '"Train Acc:"', '"Held-out acc.:"'),
    Change("no accuracy is not 0 %", "+ '%' : '0%';", "+ '%' : 'none yet';"),
    *(
        Change(
            f"what the {bar} bar says is white on white",
            f'w3-container w3-{bar} w3-center",\n      style: {{\n',
            f"w3-container w3-{bar} w3-center\",\n      style: {{\n        color: 'black',\n",
        )
        for bar in ("blue", "orange", "green")
    ),
    Change(
        "what each option means, and whether it has an effect",
        'react.createElement("td", null, k), /*#__PURE__*/react.createElement("td", null, v !== null',
        'react.createElement("td", { style: { width: "45%" } }, k, react.createElement("small", '
        '{ style: { display: "block" } }, this.props.notes?.[k])), '
        '/*#__PURE__*/react.createElement("td", null, v !== null',
    ),
    Change(
        "where the meanings of options come from",
        "name_map: name_map,\n      update_map",
        f"name_map: name_map,\n      notes: section === 'infer' ? {_NOTES}?.options : undefined,\n      update_map",
    ),
)


class ChangedPages(ViewerPages):
    """MONAI Label's OHIF; arguments as :class:`~pulsar_app.viewers.pages.ViewerPages` takes them.

    A text that a later version of the viewer no longer has is logged and stays as it is.

    Raises:
        ValueError: when a page is asked for, if bands of a click could not be shown.
    """

    async def _found(self, path: str, scope: Scope) -> Response:
        name, text = self._script
        if path == name and scope["method"] in ("GET", "HEAD"):
            return Response(text, media_type="text/javascript")
        return await super()._found(path, scope)

    @cached_property
    def _script(self) -> tuple[str, str]:
        """Name and text of MONAI Label's own script, as it is served."""
        for path in sorted(Path(str(self.directory)).glob("*.bundle.*.js")):
            text = path.read_text(encoding="utf-8")
            if text.count(BANDS_OF_CLICKS.before) == 1:
                text = text.replace(BANDS_OF_CLICKS.before, BANDS_OF_CLICKS.after)
                return path.name, with_texts(text)
        raise ValueError("no script of the viewer shows the results of clicks; is it another version?")


def with_texts(script: str) -> str:
    """A script with the changes of :data:`TEXTS` that it has a place for."""
    for change in TEXTS:
        if script.count(change.before) == 1:
            script = script.replace(change.before, change.after)
        else:
            logger.warning("OHIF's script is another version; left as it is: %s", change.what)
    return script
