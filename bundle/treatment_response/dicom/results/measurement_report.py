"""What every structured report of this software shares: a TID 1500 Measurement Report of one MR, and its parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    GraphicTypeValues,
    ImageRegion,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    SourceImageForRegion,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.certainty import LEAST, MOST
from treatment_response.dicom.results.codes import coding_scheme
from treatment_response.dicom.results.model import SOURCE, Maker
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import outline_mask

_QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")  # of TID 1500, rows 10 to 12


def measurement_report(
    source: MrSource,
    maker: Maker,
    groups: Sequence[MeasurementsAndQualitativeEvaluations],
    texts: Sequence[tuple[Code, str]],
    title: str,
    series_number: int,
    evidence: Sequence[Dataset] = (),
    missing: int = 0,
) -> ComprehensiveSR:
    """Make the document: for research, unverified, its observer a device.

    Args:
        source: the MR series, all images of which are evidence.
        maker: the software or model that is the observer.
        groups: measurement groups.
        texts: name and value of what holds for the whole report.
        title: of the series, after the mark of this software.
        series_number: Series Number.
        evidence: other objects that the report refers to, or that were made with it.
        missing: regions that were found and are not in it: then it is partial and says so.
    """
    content = MeasurementReport(_observer(maker), codes.cid100.MRIUnspecifiedBodyRegion, groups)
    said = ContainerContentItem(
        name=CodedConcept.from_code(_QUALITATIVE), relationship_type=RelationshipTypeValues.CONTAINS
    )
    said.ContentSequence = ContentSequence([text_item(name, value) for name, value in texts])
    content[0].ContentSequence.append(said)
    out = ComprehensiveSR(
        evidence=[*frames.nameless_images(source, range(source.volume.array.shape[2])), *evidence],
        content=content,
        is_complete=not missing,
        content_qualification="RESEARCH",
        coding_schemes=[coding_scheme()],
        **frames.object_arguments(maker, title, series_number),
    )
    if missing:
        out.CompletionFlagDescription = f"found and not predicted: {missing} region{'s' if missing > 1 else ''}"
    frames.complete(out, source, maker)
    for keyword in ("BodyPartExamined", "LossyImageCompression"):  # of images, not of documents
        if keyword in out:
            del out[keyword]
    return out


def _observer(maker: Maker) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", maker.name, maker.version),
        name=maker.name,
        manufacturer_name=SOURCE,
        model_name=maker.name,
        serial_number=maker.version,
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


def text_item(name: Code, value: str) -> TextContentItem:
    """A sentence in a report, with the code of what it is about."""
    return TextContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS)


def whole_percent(probability: float) -> int:
    """In whole percent, from 1 to 99: none is certain, and OHIF leaves a 0 out and shows the unit alone."""
    return round(100 * min(max(probability, LEAST), MOST))


def outlined_region(mask: np.ndarray, k: int, source: MrSource) -> ImageRegion:
    """The outline of a mask in one of the MR's images, of several parts the largest.

    Coordinates are columns and rows; 0 is the outer edge of the first pixel (PS3.3 C.18.6).

    Args:
        mask: bool ``(I, J, K)`` on the MR's grid, with voxels in image ``k``.
    """
    part = np.zeros_like(mask)
    part[:, :, k] = mask[:, :, k]
    rings = [source.volume.to_index(points)[:, :2] + 0.5 for _, points in outline_mask(part, source.volume.affine)]
    ring = max(rings, key=_area)
    image = source.images[k]
    frames_of_image = None if image.frame is None else [image.frame]
    return ImageRegion(
        GraphicTypeValues.POLYLINE,
        np.vstack([ring, ring[:1]]),
        SourceImageForRegion(image.sop_class_uid, image.sop_uid, frames_of_image),
    )


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
