"""The classes of a case, by their number: in labels, in weights, on screens and in every file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treatment_response.problems import DataProblem, Problem

MOST_CLASSES = 20
_NAME = re.compile(r"[A-Za-z][\w -]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Classes:
    """What a system tells apart.

    Attributes:
        names: in the order of the class numbers, at least two.
        finding: the class that one looks for; sensitivity without another word is of it.
        primary_metric: the number that a headline names, one of `treatment_response.metrics.scores`.
        order: the same names from the best to the worst, where the classes have an order; empty where they have none.
            It is declared, never read off the numbers, and scores of ordered classes are not given without it.

    Raises:
        ValueError: names that cannot stand in a file, stand twice, or do not hold the finding; an order of other names;
            a primary metric that these classes do not have.
    """

    names: tuple[str, ...]
    finding: str
    primary_metric: str = "auc"
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MOST_CLASSES or len({column(name) for name in self.names}) != len(self.names):
            raise ValueError(f"classes are 2 to {MOST_CLASSES} different names, got {', '.join(self.names)}")
        if not all(_NAME.fullmatch(name) for name in self.names):
            raise ValueError("a class is named by up to 40 letters, digits, spaces, _ or -, a letter first")
        if self.finding not in self.names:
            raise ValueError(f"the finding is none of the classes {', '.join(self.names)}")
        if self.order and sorted(self.order) != sorted(self.names):
            raise ValueError(f"the order {', '.join(self.order)} does not hold each class once")
        if self.primary_metric == "quadratic_kappa" and len(self.names) > 2 and not self.order:
            raise ValueError("quadratic_kappa needs the order of the classes")
        if self.primary_metric == "ordinal_error":
            raise ValueError("ordinal_error says a direction and is no primary metric")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the classes' probabilities in prediction tables."""
        return tuple(column(name) for name in self.names)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Of each class its place in the order, 0 the best; empty without an order."""
        return tuple(self.order.index(name) for name in self.names) if self.order else ()

    def content(self) -> dict[str, Any]:
        """The entry ``classes`` of ``dataset.json`` and ``model.json``."""
        order = {"order": list(self.order)} if self.order else {}
        return {"names": list(self.names), "finding": self.finding, "primary_metric": self.primary_metric, **order}


def column(name: str) -> str:
    """The column of a class's probability: ``p_`` and the name, ``_`` for what is no letter or digit."""
    return "p_" + re.sub(r"\W+", "_", name)


RESPONSE = Classes(("non-response", "response"), "non-response")
"""PULSAR's: what a data set or a model without an entry of its own speaks of."""
CLASS_NAMES = RESPONSE.names


def read_classes(content: Mapping[str, Any], where: str) -> Classes:
    """The classes of a ``dataset.json``; those of PULSAR where it has no entry ``classes``.

    Args:
        content: of the file. where: what the user should look at if the entry is wrong.

    Raises:
        DataProblem: the entry is wrong.
    """
    if "classes" not in content:
        return RESPONSE
    try:
        return classes_of(content["classes"])
    except ValueError as error:
        remedy = 'write {"names": [...], "finding": one of them, "primary_metric": "auc"}, "order" where there is one'
        raise DataProblem(Problem(where, f"its classes cannot be used: {error}", remedy)) from None


def classes_of(given: Any) -> Classes:
    """Classes as `Classes.content` writes them; two names alone are PULSAR's.

    Raises:
        ValueError: with what is wrong.
    """
    if given == {"names": list(RESPONSE.names)}:
        return RESPONSE
    known = {"names", "finding", "primary_metric", "order"}
    if not isinstance(given, dict) or not {"names", "finding"} <= set(given) <= known:
        raise ValueError(f"its classes are not {' and '.join(RESPONSE.names)}, and not names with a finding")
    names, finding, primary = given["names"], given["finding"], given.get("primary_metric", "auc")
    order = given.get("order", [])
    texts = [finding, primary, *names, *order] if isinstance(names, list) and isinstance(order, list) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("names or order is no list of texts, or finding and primary_metric are no texts")
    return Classes(tuple(names), finding, primary, tuple(order))
