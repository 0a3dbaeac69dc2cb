"""Items of RT Structure Sets: contours, and the images that they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydicom.dataset import Dataset

from treatment_response.geometry import flip_lps_ras

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which the attribute asks for


def image_item(sop_class_uid: str, sop_uid: str, frame: int | None = None) -> Dataset:
    """A reference to an image, or to one frame (1-based) of a multi-frame one."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_uid
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def frame_of_reference_item(frame_uid: str, study_uid: str, series_uid: str, images: Mapping[str, str]) -> Dataset:
    """The chain frame of reference → study → series → images that links contours to what they were drawn on.

    Args:
        frame_uid: Frame of Reference UID.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        images: SOP Instance UID of each image of the series → its SOP class.
    """
    series = Dataset()
    series.SeriesInstanceUID = series_uid
    series.ContourImageSequence = [image_item(sop_class, uid) for uid, sop_class in images.items()]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = frame_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def contour_item(number: int, points: np.ndarray, image: Dataset, geometric_type: str = "CLOSED_PLANAR") -> Dataset:
    """One contour.

    Args:
        number: within its ROI, from 1.
        points: ``(N, 3)`` RAS mm.
        image: reference to the slice that it lies on.
        geometric_type: Contour Geometric Type.
    """
    contour = Dataset()
    contour.ContourNumber, contour.ContourGeometricType = number, geometric_type
    contour.NumberOfContourPoints = len(points)
    contour.ContourImageSequence = [image]
    # 4 decimals are 0.1 µm and keep a decimal string short, as planning systems write them.
    contour.ContourData = [f"{value:.4f}" for value in flip_lps_ras(points).ravel()]
    return contour
