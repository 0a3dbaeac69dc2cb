"""What each option of a request means, and which have no effect with the weights that are loaded."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from treatment_response.explain.cam import same_pattern
from treatment_response.explain.target import TargetClass
from treatment_response.inference.lesions.explainer import Explainer

from pulsar_app.prediction.options import InferOptions
from pulsar_app.prediction.predictor import warm_up

_PLAIN, _CAM = "pixelwise", "gradcam"
_SAME_PATTERN = f"With these weights {_CAM} draws what {_PLAIN} draws: within a slice only its strength differs."
# By whether the weights were trained on synthetic data; None where they do not say.
_REFUSED = {
    False: "",
    True: " Refused for a real patient: these weights were trained on synthetic data.",
    None: " Refused for a real patient: these weights do not say what they were trained on.",
}
_found: WeakKeyDictionary[Explainer, bool] = WeakKeyDictionary()


def meanings(explainer: Explainer) -> dict[str, str]:
    """A sentence or two on each option that viewers show, by its name; they say where an option has no effect."""
    cam = f"How the map is computed. {_PLAIN} says where; gradcam and gradcampp show where a feature is."
    return {
        "cam": f"{cam} {_SAME_PATTERN}" if _same_pattern(explainer) else cam,
        "shown": "The class whose evidence is coloured: each lesion's predicted class, or the same for all.",
        "bands": "The number of colours.",
        "rois": "Names of the outlines that are meant, with commas between them. Empty: all that count.",
        "store": f"Puts the results into the PACS.{_REFUSED[explainer.model['synthetic']]}",
        "boost": "Adds the region of strong evidence for non-response, a hypothesis; without store, its size only.",
    }


def without_effect(options: InferOptions, explainer: Explainer) -> list[str]:
    """Sentences for an answer on what was asked for and changes nothing."""
    found = [_SAME_PATTERN] if options.cam == _CAM and _same_pattern(explainer) else []
    if options.boost and not options.store:
        found.append("The boost regions are written only when results are stored.")
    return found


def _same_pattern(explainer: Explainer) -> bool:
    if explainer not in _found:
        raw = warm_up(explainer).maps.raw
        _found[explainer] = all(same_pattern(raw[_PLAIN, target], raw[_CAM, target]) for target in TargetClass)
    return _found[explainer]
