"""The app's own settings, given as ``--conf KEY VALUE`` when the server starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem

FILES = {
    "config": "another inference.json than the bundle's",
    "model": "other weights than the bundle's, such as RUN/models/model.pt",
    "responses": "CSV of each lesion's response, for training",
    "systems": "JSON of more models, by name: config and weights",
}
KEYS = {**FILES, "network": "the network that these files belong to and that the server trains, paper or improved"}


@dataclass(frozen=True)
class Network:
    """A network of the bundle.

    Attributes:
        model: its name in viewers' lists.
        serving: the bundle's configs on top of ``inference.json``. training: those on top of ``train.json``.
    """

    model: str
    serving: tuple[str, ...] = ()
    training: tuple[str, ...] = ()


NETWORKS = {
    "paper": Network("pulsar_response"),
    "improved": Network("pulsar_response_improved", ("improved.json",), ("improved.json",)),
}
"""All that are served, by their names in ``--conf network``."""
_OF_MONAI_LABEL = {"server_mode"}


@dataclass(frozen=True)
class Settings:
    """What was given; None is the default of :data:`KEYS`.

    ``config``, ``model`` and ``responses`` belong to the chosen `network`; the other one is served as the
    bundle delivers it.
    """

    config: Path | None = None
    model: Path | None = None
    responses: Path | None = None
    systems: Path | None = None
    network: str = "paper"

    def serving(self, network: str) -> tuple[Path, ...]:
        """The configs that serve a network, later ones on top."""
        configs = Path(bundle_root()) / "configs"
        base = self.config if network == self.network else None
        return (base or configs / "inference.json", *(configs / name for name in NETWORKS[network].serving))

    def weights(self, network: str) -> Path | None:
        """The weights that serve a network; None: those of its config."""
        return self.model if network == self.network else None


def read_settings(conf: Mapping[str, str] | None) -> Settings:
    """Check the settings.

    Args:
        conf: names and values as MONAI Label hands them over.

    Raises:
        DataProblem: unknown names, files that do not exist, an unknown network; all at once.
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
    if network not in NETWORKS:
        what = f"there is no network {network}"
        problems.append(Problem("--conf network", what, f"known are {', '.join(NETWORKS)}"))
    if problems:
        raise DataProblem(*problems)
    return Settings(network=network, **{key: Path(value).resolve() for key, value in given.items()})
