"""What a DICOM object says, as nested values, without what is new in every object: for golden values."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSdecimal, DSfloat

NEW_EVERY_TIME = frozenset({"UI", "DA", "TM", "DT"})
"""Value representations of UIDs, dates and times."""
PERSON, PIXELS = "PN", frozenset({"OB", "OW", "OF", "OD"})
LEFT_OUT = frozenset({"SoftwareVersions"})
LONGEST_LIST = 12
"""Longer lists of numbers are coordinates, which are compared as an array."""


def content(dataset: Dataset) -> tuple[dict[str, Any], np.ndarray]:
    """What an object says.

    Returns:
        Keyword → value, sequences as lists of the same; and all coordinates of contours in their order, ``(N,)``.
    """
    coordinates: list[float] = []
    values = _content(dataset, coordinates)
    return values, np.array(coordinates, np.float64)


def _content(dataset: Dataset, coordinates: list[float]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for element in dataset:
        if element.VR in {*NEW_EVERY_TIME, *PIXELS, PERSON} or element.keyword in LEFT_OUT:
            continue
        if element.VR == "SQ":
            values[element.keyword] = [_content(item, coordinates) for item in element.value]
            continue
        value = _plain(element.value)
        if isinstance(value, list) and len(value) > LONGEST_LIST and not isinstance(value[0], str):
            coordinates += value
            value = f"{len(value)} numbers"
        values[element.keyword or str(element.tag)] = value
    return values


def _plain(value: Any) -> Any:
    """Numbers and texts as JSON has them."""
    if isinstance(value, MultiValue | list):
        return [_plain(item) for item in value]
    if isinstance(value, DSfloat | DSdecimal | float):
        return float(value)
    return int(value) if isinstance(value, int) else None if value is None else str(value)
