"""The methods that are compared, by name. A new one is one more object here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from treatment_response.evaluation.comparison.feature_methods import FEATURE_METHODS
from treatment_response.evaluation.comparison.fusion import Fusion
from treatment_response.evaluation.comparison.method import Method
from treatment_response.evaluation.comparison.network_methods import NETWORK_METHODS
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem, Problem

FUSION = "fusion"
FUSED = ("improved", "gradient", "radiomics")
"""The parts of the fusion."""
_ALL: dict[str, Method] = {**FEATURE_METHODS, **NETWORK_METHODS}
_ALL[FUSION] = Fusion(FUSION, tuple(_ALL[name] for name in FUSED))
AFTER_MRI_2 = tuple(name for name, method in _ALL.items() if method.known is Known.AFTER_MRI_2)
"""Methods that see both MRIs: they stand in tables headed so, and in no other."""
METHODS = {name: _ALL[name] for name in (*(name for name in _ALL if name not in AFTER_MRI_2), *AFTER_MRI_2)}
"""Name → method, in the order in which they run."""
USUAL = ("size", "clinical", "radiomics", "gradient", "ensemble", "cnn")
REFERENCES = ("cnn", "size")
"""The first of these that is compared is the one that the others' differences are to."""
MEASURED = {name: method.measured for name, method in METHODS.items() if method.measured}
"""Method on features of the images → the groups that are measured for it."""
BASELINES = tuple(name for name, method in METHODS.items() if method.without_images and name not in AFTER_MRI_2)
"""Methods that look at no picture and are known before treatment."""


def check_methods(names: Sequence[str]) -> None:
    """Refuse names that are no method, twice the same, or none.

    Raises:
        DataProblem: with the names to choose from.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names or len(set(names)) < len(names):
        what = f"'{unknown[0]}' is no method" if unknown else "name at least one method, each once"
        raise DataProblem(Problem("--methods", what, f"choose from {', '.join(METHODS)}"))


def with_parts(names: Sequence[str]) -> list[Method]:
    """Some methods and the parts of these, each once and parts first."""
    parts = {part.name for name in names for part in METHODS[name].parts}
    return [method for name, method in METHODS.items() if name in names or name in parts]


def candidate_features(name: str, counts: Mapping[str, int]) -> int | None:
    """How many features a method on features of the images may choose from; None for another method.

    Args:
        counts: group → number of its features, of the groups that were measured.
    """
    return METHODS[name].candidates(counts)
