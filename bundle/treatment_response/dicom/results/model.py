"""Which model made an object, and for which patients its objects may exist."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from highdicom import AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes

from treatment_response.dicom.source import MrSource
from treatment_response.inference.model import RESEARCH_ONLY, notice, training_data_sentence
from treatment_response.problems import DataProblem, Problem

NAME = "PULSAR response"
SOURCE = "treatment-response, research software"


@dataclass(frozen=True)
class ModelIdentity:
    """Name, version and training data of the model, as every object that is made with it states them.

    Attributes:
        name: of the algorithm.
        version: first 12 digits of the SHA-256 of the weights, and the version of this package.
        training_data: one line, such as ``demo (synthetic), 55 lesions of 31 patients``.
        notice: starts with ``RESEARCH ONLY``.
        synthetic: whether the training data were synthetic; None if that is unknown.
    """

    name: str
    version: str
    training_data: str
    notice: str
    synthetic: bool | None

    @classmethod
    def of(cls, model: dict[str, Any]) -> ModelIdentity:
        """From the dictionary of :func:`treatment_response.inference.model.describe_model`."""
        own = version("treatment-response")
        return cls(
            NAME, f"{model['sha256'][:12]}+{own}", training_data_sentence(model), notice(model), model["synthetic"]
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
            parameters={"training data": self.training_data, "calibrated": "no"},
        )


def is_own_series(description: object) -> bool:
    """Whether a Series Description (None if there is none) is that of a series that this software wrote."""
    return str(description or "").upper().startswith(RESEARCH_ONLY)


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
