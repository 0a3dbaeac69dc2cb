"""The prediction for a case as a whole as a TID 1500 Measurement Report: each class's probability, and the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.codes import (
    CERTAINTY,
    NOTICE,
    PERCENT,
    PREDICTED_CLASS,
    SHEET_REMARK,
    TRAINING_DATA,
    UNITS,
    WARNING,
    class_code,
    probability_code,
    sheet_code,
)
from treatment_response.dicom.results.measurement_report import (
    measurement_report,
    outlined_region,
    text_item,
    whole_percent,
)
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.response_report import MeasuringSoftware
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.write.base import derived_uid


def case_report(
    source: MrSource,
    probabilities: Mapping[str, float],
    predicted: str,
    certainty: str,
    labels: np.ndarray,
    shown: str,
    evidence: Sequence[Dataset],
    identity: ModelIdentity,
    *,
    warnings: Sequence[str] = (),
    sheet: Sequence[Mapping[str, Any]] = (),
    series_number: int = 9005,
) -> ComprehensiveSR:
    """Report the prediction of one case.

    The first group (TID 1501) holds the probabilities and the class. The second (TID 1410) repeats them for the outline
    of the strongest evidence that is shown, in the image with most of it: viewers such as OHIF show only what has
    coordinates. Without evidence there is no second group.

    Args:
        source: the MR series.
        probabilities: class → P, in the model's order. predicted: the class. certainty: in words.
        labels: ``(I, J, K)`` bands of the shown map on the MR's grid, higher for stronger evidence, 0 where there is
            none.
        shown: the class whose evidence they are.
        evidence: the other objects that were made with the report, such as the Parametric Map.
        identity: of the model, whose name is the system's.
        warnings: what a reader must know, one sentence each.
        sheet: lines of measured facts, ``name``, ``value``, ``unit`` and ``note`` of each. They are a group (TID 1501)
            of their own: a number in a unit of `codes.UNITS` is a measurement, all other lines are said in words.
        series_number: Series Number.

    Raises:
        DataProblem: see ``check_source``, or the labels lie on another grid.
    """
    frames.check_source(source, identity)
    frames.check_grid(labels, source, "bands")
    algorithm = AlgorithmIdentification(identity.name, identity.version, [identity.training_data])
    shared = {
        "finding_sites": [FindingSite(codes.SCT.Brain)],
        "measurements": [
            Measurement(probability_code(name), whole_percent(value), PERCENT) for name, value in probabilities.items()
        ],
        "qualitative_evaluations": [QualitativeEvaluation(PREDICTED_CLASS, class_code(predicted))],
    }
    case = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(source, identity, identity.name),
        algorithm_id=algorithm,
        **shared,
    )
    case[0].ContentSequence.append(text_item(CERTAINTY, certainty))
    groups = [case]
    if labels.any():
        strongest = labels == labels.max()
        groups.append(
            PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=_tracking(source, identity, f"strongest evidence for {shown}"),
                referenced_region=outlined_region(strongest, int(strongest.sum(axis=(0, 1)).argmax()), source),
                algorithm_id=algorithm,
                **shared,
            )
        )
    if sheet:
        groups.append(_sheet_group(source, identity, sheet))
    texts = [(NOTICE, identity.notice), (TRAINING_DATA, identity.training_data)]
    texts += [(WARNING, sentence) for sentence in warnings]
    return measurement_report(
        source, identity, groups, texts, f"predicted class {identity.weights}", series_number, evidence
    )


def _sheet_group(
    source: MrSource, identity: ModelIdentity, sheet: Sequence[Mapping[str, Any]]
) -> MeasurementsAndQualitativeEvaluations:
    """The lines of a sheet, which this software measured and no network."""
    numbers = [line for line in sheet if isinstance(line["value"], int | float) and line["unit"] in UNITS]
    software = MeasuringSoftware()
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(source, identity, "sheet"),
        algorithm_id=AlgorithmIdentification("Sheet of measured facts, no network", software.version),
        finding_sites=[FindingSite(codes.SCT.Brain)],
        measurements=[
            Measurement(sheet_code(line["name"]), round(float(line["value"]), 3), UNITS[line["unit"]])
            for line in numbers
        ],
    )
    group[0].ContentSequence.extend(
        text_item(SHEET_REMARK, _in_words(line)) for line in sheet if line not in numbers or line["note"]
    )
    return group


def _in_words(line: Mapping[str, Any]) -> str:
    value = line["value"]
    said = "not computed" if value is None else f"{value} {line['unit']}".strip()
    return f"{line['name']}: {said}" + (f" ({line['note']})" if line["note"] else "")


def _tracking(source: MrSource, identity: ModelIdentity, name: str) -> TrackingIdentifier:
    """The same for the same model and series, whenever it is asked."""
    return TrackingIdentifier(UID(derived_uid("case", source.series_uid, identity.name, name)), name)
