"""What kind of object a SOP class is."""

from __future__ import annotations

from pydicom.uid import RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from treatment_response.dicom.segmentations import SEGMENTATION_CLASSES

_STORAGE = "1.2.840.10008.5.1.4.1.1."
IMAGE_KINDS = ("MR", "CT", "PT")
"""Modalities whose images make up series."""
_KINDS = {
    **{f"{_STORAGE}{end}": "MR" for end in ("4", "4.1", "4.3", "4.4")},
    **{f"{_STORAGE}{end}": "CT" for end in ("2", "2.1", "2.2")},
    **{f"{_STORAGE}{end}": "PT" for end in ("128", "128.1", "130")},
    str(RTStructureSetStorage): "RTSTRUCT",
    str(RTDoseStorage): "RTDOSE",
    **dict.fromkeys((str(RTPlanStorage), f"{_STORAGE}481.8"), "RTPLAN"),  # of photons and of ions
    **{f"{_STORAGE}481.{end}": "RTRECORD" for end in ("4", "6", "7", "9")},  # beams, brachytherapy, summary, ions
    **dict.fromkeys(SEGMENTATION_CLASSES, "SEG"),
}
KINDS = frozenset(_KINDS.values())
"""Kinds of objects that the ingest uses."""


def kind_of_class(sop_class_uid: str) -> str:
    """``MR``, ``CT``, ``PT``, ``RTSTRUCT``, ``RTDOSE``, ``RTPLAN`` or ``SEG``; empty for any other SOP class."""
    return _KINDS.get(sop_class_uid, "")
