"""The app's own settings, given as ``--conf KEY VALUE`` when the server starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from treatment_response.problems import DataProblem, Problem

KEYS = {
    "config": "another inference.json than the bundle's",
    "model": "the weights, RUN/models/model.pt; the bundle's by default",
    "responses": "CSV of each lesion's response, for training",
}
_OF_MONAI_LABEL = {"server_mode"}


@dataclass(frozen=True)
class Settings:
    """Paths that were given; None is the default of :data:`KEYS`."""

    config: Path | None = None
    model: Path | None = None
    responses: Path | None = None


def read_settings(conf: Mapping[str, str] | None) -> Settings:
    """Check the settings.

    Args:
        conf: names and values as MONAI Label hands them over.

    Raises:
        DataProblem: unknown names (all at once), or files that do not exist.
    """
    given = {key: value for key, value in (conf or {}).items() if key not in _OF_MONAI_LABEL}
    known = ", ".join(KEYS)
    problems = [
        Problem(f"--conf {key}", "there is no such setting", f"known are {known}") for key in given if key not in KEYS
    ]
    problems += [
        Problem(f"--conf {key}", f"there is no file {Path(value).name}", f"give {KEYS[key]}")
        for key, value in given.items()
        if key in KEYS and not Path(value).is_file()
    ]
    if problems:
        raise DataProblem(*problems)
    return Settings(**{key: Path(value).resolve() for key, value in given.items()})
