"""The JSON that an inference answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.targets import Target
from treatment_response.geometry import Volume
from treatment_response.inference.bands import band_names, label_values
from treatment_response.inference.explainer import Explained, Explainer

from pulsar_app.prediction.options import SHOWN, InferOptions
from pulsar_app.prediction.publish import Predicted
from pulsar_app.prediction.wording import probability_text
from pulsar_app.studies.study import Study

HOW_TO_GIVE_A_GTV = (
    "give one: store an RTSTRUCT or SEG of the GTV in this study, save a label for this MR, send a label with the "
    "request, or click into the lesion with pulsar_response_click"
)


def model_told(explainer: Explainer) -> dict[str, Any]:
    """What every client is told of the model: its version, as DICOM objects state it, and its training data."""
    return {"version": ModelIdentity.of(explainer.model).version, **explainer.model}


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
        "volume_mm3": round(float(target.volume_mm3), 1),
        **{key: result[key] for key in ("p_response", "p_non_response", "class", "threshold")},
        "warnings": explained.warnings_of(options.cam, shown),
        "location_mm": [round(float(value), 1) for value in centre],
        "shown_class": shown,
        "evidence": shown_map["evidence"],
        "highest_raw": shown_map["highest_raw"],
        "largest_slice": result["largest_slice"],
        "slices": result["slices"],
    }
    if boost is not None:
        told["boost_mm3"] = round(float(boost.sum()) * image.voxel_volume, 1)
    return told


def whole_answer(
    explainer: Explainer,
    study: Study,
    options: InferOptions,
    predicted: Sequence[Predicted],
    failed: Sequence[str],
    labels: np.ndarray,
) -> dict[str, Any]:
    """The answer for one MR; storing and timing add their own entries.

    Args:
        explainer: which model answered.
        study: the MR with all targets that were found, the listed ones too.
        options: of the request.
        predicted: the lesions.
        failed: sentences on targets that could not be predicted.
        labels: the label map.
    """
    lesions = [one.answer for one in predicted]
    listed = [{"roi": one.name, "why": one.listed_because} for one in study.targets if one.listed_because]
    notes = list(study.notes)
    if options.store and not lesions:
        notes.append("Nothing was stored: there is no lesion to tell of.")
    if options.boost and not options.store:
        notes.append("The boost regions are written only when results are stored.")
    present = {int(value) for one in predicted for value in np.unique(labels[tuple(one.explained.voxels.T)])}
    return {
        "notice": explainer.notice,
        "model": model_told(explainer),
        "threshold": explainer.threshold,
        "image": study.image_id,
        "cam": {"variant": options.cam, "shown": options.shown, "bands": band_names(options.bands)},
        "lesions": lesions,
        "listed": listed,
        "notes": notes,
        "warnings": [*study.warnings, *failed],
        "stored": [],
        "message": _message(lesions, listed, failed),
        # Slicer imports one segment per entry, in this order, so only what occurs in the label map may be named.
        "label_names": {name: value for name, value in label_values().items() if value in present},
    }


def _message(lesions: Sequence[dict[str, Any]], listed: Sequence[dict[str, str]], failed: Sequence[str]) -> str:
    if lesions:
        parts = [f"{one['roi']}: P(response) {probability_text(one['p_response'])} ({one['class']})" for one in lesions]
        return f"Research only. {'; '.join(parts)}."
    if failed:
        return f"Nothing could be predicted. {' '.join(failed)}"
    if listed:
        names = ", ".join(one["roi"] for one in listed)
        return f"There is no GTV to predict, only listed: {names}. Name it in the option rois, or {HOW_TO_GIVE_A_GTV}."
    return f"There is no GTV for this MR: {HOW_TO_GIVE_A_GTV}."
