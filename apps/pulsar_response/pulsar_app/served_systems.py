"""The systems that a server offers beside the bundle's own models, from the file of ``--conf systems``.

The file names for each model its config and its weights, relative to itself. Several configs lie on top of each other
in their order; several weights are an ensemble:

```json
{"rice_net": {"config": "rice_net.json", "weights": ["fold_0/models/model.pt", "fold_1/models/model.pt"]}}
```
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treatment_response.model_description import read_object
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WHERE = "--conf systems"
_EXAMPLE = 'write {"name": {"config": "overlay.json", "weights": "run/models/model.pt"}}'


@dataclass(frozen=True)
class ServedSystem:
    """A model that answers case by case.

    Attributes:
        model: its name in viewers' lists.
        configs: `inference.json` and what goes on top.
        weights: one file, or the members of an ensemble.
    """

    model: str
    configs: tuple[Path, ...]
    weights: Path | tuple[Path, ...]


def read_systems(file: Path, taken: Collection[str] = ()) -> tuple[ServedSystem, ...]:
    """Read the file.

    Args:
        file: JSON. taken: names of models that the server has already.

    Raises:
        DataProblem: it is no such file; all entries that are wrong, at once.
    """
    problems: list[Problem] = []
    systems = []
    for name, entry in read_object(file, _WHERE).items():
        where = f"{_WHERE}, {name[:40]!r}"
        if not _NAME.fullmatch(name) or name in taken:
            remedy = "name it by small letters, digits and _, and as no other model"
            problems.append(Problem(where, "a model cannot have this name here", remedy))
        weights = _texts(entry.get("weights")) if isinstance(entry, dict) else []
        config = _texts(entry.get("config")) if isinstance(entry, dict) else []
        if not weights or not config or set(entry) != {"config", "weights"}:
            problems.append(Problem(where, "it does not name its config and its weights", _EXAMPLE))
            continue
        configs = [_config(file.parent, name) for name in config]
        files = [*configs, *(file.parent / path for path in weights)]
        problems += [
            Problem(where, f"there is no file {path.name}", "name files relative to this one")
            for path in files
            if not path.is_file()
        ]
        found = tuple(path.resolve() for path in files[len(configs) :])
        base = Path(bundle_root()) / "configs" / "inference.json"
        one = found[0] if isinstance(entry["weights"], str) else found
        systems.append(ServedSystem(name, (base, *(path.resolve() for path in configs)), one))
    if problems:
        raise DataProblem(*problems)
    return tuple(systems)


def _texts(value: Any) -> list[str]:
    """A text, or a list of texts, as a list; empty for anything else."""
    values = [value] if isinstance(value, str) else value
    return values if isinstance(values, list) and all(isinstance(one, str) and one for one in values) else []


def _config(folder: Path, name: str) -> Path:
    """The config beside the file; failing that one of the bundle."""
    beside, bundled = folder / name, Path(bundle_root()) / "configs" / name
    return bundled if not beside.is_file() and Path(name).name == name and bundled.is_file() else beside
