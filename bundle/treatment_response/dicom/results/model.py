"""Which model made an object, and for which patients its objects may exist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol

from highdicom import AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes

from treatment_response.dicom.source import MrSource
from treatment_response.notice import RESEARCH_ONLY, notice, training_data_sentence
from treatment_response.problems import DataProblem, Problem

NAME = "PULSAR response"
SOURCE = "treatment-response, research software"
SUBMITTED = f"{RESEARCH_ONLY} drawn by a person"
"""How the descriptions of series begin that hold what a person submitted through the server."""


class Maker(Protocol):
    """The software that an object says it was made with."""

    @property
    def name(self) -> str:
        """Of the software or model."""

    @property
    def version(self) -> str:
        """Of the software or model."""

    @property
    def notice(self) -> str:
        """A sentence on what the object is; it says that it is for research."""

    @property
    def set_number(self) -> int | None:
        """Which set of results of the study the object belongs to, from 1; None where nobody counts them."""


_SET = re.compile(rf"{RESEARCH_ONLY} #(\d+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class ModelIdentity:
    """Name, version and training data of the model, as every object that is made with it states them.

    Attributes:
        name: of the algorithm.
        version: first 12 digits of the SHA-256 of the weights, and the version of this package.
        training_data: one line, such as ``demo (synthetic), 55 lesions of 31 patients``.
        notice: starts with ``RESEARCH ONLY``.
        synthetic: whether the training data were synthetic; None if that is unknown.
        calibrated: whether its probabilities are.
        set_number: which set of results of the study the objects belong to, from 1; None where nobody counts them.
    """

    name: str
    version: str
    training_data: str
    notice: str
    synthetic: bool | None
    calibrated: bool = False
    set_number: int | None = None

    @classmethod
    def of(cls, model: dict[str, Any], name: str = NAME) -> ModelIdentity:
        """From the dictionary of :func:`treatment_response.inference.model.describe_model`.

        Args:
            model: that dictionary.
            name: of the algorithm.
        """
        own = _own_version()
        return cls(
            name,
            f"{model['sha256'][:12]}+{own}",
            training_data_sentence(model),
            notice(model),
            model["synthetic"],
            bool(model["calibrated"]),
        )

    @property
    def weights(self) -> str:
        """In two words, what the weights were trained on; for descriptions of 64 characters."""
        return {True: "SYNTHETIC DATA", False: "REAL DATA", None: "UNKNOWN DATA"}[self.synthetic]

    def algorithm(self) -> AlgorithmIdentificationSequence:
        """DICOM's algorithm identification."""
        return AlgorithmIdentificationSequence(
            name=self.name,
            family=codes.DCM.ArtificialIntelligence,
            version=self.version,
            source=SOURCE,
            parameters={"training data": self.training_data, "calibrated": "yes" if self.calibrated else "no"},
        )


@cache
def _own_version() -> str:
    return version("treatment-response")


def is_own_series(description: object) -> bool:
    """Whether a Series Description (None if there is none) is that of a result that this software wrote.

    An outline that a person submitted through the server is no result.
    """
    text = str(description or "").upper()
    return text.startswith(RESEARCH_ONLY) and not text.startswith(SUBMITTED.upper())


def mark(maker: Maker) -> str:
    """How the descriptions of an object begin: ``RESEARCH ONLY``, and the number of its set if it has one."""
    return RESEARCH_ONLY if maker.set_number is None else f"{RESEARCH_ONLY} #{maker.set_number}"


def set_number(description: str) -> int:
    """The number of the set that a series of this software belongs to; 1 where its description states none."""
    found = _SET.match(description)
    return int(found[1]) if found else 1


def refuse_mixing(source: MrSource, identity: ModelIdentity) -> None:
    """Keep results of weights that never saw a patient away from patients' records.

    Raises:
        DataProblem: the weights were trained on synthetic data, or on data nobody stated, and the patient is not
            synthetic.
    """
    if identity.synthetic is False or source.is_synthetic:
        return
    origin = "synthetic data" if identity.synthetic else "unknown data (their model.json names none)"
    what = f"the weights were trained on {origin}, and the patient is not marked as synthetic, so nothing was stored"
    raise DataProblem(Problem("DICOM results", what, "use weights that were trained on patients' data"))
