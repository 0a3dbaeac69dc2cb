"""The parameters of a request to measure response: what images cannot show, and what becomes of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treatment_response.criteria.clinical import IMPROVED, STABLE, WORSE, ClinicalState, PatientCourse
from treatment_response.criteria.patient import CRITERIA_SETS
from treatment_response.criteria.rules import Criteria
from treatment_response.inference.volume_files import EXTENSIONS

from pulsar_app.prediction.options import Reader, WrongValue, flag, one_of, read_options

NOT_KNOWN = "not known"
_MOST_MG, _MOST_DAYS = 200.0, 36_500.0
MEANINGS = {
    "steroids_mg": "Dexamethasone or its equivalent at this study, mg a day. Empty: not known.",
    "baseline_steroids_mg": "The same at the baseline.",
    "state": "Clinical state, as far as the tumour causes it. Without steroids and state the answer is an "
    "imaging category, not RANO.",
    "operation": "Days before this study; it begins a new baseline. Empty: none.",
    "radiotherapy_end": "Days before this study; the first study after it is the baseline. Empty: none.",
    "treatment_start": "Days before this study; the last study before it is the baseline. Empty: none.",
    "immunotherapy": "A new lesion alone is no progression by RANO-BM.",
    "store": "Puts a structured report with both diameters of each lesion into the PACS.",
}


@dataclass(frozen=True)
class CriteriaOptions:
    """What a request asks for; None is not known.

    Attributes:
        steroids_mg, baseline_steroids_mg: dexamethasone or its equivalent, mg a day.
        state: clinical state, or `NOT_KNOWN`.
        operation, radiotherapy_end, treatment_start: days before the study.
        immunotherapy: whether a new lesion alone is no progression by RANO-BM.
        store: whether the results go into the archive.
        result_extension: of the label map's file.
        result_compress: whether its data is compressed.
    """

    steroids_mg: float | None = None
    baseline_steroids_mg: float | None = None
    state: str = NOT_KNOWN
    operation: float | None = None
    radiotherapy_end: float | None = None
    treatment_start: float | None = None
    immunotherapy: bool = False
    store: bool = False
    result_extension: str = EXTENSIONS[0]
    result_compress: bool = False

    @property
    def criteria(self) -> tuple[Criteria, ...]:
        """The criteria that judge."""
        return CRITERIA_SETS["rano2"] + CRITERIA_SETS["rano-bm-immunotherapy" if self.immunotherapy else "rano-bm"]

    def course(self, days: Sequence[int], number: int) -> PatientCourse:
        """What is known beside the images.

        Args:
            days: of the patient's studies. number: which of them is the request's.
        """
        now = days[number]
        state = None if self.state == NOT_KNOWN else self.state
        earlier = [ClinicalState(day, self.baseline_steroids_mg) for day in days[:number]]
        events = (self.operation, self.radiotherapy_end, self.treatment_start)
        operations, ends, starts = (() if before is None else (now - round(before),) for before in events)
        return PatientCourse(operations, ends, starts, (*earlier, ClinicalState(now, self.steroids_mg, state)))


def parse(params: Mapping[str, Any]) -> CriteriaOptions:
    """Check the parameters of a request.

    Raises:
        DataProblem: see `pulsar_app.prediction.options.read_options`.
    """
    return CriteriaOptions(**read_options(params, _READERS))


def choices() -> dict[str, Any]:
    """The options as viewers show them, see `pulsar_app.prediction.options.choices`."""
    numbers = dict.fromkeys(
        ("steroids_mg", "baseline_steroids_mg", "operation", "radiotherapy_end", "treatment_start"), ""
    )
    shown = {**numbers, "state": [NOT_KNOWN, IMPROVED, STABLE, WORSE], "immunotherapy": False, "store": False}
    return {name: shown[name] for name in MEANINGS}


def course_choices() -> dict[str, Any]:
    """Of these, what is known beside the images."""
    return {name: choice for name, choice in choices().items() if name in COURSE_READERS}


def _number(most: float, right: str) -> Reader:
    """A reader of a number from 0 on, as a number or a text; an empty text is not known."""

    def read(value: Any) -> float | None:
        if value == "":
            return None
        try:
            number = float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError):
            raise WrongValue(right) from None
        if not 0 <= number <= most:
            raise WrongValue(right)
        return number

    return read


_STEROIDS = _number(_MOST_MG, f"mg of dexamethasone a day, 0 to {_MOST_MG:g}, or nothing")
_DAYS = _number(_MOST_DAYS, "the number of days before this study, or nothing")
COURSE_READERS: dict[str, Reader] = {
    "steroids_mg": _STEROIDS,
    "baseline_steroids_mg": _STEROIDS,
    "state": one_of((NOT_KNOWN, IMPROVED, STABLE, WORSE)),
    "operation": _DAYS,
    "radiotherapy_end": _DAYS,
    "treatment_start": _DAYS,
}
"""Of what is known beside the images."""
_READERS: dict[str, Reader] = {
    **COURSE_READERS,
    "immunotherapy": flag,
    "store": flag,
    "result_extension": one_of(EXTENSIONS),
    "result_compress": flag,
}
