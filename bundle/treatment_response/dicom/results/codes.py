"""This project's codes, for what neither DICOM nor SNOMED has a word for."""

from __future__ import annotations

import hashlib
import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from treatment_response.dicom.results.model import SOURCE

SCHEME = "99TRESP"
"""Their coding scheme designator."""
_LONGEST_VALUE = 16
"""Of a code's value, in DICOM's value representation SH."""


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


P_RESPONSE = _own("p-response", "Probability of response")
P_NON_RESPONSE = _own("p-non-response", "Probability of non-response")
THRESHOLD = _own("threshold", "Probability of response from which the class is response")
CELLS = _own("cam-cells", "CAM cells of the lesion in its largest slice")
PREDICTED_CLASS = _own("predicted-class", "Predicted response class")
EXPLAINED_CLASS = _own("explained-class", "Class whose evidence the map shows")
EVIDENCE = _own("evidence", "Evidence for a class")
CERTAINTY = _own("certainty", "Calibration and conformal set of the probability")
NOTICE = _own("notice", "Research notice")
TRAINING_DATA = _own("training-data", "Training data of the model")
OUTLINE = _own("outline", "Origin of the outline")
WARNING = _own("warning", "Warning")
RESPONSE_ANSWER = _own("response-answer", "Category by response criteria, with its rule")
SHEET_REMARK = _own("sheet-remark", "Line of a sheet of measured facts, in words")
NOT_PREDICTED = _own("not-predicted", "Region listed and not predicted")
CLASSES = {"response": _own("response", "Response"), "non-response": _own("non-response", "Non-response")}
CONTRIBUTIONS = {
    "response": _own("cam-response", "Highest CAM contribution to the logit of response"),
    "non-response": _own("cam-non-response", "Highest CAM contribution to the logit of non-response"),
}
VARIANTS = {
    "gradcam": _own("gradcam", "Grad-CAM"),
    "gradcampp": _own("gradcampp", "Grad-CAM++"),
    "pixelwise": _own("pixelwise", "Pixel-wise class activation map"),
}

# Units, in UCUM; what stands in braces is a word for readers and means 1. OHIF would show a bare 1 beside the number.
PERCENT = Code("%", "UCUM", "percent")
LOGIT = Code("{logit}", "UCUM", "logit")
CAM_CELLS = Code("{cells}", "UCUM", "cells")
UNITS = {
    "%": PERCENT,
    "Gy": Code("Gy", "UCUM", "gray"),
    "ml": Code("mL", "UCUM", "milliliter"),
    "ml/month": Code("mL/mo", "UCUM", "milliliter per month"),
    "mm": Code("mm", "UCUM", "millimeter"),
    "months": Code("mo", "UCUM", "month"),
}
"""Of the lines of a sheet, by what stands there for readers."""


def class_code(name: str) -> Code:
    """The code of a class of any model; one name has one code.

    Args:
        name: of `treatment_response.classes.Classes`.
    """
    return CLASSES[name] if name in CLASSES else _own(_value(name), name)


def probability_code(name: str) -> Code:
    """The code of a class's probability, for a class of any model."""
    known = {"response": P_RESPONSE, "non-response": P_NON_RESPONSE}
    return known[name] if name in known else _own(_value(f"p-{name}"), f"Probability of {name}")


def sheet_code(name: str) -> Code:
    """The code of a line of a sheet."""
    return _own(_value(name), name)


def _value(name: str) -> str:
    """A code value for a name."""
    value = re.sub(r"\W+", "-", name).strip("-")
    if len(value) > _LONGEST_VALUE:  # the start of two names may be the same
        value = f"{value[:7]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return value


def coding_scheme() -> CodingSchemeIdentificationItem:
    """The declaration of the scheme that every object with such a code holds."""
    return CodingSchemeIdentificationItem(SCHEME, name=SOURCE, responsible_organization=SOURCE)
