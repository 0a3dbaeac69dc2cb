"""The JSON that an inference answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from treatment_response.bands import label_values, legend
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.targets import Target
from treatment_response.geometry import Volume
from treatment_response.inference.lesions.explainer import Explained, Explainer

from pulsar_app.prediction.effects import without_effect
from pulsar_app.prediction.options import SHOWN, InferOptions
from pulsar_app.prediction.publish import Predicted
from pulsar_app.prediction.wording import probability_text
from pulsar_app.studies.study import Study

_OF_RESULT = ("p_response", "p_non_response", "p_single", "p_folds", "class", "threshold", "certainty")
_WITHOUT_DICOM = (
    "save a label for this MR, send a label with the request, or click into the lesion with pulsar_response_click"
)


def model_told(explainer: Explainer, name: str) -> dict[str, Any]:
    """What every client is told of a model: its name, its version as DICOM objects state it, and its training data."""
    return {"name": name, "version": ModelIdentity.of(explainer.model).version, **explainer.model}


def lesion_answer(
    target: Target, explained: Explained, options: InferOptions, image: Volume, boost: np.ndarray | None = None
) -> dict[str, Any]:
    """What is told about one lesion.

    Args:
        target: the outline.
        explained: its prediction.
        options: of the request.
        image: the MR.
        boost: the boost region on the MR's grid, where it was asked for.
    """
    result = explained.result
    shown = result["class"] if options.shown == SHOWN[0] else options.shown
    (shown_map,) = (one for one in result["maps"] if (one["variant"], one["class"]) == (options.cam, shown))
    centre = image.to_world(explained.voxels.mean(axis=0)[None])[0]
    told = {
        "roi": target.name,
        "source": target.source,
        "outline": target.version,
        "volume_mm3": round(float(target.volume_mm3), 1),
        **{key: result[key] for key in _OF_RESULT},
        "warnings": [*_version_warnings(target), *explained.warnings_of(options.cam, shown)],
        "location_mm": [round(float(value), 1) for value in centre],
        "shown_class": shown,
        "evidence": shown_map["evidence"],
        "highest_raw": shown_map["highest_raw"],
        "largest_slice": result["largest_slice"],
        "scored_slices": result["scored_slices"],
        "slices": result["slices"],
    }
    if boost is not None:
        told["boost_mm3"] = round(float(boost.sum()) * image.voxel_volume, 1)
    return told


def _version_warnings(target: Target) -> list[str]:
    """A user may choose an outline that no longer counts."""
    names = " and ".join(f"'{name}'" for name in target.superseded_by)
    return [f"This outline no longer counts: it is superseded by {names}."] if names else []


def whole_answer(
    explainer: Explainer,
    model: dict[str, Any],
    study: Study,
    options: InferOptions,
    predicted: Sequence[Predicted],
    failed: Mapping[str, str],
    labels: np.ndarray,
) -> dict[str, Any]:
    """The answer for one MR; storing and timing add their own entries.

    Args:
        explainer: which model answered. model: what is told of it, from `model_told`.
        study: the MR with all targets that were found, the listed ones too.
        options: of the request.
        predicted: the lesions.
        failed: by the name of each target that could not be predicted, why.
        labels: the label map.
    """
    lesions = [{**one.answer, "supersedes": _superseded_by(one.target.name, study)} for one in predicted]
    not_predicted = {one.name: one.listed_because or failed.get(one.name, "") for one in study.targets}
    listed = [
        {"roi": one.name, "why": why, "superseded_by": list(one.superseded_by)}
        for one in study.targets
        if (why := not_predicted[one.name])
    ]
    sentences = [f"{name} was not predicted: {why}" for name, why in failed.items()]
    notes = [*study.notes, *([study.sent] if study.sent else []), *without_effect(options, explainer)]
    if options.store and not lesions:
        notes.append("Nothing was stored: there is no lesion to tell of.")
    present = {int(value) for one in predicted for value in np.unique(labels[tuple(one.explained.voxels.T)])}
    return {
        "notice": explainer.notice,
        "model": model,
        "threshold": explainer.threshold,
        "image": study.image_id,
        "cam": {
            "variant": options.cam,
            "shown": options.shown,
            **legend(options.bands),
            "scale": dict(explainer.map_scales[options.cam]),
        },
        "lesions": lesions,
        "listed": listed,
        "notes": notes,
        "warnings": [*study.warnings, *sentences],
        "stored": [],
        "message": _message(study, lesions, listed, sentences),
        # Slicer imports one segment per entry, in this order, so only what occurs in the label map may be named.
        "label_names": {name: value for name, value in label_values().items() if value in present},
    }


def _superseded_by(name: str, study: Study) -> list[str]:
    return [one.name for one in study.targets if one.listed_because and name in one.superseded_by]


def _message(
    study: Study, lesions: Sequence[dict[str, Any]], listed: Sequence[dict[str, Any]], failed: Sequence[str]
) -> str:
    """The answer in sentences, and what became of a label that was sent."""
    return f"{_main_message(study, lesions, listed, failed)} {study.sent}".rstrip()


def _main_message(
    study: Study, lesions: Sequence[dict[str, Any]], listed: Sequence[dict[str, Any]], failed: Sequence[str]
) -> str:
    if lesions:
        return f"Research only. {'; '.join(_lesion_message(one) for one in lesions)}."
    if failed:
        return f"Nothing could be predicted. {' '.join(failed)}"
    if listed:
        names = ", ".join(one["roi"] for one in listed)
        how = f"Name it in the option rois, or {_how_to_give_a_gtv(study)}."
        return f"There is no GTV to predict, only listed: {names}. {how}"
    return f"There is no GTV for this MR: {_how_to_give_a_gtv(study)}."


def _how_to_give_a_gtv(study: Study) -> str:
    """A folder of files takes no DICOM objects."""
    dicom = "" if study.source is None else "store an RTSTRUCT or SEG of the GTV in this study, "
    return f"give one: {dicom}{_WITHOUT_DICOM}"


def _lesion_message(lesion: dict[str, Any]) -> str:
    certainty = lesion["certainty"]
    level = f", {certainty['set_text']} at {100 * certainty['level']:.0f} %" if certainty["calibrated"] else ""
    said = f"{lesion['roi']}: P(response) {probability_text(lesion['p_response'])} ({lesion['class']}{level})"
    if "boost_mm3" not in lesion:
        return said
    volume = lesion["boost_mm3"]
    return f"{said}, boost region {f'{volume} mm³' if volume else 'empty'}"
