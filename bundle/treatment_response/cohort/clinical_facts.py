"""Clinical facts of a case as numbers that a network takes; 0 is unknown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class ClinicalFact:
    """One fact.

    Attributes:
        column: of the table of cases.
        codes: word → number, of a fact that is a word; a number otherwise.
    """

    column: str
    codes: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        """Whether it is a number, which is scaled on the training cases; words have codes of their own."""
        return not self.codes


FACTS = {
    "sex": ClinicalFact("sex", {"male": 1.0, "female": -1.0}),
    "age": ClinicalFact("age"),
    "idh": ClinicalFact("idh", {"wild type": 1.0, "mutant": -1.0}),
    "mgmt": ClinicalFact("mgmt", {"methylated": 1.0, "unmethylated": -1.0}),
    "weeks": ClinicalFact("weeks"),
}
"""By the names that configs use; the codes are the RANO study's, which does not say which sex is 1."""


def check_facts(names: Any) -> tuple[str, ...]:
    """The names as they are.

    Raises:
        DataProblem: one is no fact, or stands twice.
    """
    given: list[Any] = list(names) if isinstance(names, list | tuple) else [names]
    unknown = [name for name in given if name not in FACTS]
    if unknown or len(set(given)) < len(given):
        what = f"there is no clinical fact {unknown[0]!r}" if unknown else "a clinical fact stands twice"
        raise DataProblem(Problem("config", what, f"choose from {', '.join(FACTS)}, each once"))
    return tuple(given)


def code(name: str, value: Any, where: str) -> float:
    """A fact as a number; 0 if it is unknown (empty, None or not a number).

    Args:
        name: of `FACTS`. value: as the table of cases has it. where: for messages.

    Raises:
        DataProblem: a word without a code, or no number.
    """
    fact = FACTS[name]
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return 0.0
    if not fact.is_number:
        if value not in fact.codes:
            what = f"{fact.column} is {str(value)[:40]!r}"
            raise DataProblem(Problem(where, what, f"write {', '.join(fact.codes)}, or leave it empty"))
        return float(fact.codes[value])
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if not math.isfinite(number):
        what = f"{fact.column} is {str(value)[:40]!r}"
        raise DataProblem(Problem(where, what, "write a number, or leave it empty"))
    return number
