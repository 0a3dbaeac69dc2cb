"""What stands on every answer: research only, and the data that the model was trained on."""

from __future__ import annotations

import re
from typing import Any

RESEARCH_ONLY = "RESEARCH ONLY"
"""The mark on everything that shows an answer; with it the descriptions of all DICOM series of this software begin."""
NAME_LENGTH = 64
"""Signs of a data set's name that are shown."""
NO_NAME = "without a usable name"
"""Shown for a data set whose name holds no letter, or words of a claim."""
_CLAIM = re.compile(
    r"\b(approv\w*|cleared|clearance|certif\w*|licen[cs]ed|authori[sz]\w*|validated|calibrated|"
    r"fda|ema|mhra|nmpa|510 ?k|mdr|ce ?mark\w*|medical devices?|for (clinical|diagnos\w*|patients?|treatment|therapy)|"
    r"(clinical|medical|diagnostic|patient|routine) (use|care|practice|decisions?))\b",
    re.IGNORECASE,
)


def shown_name(name: str) -> str:
    """A data set's name as answers show it.

    It is free text of a file from outside. It keeps letters, digits, ``+`` and ``-`` of its first 64 signs, so that it
    stays a name, ends no sentence and brackets no kind or numbers of its own. A name in which an English word claims
    more than research use is not shown at all. No list of such words is complete; the sentence around the name is what
    says that it is a name.
    """
    plain = " ".join(re.sub(r"[^\w+-]+", " ", name).split())
    if not any(sign.isalnum() for sign in plain) or _CLAIM.search(re.sub(r"[-+_ ]+", " ", plain)):
        return NO_NAME
    return plain[:NAME_LENGTH].strip()


def training_data_sentence(model: dict[str, Any]) -> str:
    """The training data in one line, such as ``demo (synthetic), 55 lesions of 31 patients``.

    Args:
        model: from :func:`treatment_response.inference.model.describe_model`.
    """
    name = model["training_data"]
    if name is None:
        return "unknown training data"
    kind = {True: "synthetic", False: "real", None: "kind unknown"}[model["synthetic"]]
    counts = (model["training_lesions"], model["training_patients"])
    cases, patients = ("an unknown number of" if count is None else count for count in counts)
    return f"{name} ({kind}), {cases} {_cases(model)} of {patients} patients"


def notice(model: dict[str, Any]) -> str:
    """What stands on every answer of the model."""
    named = "" if model["training_data"] is None else "the data set "
    kind = f"synthetic {_cases(model)}" if model["synthetic"] else f"{_cases(model)} of these data"
    state = f"calibrated on held-out {kind}" if model["calibrated"] else "not calibrated"
    return (
        f"{RESEARCH_ONLY}, not for clinical decisions. Trained on {named}{training_data_sentence(model)}; "
        f"the probabilities are {state}."
    )


def _cases(model: dict[str, Any]) -> str:
    """What the model's system calls its cases."""
    return str(model.get("cases", "lesions"))
