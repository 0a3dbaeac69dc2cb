"""The volumes that a model needs of a study, as its config declares them under ``inputs``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from treatment_response.problems import DataProblem, Problem

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_EXAMPLE = 'write {"name": {"find": "this series"}, …}'


@dataclass(frozen=True)
class DeclaredInput:
    """One volume that a model needs.

    Attributes:
        find: how a server finds it, a name that the server knows, such as ``this series``.
    """

    find: str


def declared_inputs(given: Any) -> dict[str, DeclaredInput]:
    """Check the entry ``inputs`` of a config.

    Args:
        given: name in a case → ``{"find": …}``.

    Raises:
        DataProblem: it is something else, or empty.
    """
    if not isinstance(given, dict) or not given:
        raise DataProblem(Problem("config", "'inputs' names no volume", _EXAMPLE))
    found = {}
    for name, entry in given.items():
        if not _NAME.fullmatch(str(name)):
            what = f"'inputs' has the name {str(name)[:40]!r}, expected letters, digits and _"
            raise DataProblem(Problem("config", what, _EXAMPLE))
        if not isinstance(entry, dict) or set(entry) != {"find"} or not isinstance(entry["find"], str):
            raise DataProblem(Problem("config", f"'inputs' says of {name} not how to find it", _EXAMPLE))
        found[name] = DeclaredInput(entry["find"])
    return found
