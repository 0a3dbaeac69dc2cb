"""The JSON that an inference answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from treatment_response.dicom.targets import Target
from treatment_response.geometry import Volume
from treatment_response.inference.bands import band_names, label_values
from treatment_response.inference.explainer import Explained, Explainer

from pulsar_app.options import SHOWN, InferOptions

HOW_TO_GIVE_A_GTV = (
    "give one: store an RTSTRUCT or SEG of the GTV in this study, save a label for this MR, send a label with the "
    "request, or click into the lesion with pulsar_response_click"
)


def shown_class(explained: Explained, options: InferOptions) -> str:
    """The class that a lesion's map explains."""
    return str(explained.result["class"]) if options.shown == SHOWN[0] else options.shown


def lesion_answer(target: Target, explained: Explained, options: InferOptions, image: Volume) -> dict[str, Any]:
    """What is told about one lesion.

    Args:
        target: the outline.
        explained: its prediction.
        options: of the request.
        image: the MR.
    """
    result = explained.result
    shown = shown_class(explained, options)
    (shown_map,) = (one for one in result["maps"] if (one["variant"], one["class"]) == (options.cam, shown))
    centre = image.to_world(np.argwhere(target.mask).mean(axis=0)[None])[0]
    return {
        "roi": target.name,
        "source": target.source,
        "volume_mm3": round(float(target.volume_mm3), 1),
        **{key: result[key] for key in ("p_response", "p_non_response", "class", "threshold")},
        "warnings": list(explained.warnings),
        "location_mm": [round(float(value), 1) for value in centre],
        "shown_class": shown,
        "evidence": shown_map["evidence"],
        "highest_raw": shown_map["highest_raw"],
        "largest_slice": result["largest_slice"],
        "slices": result["slices"],
    }


def whole_answer(
    explainer: Explainer,
    image_id: str,
    options: InferOptions,
    lesions: Sequence[dict[str, Any]],
    targets: Sequence[Target],
    *,
    notes: Sequence[str],
    warnings: Sequence[str],
    labels_used: Sequence[int],
) -> dict[str, Any]:
    """The answer for one MR; storing and timing add their own entries.

    Args:
        explainer: which model answered.
        image_id: the MR in the datastore.
        options: of the request.
        lesions: from :func:`lesion_answer`.
        targets: all that were found, the listed ones too.
        notes: what was left out, one sentence each.
        warnings: about the MR.
        labels_used: values that occur in the label map.
    """
    listed = [{"roi": one.name, "why": one.listed_because} for one in targets if one.listed_because]
    return {
        "notice": explainer.notice,
        "model": explainer.model,
        "threshold": explainer.threshold,
        "image": image_id,
        "cam": {"variant": options.cam, "shown": options.shown, "bands": band_names(options.bands)},
        "lesions": list(lesions),
        "listed": listed,
        "notes": list(notes),
        "warnings": list(warnings),
        "stored": [],
        "message": _message(lesions, listed),
        # Viewers import one segment per entry, in this order, so only what occurs in the label map may be named.
        "label_names": {name: value for name, value in label_values().items() if value in set(labels_used)},
    }


def _message(lesions: Sequence[dict[str, Any]], listed: Sequence[dict[str, str]]) -> str:
    if lesions:
        parts = [f"{one['roi']}: P(response) {one['p_response']:.2f} ({one['class']})" for one in lesions]
        return f"Research only. {'; '.join(parts)}."
    if listed:
        names = ", ".join(one["roi"] for one in listed)
        return f"No GTV to predict: {names} is only listed; name it in the option rois, or {HOW_TO_GIVE_A_GTV}."
    return f"There is no GTV for this MR: {HOW_TO_GIVE_A_GTV}."
