"""The boost regions as an RT Structure Set that no planning system takes for a target by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np
from highdicom import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.model import ModelIdentity, mark
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.structure_items import contour_item, frame_of_reference_item, image_item
from treatment_response.geometry import outline_mask
from treatment_response.notice import RESEARCH_ONLY
from treatment_response.problems import DataProblem, Problem

PREFIX = "zCAM_NR_"
"""z sorts it behind the clinical structures; the CAM of non-response."""

HYPOTHESIS = "hypothesis, not a target"

_NAME_LENGTH = 16  # what planning systems show, and some accept, of an ROI's name
_COLOUR = [255, 0, 255]  # magenta, which no band of the map has


def boost_structure_set(
    source: MrSource,
    regions: Mapping[str, np.ndarray],
    identity: ModelIdentity,
    *,
    predictions: Mapping[str, str] | None = None,
    series_number: int = 9004,
) -> Dataset:
    """Boost regions as contours on the MR's slices.

    A name is ``zCAM_NR_`` and the lesion's, or its number after ``#`` where the name is too long or taken. A region
    that leaves out a slice between its slices becomes several ROIs (``zCAM_NR_L1``, ``zCAM_NR_L1#2``), because readers
    of contours, this package's too, take a gap for slices that nobody drew and fill it. Holes are keyholes, see
    :func:`~treatment_response.geometry.outlines.outline_mask`. A region without voxels is an ROI without contours:
    nothing passed. Written in implicit VR, in which a contour may have any number of points.

    Args:
        source: the MR series.
        regions: lesion's name → bool ``(I, J, K)`` on the MR's grid.
        identity: of the model that the regions come from.
        predictions: lesion's name → its predicted class and probability in words, for the ROI's description.
        series_number: Series Number.

    Raises:
        DataProblem: there is no region or a region is on another grid; or see ``check_source``.
    """
    frames.check_source(source, identity)
    if not regions:
        what = "there is no lesion to take a boost region of"
        raise DataProblem(Problem("boost regions", what, "predict at least one lesion first"))
    for lesion, region in regions.items():
        frames.check_grid(region, source, f"boost region of '{lesion}'")
    out = _structure_set(source, identity, series_number)
    names: list[str] = []
    for index, (lesion, region) in enumerate(regions.items(), start=1):
        described = f"'{lesion}'" + (f", {predictions[lesion]}" if predictions else "")
        for part, mask in enumerate(_without_gaps(region), start=1):
            names.append(_roi_name(lesion, index, part, names))
            number = len(names)
            out.StructureSetROISequence.append(_roi(number, names[-1], described, source, identity))
            out.ROIContourSequence.append(_drawn(number, mask, source))
            out.RTROIObservationsSequence.append(_observation(number))
    return out


def _structure_set(source: MrSource, identity: ModelIdentity, series_number: int) -> SOPClass:
    out = SOPClass(
        study_instance_uid=source.study_uid,
        sop_class_uid=RTStructureSetStorage,
        modality="RTSTRUCT",
        transfer_syntax_uid=ImplicitVRLittleEndian,
        content_qualification="RESEARCH",
        **frames.object_arguments(identity, f"{HYPOTHESIS}: boost regions", series_number),
    )
    out.copy_patient_and_study_information(frames.source_images(source, [0])[0])
    out.SpecificCharacterSet = "ISO_IR 192"
    now = datetime.now()
    out.SeriesDate = out.StructureSetDate = now.strftime("%Y%m%d")
    out.SeriesTime = out.StructureSetTime = now.strftime("%H%M%S")
    out.OperatorsName = ""
    out.FrameOfReferenceUID, out.PositionReferenceIndicator = source.frame_uid, ""
    label = mark(identity).replace(" #", "#")  # what planning systems list, at most 16 characters
    out.StructureSetLabel = label if len(label) <= _NAME_LENGTH else RESEARCH_ONLY
    out.StructureSetName = f"{mark(identity)}: {HYPOTHESIS}"
    out.StructureSetDescription = f"{HYPOTHESIS.capitalize()}. {identity.notice}"[: frames.SHORT_TEXT]
    out.ApprovalStatus = "UNAPPROVED"
    images = {image.sop_uid: image.sop_class_uid for image in source.images}
    chain = frame_of_reference_item(source.frame_uid, source.study_uid, source.series_uid, images)
    out.ReferencedFrameOfReferenceSequence = [chain]
    out.StructureSetROISequence, out.ROIContourSequence, out.RTROIObservationsSequence = [], [], []
    return out


def _without_gaps(region: np.ndarray) -> Iterator[np.ndarray]:
    """The region in parts that each fill consecutive slices; at least one part, be it empty."""
    slices = np.flatnonzero(region.any(axis=(0, 1)))
    for run in np.split(slices, np.flatnonzero(np.diff(slices) > 1) + 1):
        part = np.zeros(region.shape, dtype=bool)
        part[:, :, run] = region[:, :, run]
        yield part


def _roi_name(lesion: str, index: int, part: int, taken: list[str]) -> str:
    """At most 16 plain characters; what stands after ``#`` can be in no lesion's name, so it is never taken."""
    own = PREFIX + re.sub(r"[^A-Za-z0-9_-]+", "_", lesion) + (f"#{part}" if part > 1 else "")
    if len(own) <= _NAME_LENGTH and own not in taken:
        return own
    return f"{PREFIX}#{index}" + (f".{part}" if part > 1 else "")


def _roi(number: int, name: str, described: str, source: MrSource, identity: ModelIdentity) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, source.frame_uid
    roi.ROIName, roi.ROIGenerationAlgorithm = name, "AUTOMATIC"
    roi.ROIDescription = f"{HYPOTHESIS}; CAM of non-response in {described}"
    roi.ROIGenerationDescription = f"{identity.name} {identity.version}"
    roi.ROIDerivationAlgorithmIdentificationSequence = identity.algorithm()
    return roi


def _observation(number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.ROIObservationDescription = HYPOTHESIS
    # No type: a GTV, CTV or PTV would enter lists of targets.
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    return observation


def _drawn(number: int, mask: np.ndarray, source: MrSource) -> Dataset:
    drawn = Dataset()
    drawn.ROIDisplayColor, drawn.ReferencedROINumber = _COLOUR, number
    contours = []
    for index, (k, points) in enumerate(outline_mask(mask, source.volume.affine), start=1):
        slice_of = source.images[k]
        image = image_item(slice_of.sop_class_uid, slice_of.sop_uid, slice_of.frame)
        contours.append(contour_item(index, _clearly_open(points), image))
    if contours:
        drawn.ContourSequence = contours
    return drawn


def _clearly_open(points: np.ndarray) -> np.ndarray:
    """The ring from another start, so that its last point differs from its first in x and y, not in z alone.

    plastimatch 1.9 compares x and y only when it looks for a repeated first point, and would drop a corner of sagittal
    and coronal contours.
    """
    edges = points - np.roll(points, 1, axis=0)
    return np.roll(points, -int(np.argmax(np.linalg.norm(edges[:, :2], axis=1))), axis=0)
