"""The results of one case as DICOM objects, into the archive that its image came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from treatment_response.bands import to_segments
from treatment_response.classes import Classes
from treatment_response.dicom.results.capture import case_capture
from treatment_response.dicom.results.case_report import case_report
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.parametric_map import ANY_MAP, SERIES_NUMBERS, cam_parametric_map
from treatment_response.dicom.results.segmentation import bands_segmentation

from pulsar_app.prediction.archive import StoredSeries, archived, store_series
from pulsar_app.prediction.case_answer import certainty_text, probabilities_text
from pulsar_app.prediction.case_rule import rule_sentences
from pulsar_app.studies.safe_datastore import OpenedImage


def publish_case(
    image: OpenedImage,
    datastore: Datastore,
    answer: Mapping[str, Any],
    classes: Classes,
    scaled: np.ndarray,
    labels: np.ndarray,
    identity: ModelIdentity,
) -> list[dict[str, str]]:
    """Make a Parametric Map of the shown class, a segmentation of its bands, a picture and a report; store all or none.

    Args:
        image: whose series the results belong to.
        datastore: the archive that it came from.
        answer: the whole answer.
        classes: of the model.
        scaled: the shown map, ``(I, J, K)`` in [0, 1]. labels: its bands.
        identity: of the model.

    Returns:
        ``kind``, ``series_uid`` and ``description`` of each stored series.

    Raises:
        DataProblem: an object cannot be made, or the archive refused it.
    """
    source = archived(image.source, datastore)
    told = answer["map"]
    explanation, shown = told["explanation"], told["shown_class"]
    sentences = [f"Predicted {answer['class']}: {probabilities_text(answer['probabilities'])}.", *answer["warnings"]]

    def series(number: int) -> list[StoredSeries]:
        numbered = replace(identity, set_number=number)
        evidence = cam_parametric_map(
            source,
            scaled,
            numbered,
            variant=explanation,
            target=shown,
            series_number=SERIES_NUMBERS[classes.names.index(shown)],
            predictions=sentences,
            kind=ANY_MAP,
        )
        count = len(told["bands"][shown])
        bands = bands_segmentation(
            source, *to_segments(labels, count, classes), numbered, variant=explanation, target=shown, kind=ANY_MAP
        )
        picture = case_capture(
            source,
            scaled,
            shown,
            classes,
            answer["probabilities"],
            answer["class"],
            certainty_text(answer["certainty"]),
            told["scale"][shown],
            numbered,
            variant=explanation,
        )
        report = case_report(
            source,
            answer["probabilities"],
            answer["class"],
            certainty_text(answer["certainty"]),
            labels,
            shown,
            [evidence, bands, picture],
            numbered,
            warnings=[*answer["warnings"], *rule_sentences(answer)],
            sheet=answer["sheet"],
        )
        return [
            StoredSeries("parametric map", [evidence], shown),
            StoredSeries("bands", [bands]),
            StoredSeries("picture", [picture]),
            StoredSeries("report", [report]),
        ]

    return store_series(datastore, image.image_id, series)
