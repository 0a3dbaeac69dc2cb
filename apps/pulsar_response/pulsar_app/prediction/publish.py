"""Results as DICOM objects, and into the archive that the MR came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from treatment_response.bands import to_segments
from treatment_response.classes import CLASS_NAMES
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.results.capture import captures
from treatment_response.dicom.results.certainty import certainty_text, percent_text
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.parametric_map import SERIES_NUMBERS, cam_parametric_map
from treatment_response.dicom.results.report import prediction_report
from treatment_response.dicom.results.segmentation import bands_segmentation, lesions_segmentation
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.targets import Target
from treatment_response.inference.lesions.explainer import Explained

from pulsar_app.prediction.archive import StoredSeries, archived, store_series
from pulsar_app.prediction.options import SHOWN, InferOptions
from pulsar_app.studies.study import Study


@dataclass(frozen=True)
class Predicted:
    """A target, its prediction, and what is told about it.

    Attributes:
        answer: as :func:`pulsar_app.prediction.answer.lesion_answer` gives it.
        boost: bool ``(I, J, K)``, the boost region; None unless it was asked for.
    """

    target: Target
    explained: Explained
    answer: dict[str, Any]
    boost: np.ndarray | None = None


def publish(
    study: Study,
    datastore: Datastore,
    predicted: Sequence[Predicted],
    answer: Mapping[str, Any],
    options: InferOptions,
    identity: ModelIdentity,
    labels: np.ndarray,
) -> list[dict[str, str]]:
    """Make all objects, then store them; nothing is sent if one of them cannot be made.

    For each class that a lesion shows a Parametric Map of all lesions; a segmentation of the bands, as the viewer was
    shown them; one of the outlines; pictures with legends; a structured report that refers to them; and the boost
    regions where they were asked for.

    Args:
        study: the MR.
        datastore: the archive that it came from, which is where the objects go.
        predicted: at least one lesion.
        answer: the whole answer; what it lists, notes and warns of is in the report.
        options: of the request.
        identity: of the model.
        labels: the label map of the bands.

    Returns:
        ``kind``, ``series_uid`` and ``description`` of each stored series; the description numbers the set. That of a
        map names its ``class`` too.

    Raises:
        DataProblem: an object cannot be made, or the archive refused it.
    """
    source = archived(study.source, datastore)

    def series(number: int) -> list[StoredSeries]:
        return _series(source, predicted, answer, options, replace(identity, set_number=number), labels)

    return store_series(datastore, study.image_id, series)


def _series(
    source: MrSource,
    predicted: Sequence[Predicted],
    answer: Mapping[str, Any],
    options: InferOptions,
    identity: ModelIdentity,
    labels: np.ndarray,
) -> list[StoredSeries]:
    """All objects of one set."""
    variant = options.cam
    masks = {one.target.name: one.target.mask for one in predicted}
    shown = [label for label in CLASS_NAMES if any(one.answer["shown_class"] == label for one in predicted)]
    maps = {label: [one.explained.volume(variant, label, "scaled") for one in predicted] for label in shown}
    series = [_map(source, maps[label], identity, variant, label, predicted) for label in shown]
    target = "predicted class" if options.shown == SHOWN[0] else options.shown
    bands = bands_segmentation(source, *to_segments(labels, options.bands), identity, variant=variant, target=target)
    by_hand = {one.target.name for one in predicted if one.target.by_hand}
    outlines = lesions_segmentation(source, masks, identity, by_hand=by_hand)
    pictures = captures(
        source, maps, answer["lesions"], list(masks.values()), answer["cam"]["scale"], identity, variant=variant
    )
    series += [StoredSeries("bands", [bands]), StoredSeries("outlines", [outlines]), StoredSeries("pictures", pictures)]
    report = prediction_report(
        source,
        answer["lesions"],
        masks,
        outlines,
        [one for other in series if other.kind != "outlines" for one in other.objects],
        identity,
        variant=variant,
        listed=answer["listed"],
        remarks=[*answer["notes"], *answer["warnings"]],
    )
    series.append(StoredSeries("report", [report]))
    regions = {one.target.name: one.boost for one in predicted if one.boost is not None}
    if regions:
        told = {one.target.name: f"predicted {one.answer['class']}, {_probability(one)}" for one in predicted}
        series.append(StoredSeries("boost regions", [boost_structure_set(source, regions, identity, predictions=told)]))
    return series


def _map(
    source: MrSource,
    cams: Sequence[np.ndarray],
    identity: ModelIdentity,
    variant: str,
    shown: str,
    predicted: Sequence[Predicted],
) -> StoredSeries:
    """The Parametric Map of one class in all lesions: a lesion without it would read as one without evidence."""
    made = cam_parametric_map(
        source,
        np.maximum.reduce(cams),
        identity,
        variant=variant,
        target=shown,
        predictions=[f"{one.answer['roi']}: {_probability(one)}." for one in predicted],
        series_number=SERIES_NUMBERS[CLASS_NAMES.index(shown)],
    )
    return StoredSeries("parametric map", [made], shown)


def _probability(one: Predicted) -> str:
    return f"P(response) {percent_text(one.answer['p_response'])} ({certainty_text(one.answer)})"
