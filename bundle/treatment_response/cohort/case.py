"""A case: an entry of ``dataset.json``, one input of a network with what is known about it.

``{"subject": "sub-001", "case": "week-012", "label": 2, "fold": 0, "images": {"t1": FILE, "t2": FILE}, "mask": …}``

``mask`` may be absent, and so may ``session``, which is then the first. PULSAR's entries name one ``image`` and a
``lesion``, which is their case; both forms are read here and nowhere else. The tables of a data set and of predictions
follow the same rule: ``lesions.csv`` with a column ``lesion`` is PULSAR's, ``cases.csv`` with ``case`` all others'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.layout import CASES, LESIONS
from treatment_response.cohort.lesion import BASELINE
from treatment_response.problems import DataProblem, Problem

FIRST_COLUMNS = ("subject", "case", "fold", "label")
RESERVED = frozenset({"subject", "case", "lesion", "session", "label", "fold", "person", "mask", "images", "reason"})
"""Fields of an entry that no image may be named after."""


def images_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """Name → path of an entry's images; PULSAR's only one is called ``image``."""
    return dict(entry["images"]) if "images" in entry else {"image": entry["image"]}


def case_name(entry: Mapping[str, Any]) -> str:
    """The case's name, unique within its subject; PULSAR's entries call it ``lesion``."""
    return str(entry["case"] if "case" in entry else entry["lesion"])


def case_of(entry: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """An entry as transforms take it: every image under its own name, absolute paths, ``case``, ``session``.

    ``lesion`` says the same as ``case``.
    """
    images = {name: str(root / path) for name, path in images_of(entry).items()}
    name = case_name(entry)
    case = {**entry, **images, "case": name, "lesion": name, "session": entry.get("session", BASELINE)}
    return {**case, "images": images, **({"mask": str(root / entry["mask"])} if "mask" in entry else {})}


def case_column(classes: Classes) -> str:
    """What a table calls a case: PULSAR's say ``lesion``."""
    return "lesion" if classes == RESPONSE else "case"


def with_case(table: pd.DataFrame) -> pd.DataFrame:
    """A table of cases or of predictions with the column ``case``, ``lesion`` read as it, the common columns first."""
    named = table.rename(columns={"lesion": "case"}) if "case" not in table else table
    first = [name for name in FIRST_COLUMNS if name in named]
    return named[first + [name for name in named if name not in first]]


def table_file(dataset_dir: Path) -> Path:
    """Where the table of a prepared data set is.

    Raises:
        DataProblem: there is none.
    """
    path = next((dataset_dir / name for name in (CASES, LESIONS) if (dataset_dir / name).is_file()), None)
    if path is None:
        raise DataProblem(Problem("data set", f"there is neither {CASES} nor {LESIONS}", "prepare it again"))
    return path


def read_cases(dataset_dir: str | Path) -> pd.DataFrame:
    """The table of a prepared data set, ``cases.csv`` or ``lesions.csv``, as `with_case` gives it.

    Raises:
        DataProblem: there is neither, or it lacks one of the common columns.
    """
    path = table_file(Path(dataset_dir))
    table = with_case(pd.read_csv(path, dtype={"subject": str, "lesion": str, "case": str}))
    if absent := [name for name in FIRST_COLUMNS if name not in table]:
        raise DataProblem(Problem(path.name, f"it has no column {', '.join(absent)}", "prepare the data set again"))
    return table
