"""The JSON that a model answers which predicts case by case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from treatment_response.bands import label_values, legend
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.inference.case_explainer import CaseExplainer, ExplainedCase

from pulsar_app.prediction.case_options import PREDICTED, CaseOptions
from pulsar_app.prediction.wording import probability_text
from pulsar_app.studies.search import FoundInput


def identity_of(explainer: CaseExplainer) -> ModelIdentity:
    """The model as DICOM objects state it."""
    return ModelIdentity.of(explainer.model, explainer.title)


def case_model_told(explainer: CaseExplainer, name: str) -> dict[str, Any]:
    """What every client is told of a model.

    Returns:
        ``name``, ``version`` as DICOM objects state it, ``title``, ``classes``, and its training data.
    """
    return {
        "name": name,
        "version": identity_of(explainer).version,
        "title": explainer.title,
        "classes": explainer.classes.content(),
        **explainer.model,
    }


def shown_class(explained: ExplainedCase, options: CaseOptions) -> str:
    """The class whose map is shown."""
    return str(explained.result["class"]) if options.shown == PREDICTED else options.shown


def case_answer(
    explainer: CaseExplainer,
    model: Mapping[str, Any],
    image_id: str,
    inputs: Mapping[str, FoundInput],
    options: CaseOptions,
    explained: ExplainedCase,
    labels: np.ndarray,
) -> dict[str, Any]:
    """The answer for one case; storing and timing add their own entries.

    Args:
        explainer: which model answered. model: what is told of it, from `case_model_told`.
        image_id: of the image that the request named.
        inputs: what the model was given.
        options: of the request.
        explained: the prediction.
        labels: the label map.
    """
    classes, result = explainer.classes, explained.result
    shown = shown_class(explained, options)
    probabilities = {name: result[column] for name, column in zip(classes.names, classes.columns, strict=True)}
    (of_map,) = (one for one in result["maps"] if (one["explanation"], one["class"]) == (options.explanation, shown))
    present = set(np.unique(labels).tolist())
    return {
        "notice": explainer.notice,
        "model": dict(model),
        "image": image_id,
        "inputs": {**{name: found.told for name, found in inputs.items()}, **_clinical(explainer, options)},
        "probabilities": probabilities,
        "class": result["class"],
        **{key: result[key] for key in ("decision", "votes", "single", "members", "certainty")},
        "map": {
            "explanation": options.explanation,
            "shown": options.shown,
            "shown_class": shown,
            "evidence": of_map["evidence"],
            "highest_raw": of_map["highest_raw"],
            **legend(options.bands, classes),
            "scale": dict(explainer.map_scales[options.explanation]),
        },
        "warnings": [*input_warnings(inputs), *explained.warnings_of(options.explanation, shown)],
        "notes": [],
        "stored": [],
        "message": f"Research only. {_said(probabilities, result)}.",
        # Slicer imports one segment per entry, in this order, so only what occurs in the label map may be named.
        "label_names": {name: value for name, value in label_values(classes).items() if value in present},
    }


def input_warnings(inputs: Mapping[str, FoundInput]) -> list[str]:
    """What a reader must know of a model's inputs, each sentence once: inputs that are made together share theirs."""
    return list(dict.fromkeys(warning for found in inputs.values() for warning in found.warnings))


def _clinical(explainer: CaseExplainer, options: CaseOptions) -> dict[str, str]:
    """The facts of the patient that the model was given, and those that it took as unknown."""
    if not explainer.clinical:
        return {}
    given = [f"{name} {value}" for name, value in options.clinical.items()]
    unknown = [name for name in explainer.clinical if name not in options.clinical]
    return {"clinical": "; ".join([*given, *([f"unknown: {', '.join(unknown)}"] if unknown else [])])}


def probabilities_text(probabilities: Mapping[str, float]) -> str:
    """Each class with its probability, in the model's order."""
    return ", ".join(f"P({name}) {probability_text(p)}" for name, p in probabilities.items())


def certainty_text(certainty: Mapping[str, Any]) -> str:
    """The conformal set, or that the probabilities are not calibrated."""
    if not certainty["calibrated"]:
        return "not calibrated"
    members = " or ".join(certainty["set"]) or "none of the classes"
    return f"calibrated; set at {100 * certainty['level']:.0f} %: {members}"


def _said(probabilities: Mapping[str, float], result: Mapping[str, Any]) -> str:
    return f"{result['class']}: {probabilities_text(probabilities)}; {certainty_text(result['certainty'])}"
