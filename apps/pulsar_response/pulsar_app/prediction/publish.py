"""Results as DICOM objects, and into the archive that the MR came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.datastore import Datastore
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.results.model import ModelIdentity, refuse_mixing
from treatment_response.dicom.results.parametric_map import cam_parametric_map
from treatment_response.dicom.results.report import prediction_report
from treatment_response.dicom.results.segmentation import bands_segmentation, lesions_segmentation
from treatment_response.dicom.results.stow import stow
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.targets import Target
from treatment_response.inference.bands import band_colours, band_names, to_bands
from treatment_response.inference.explainer import Explained
from treatment_response.problems import DataProblem, Problem

from pulsar_app.prediction.options import SHOWN, InferOptions
from pulsar_app.prediction.wording import probability_text
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


def check_publishable(study: Study, datastore: Datastore, identity: ModelIdentity) -> None:
    """Refuse to store before any work is done.

    Raises:
        DataProblem: the MR is no DICOM series of an archive, or the weights and the patient must not mix.
    """
    refuse_mixing(_archived(study, datastore), identity)


def publish(
    study: Study,
    datastore: Datastore,
    predicted: Sequence[Predicted],
    answer: Mapping[str, Any],
    options: InferOptions,
    identity: ModelIdentity,
) -> list[dict[str, str]]:
    """Make all objects, then store them; nothing is sent if one of them cannot be made.

    A Parametric Map of the CAM, a segmentation of its bands and one of the outlines, a structured report that refers to
    them, and the boost regions where they were asked for.

    Args:
        study: the MR.
        datastore: the archive that it came from, which is where the objects go.
        predicted: at least one lesion.
        answer: the whole answer; what it lists, notes and warns of is in the report.
        options: of the request.
        identity: of the model.

    Returns:
        ``kind``, ``series_uid`` and ``description`` of each stored object; the description numbers the set.

    Raises:
        DataProblem: an object cannot be made, or the archive refused it.
    """
    source = _archived(study, datastore)
    client = datastore._client
    prefix = settings.MONAI_LABEL_STOW_PREFIX
    url = f"{client.base_url.rstrip('/')}/{prefix}" if prefix else client.base_url
    with datastore.next_set(study.image_id) as number:
        objects = _objects(source, predicted, answer, options, replace(identity, set_number=number))
        stow(list(objects.values()), url, client._session)
    return [
        {"kind": kind, "series_uid": str(made.SeriesInstanceUID), "description": str(made.SeriesDescription)}
        for kind, made in objects.items()
    ]


def _objects(
    source: MrSource,
    predicted: Sequence[Predicted],
    answer: Mapping[str, Any],
    options: InferOptions,
    identity: ModelIdentity,
) -> dict[str, Any]:
    """The data sets by kind."""
    shown = "predicted class" if options.shown == SHOWN[0] else options.shown
    cam = np.zeros(source.volume.array.shape, np.float32)
    for one in predicted:
        np.maximum(cam, one.explained.volume(options.cam, one.answer["shown_class"], "scaled"), out=cam)
    sentences = [f"{one.answer['roi']}: {_probability(one)}." for one in predicted]
    names, colours = band_names(options.bands), band_colours(options.bands)
    variant = options.cam
    parametric_map = cam_parametric_map(source, cam, identity, variant=variant, target=shown, predictions=sentences)
    bands = to_bands(cam, options.bands)
    segmentation = bands_segmentation(source, bands, names, colours, identity, variant=variant, target=shown)
    masks = {one.target.name: one.target.mask for one in predicted}
    by_hand = {one.target.name for one in predicted if one.target.by_hand}
    outlines = lesions_segmentation(source, masks, identity, by_hand=by_hand)
    objects = {"parametric map": parametric_map, "bands": segmentation, "outlines": outlines}
    objects["report"] = prediction_report(
        source,
        answer["lesions"],
        outlines,
        [parametric_map, segmentation],
        identity,
        variant=variant,
        listed=answer["listed"],
        remarks=[*answer["notes"], *answer["warnings"]],
    )
    regions = {one.target.name: one.boost for one in predicted if one.boost is not None}
    if regions:
        told = {one.target.name: f"predicted {one.answer['class']}, {_probability(one)}" for one in predicted}
        objects["boost regions"] = boost_structure_set(source, regions, identity, predictions=told)
    return objects


def _probability(one: Predicted) -> str:
    return f"P(response) {probability_text(one.answer['p_response'])}"


def _archived(study: Study, datastore: Datastore) -> MrSource:
    if study.source is None or not isinstance(datastore, DICOMWebDatastore):
        what = "the MR is a file and no DICOM series of an archive, so its results cannot be stored"
        raise DataProblem(Problem("store", what, "start the server with the archive's DICOMweb address as --studies"))
    return study.source
