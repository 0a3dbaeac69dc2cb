"""The app's own settings, given as ``--conf KEY VALUE`` when the server starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem

FILES = {
    "config": "another inference.json than the bundle's",
    "model": "the weights, RUN/models/model.pt; by default those of the bundle that the config is part of",
    "responses": "CSV of each lesion's response, for training",
}
KEYS = {**FILES, "network": "a network of the bundle, paper or improved; needs its weights (--conf model)"}
_OVERLAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "paper": ((), ()),
    "improved": (("inference_improved.json",), ("improved.json",)),
}
"""Network → the bundle's configs on top of ``inference.json``, and those on top of ``train.json``."""
_OF_MONAI_LABEL = {"server_mode"}


@dataclass(frozen=True)
class Settings:
    """What was given; None is the default of :data:`KEYS`."""

    config: Path | None = None
    model: Path | None = None
    responses: Path | None = None
    network: str = "paper"

    @property
    def serving(self) -> tuple[Path, ...]:
        """The configs that serve, later ones on top."""
        configs = Path(bundle_root()) / "configs"
        return (self.config or configs / "inference.json", *(configs / name for name in _OVERLAYS[self.network][0]))

    @property
    def training(self) -> tuple[str, ...]:
        """The bundle's configs on top of ``train.json`` that train what is served."""
        return _OVERLAYS[self.network][1]


def read_settings(conf: Mapping[str, str] | None) -> Settings:
    """Check the settings.

    Args:
        conf: names and values as MONAI Label hands them over.

    Raises:
        DataProblem: unknown names, files that do not exist, a network without its weights; all at once.
    """
    given = {key: value for key, value in (conf or {}).items() if key not in _OF_MONAI_LABEL}
    known = ", ".join(KEYS)
    problems = [
        Problem(f"--conf {key}", "there is no such setting", f"known are {known}") for key in given if key not in KEYS
    ]
    problems += [
        Problem(f"--conf {key}", f"there is no file {Path(value).name}", f"give {KEYS[key]}")
        for key, value in given.items()
        if key in FILES and not Path(value).is_file()
    ]
    network = given.pop("network", Settings.network)
    if network not in _OVERLAYS:
        what = f"there is no network {network}"
        problems.append(Problem("--conf network", what, f"known are {', '.join(_OVERLAYS)}"))
    elif network != Settings.network and "model" not in given:
        what = f"the bundle has no weights of the {network} network"
        problems.append(Problem("--conf network", what, "name those of your training with --conf model"))
    if problems:
        raise DataProblem(*problems)
    return Settings(network=network, **{key: Path(value).resolve() for key, value in given.items()})
