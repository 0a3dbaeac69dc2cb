"""The columns of a table of cases in words, each with its unit: the one place that says how readers see them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from treatment_response.features.tumour_board import QUANTITIES

_OTHERS = {
    "days_between": ("time between the two images", "days"),
    "prescription_gy": ("prescribed dose", "Gy"),
    "modality": ("modality of the radiation", ""),
    "courses": ("courses of radiotherapy", ""),
    "fractions": ("fractions", ""),
    "sex": ("sex", ""),
    "age": ("age", "years"),
    "idh": ("IDH status", ""),
    "mgmt": ("MGMT promoter methylation", ""),
    "weeks": ("time since surgery", "weeks"),
    "weeks_earlier": ("time of the earlier study since surgery", "weeks"),
}
_STUDIES = {
    "": "",
    "_earlier": " at the previous study",
    "_baseline": " at the baseline",
    "_nadir": " at the nadir",
    "_baseline_no_reset": " at the first baseline",
    "_nadir_no_reset": " at the nadir since the first baseline",
}
_VOLUME = re.compile(rf"(\w+?)_mm3({'|'.join(_STUDIES)})")
_COMPARTMENTS = {"enhancing": "enhancing tumour", "necrosis": "necrosis", "oedema": "oedema"}


def column_label(column: str, dose_unit: str | None = None, more: Mapping[str, str] | None = None) -> str:
    """``lesion_v95_ml`` → “lesion inside the 95 % isodose, ml”; a column that nobody has described comes back as it is.

    Args:
        column: of the table of cases. dose_unit: instead of Gy, such as ``EQD2 Gy``.
        more: labels that the data set brings (``columns`` of its ``words``); they count before those here.
    """
    if more is not None and column in more:
        return more[column]
    if (volume := _VOLUME.fullmatch(column)) and volume[1] in _COMPARTMENTS:
        return f"volume of the {_COMPARTMENTS[volume[1]]}{_STUDIES[volume[2]]}, mm³"
    described = {**QUANTITIES, **_OTHERS}
    if column not in described:
        return column
    name, unit = described[column]
    unit = dose_unit if dose_unit is not None and unit == "Gy" else unit
    return f"{name}, {unit}" if unit else name
