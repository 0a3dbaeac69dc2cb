"""The parameters of a request to a model that answers case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treatment_response.bands import COUNTS
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.inference.volume_files import EXTENSIONS

from pulsar_app.prediction import criteria_options
from pulsar_app.prediction.criteria_options import CriteriaOptions
from pulsar_app.prediction.options import Reader, WrongValue, band_count, flag, one_of, read_options

PREDICTED = "predicted"
_LONGEST_FACT = 40
MEANINGS = {
    "explanation": "How the map is computed.",
    "shown": "The class whose evidence is coloured: the predicted one, or always the same.",
    "bands": "The number of colours.",
    "store": "Puts the results into the PACS.",
}


@dataclass(frozen=True)
class CaseOptions:
    """What a request asks for.

    Attributes:
        explanation: the model's map that is shown.
        shown: the class that the map explains, or `PREDICTED`.
        bands: number of bands in the label map.
        store: whether the results go into the archive.
        clinical: facts of the patient that the model takes, as they were given; one that is absent is unknown.
        course: what images cannot show, for the response criteria that stand beside the model's answer.
        result_extension: of the label map's file.
        result_compress: whether its data is compressed.
    """

    explanation: str
    shown: str = PREDICTED
    bands: int = COUNTS[0]
    store: bool = False
    clinical: Mapping[str, str] = field(default_factory=dict)
    course: CriteriaOptions = field(default_factory=CriteriaOptions)
    result_extension: str = EXTENSIONS[0]
    result_compress: bool = False


def parse(params: Mapping[str, Any], explainer: CaseExplainer) -> CaseOptions:
    """Check the parameters of a request.

    Raises:
        DataProblem: see `pulsar_app.prediction.options.read_options`.
    """
    readers: dict[str, Reader] = {
        "explanation": one_of(explainer.explanations),
        "shown": one_of((PREDICTED, *explainer.classes.names)),
        "bands": band_count,
        "store": flag,
        "result_extension": one_of(EXTENSIONS),
        "result_compress": flag,
    }
    of_course = criteria_options.COURSE_READERS if explainer.rule else {}
    of_patient = dict.fromkeys(explainer.clinical, _fact)
    given = {"explanation": explainer.explanations[0], **read_options(params, {**readers, **of_course, **of_patient})}
    clinical = {name: text for name in of_patient if (text := given.pop(name, ""))}
    course = CriteriaOptions(**{name: given.pop(name) for name in of_course if name in given})
    return CaseOptions(**given, course=course, clinical=clinical)


def _fact(value: Any) -> str:
    """A fact of the patient, as a text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > _LONGEST_FACT:
        raise WrongValue(f"a word or a number of at most {_LONGEST_FACT} signs, or nothing")
    return str(value).strip()


def choices(explainer: CaseExplainer) -> dict[str, Any]:
    """The options as viewers show them, see `pulsar_app.prediction.options.choices`."""
    return {
        "explanation": list(explainer.explanations),
        "shown": [PREDICTED, *explainer.classes.names],
        "bands": [str(count) for count in COUNTS],
        **dict.fromkeys(explainer.clinical, ""),
        **(criteria_options.course_choices() if explainer.rule else {}),
        "store": False,
    }


def meanings(explainer: CaseExplainer) -> dict[str, str]:
    """What each option of a model means, in the order of `choices`."""
    facts = dict.fromkeys(explainer.clinical, "Of the patient, at this study. Empty: unknown.")
    known = {**criteria_options.MEANINGS, **MEANINGS, **facts}
    return {name: known[name] for name in choices(explainer)}
