"""Configs of the bundle and on top of it: where they are, what they hold together, and how long they train."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from treatment_response.paths import bundle_root, root_of_config
from treatment_response.problems import DataProblem, Problem

BASE_FIRST = "name train.json first, then what goes on top of it"


def config_files(names: Sequence[str], option: str = "--overlay") -> list[Path]:
    """The files of some configs: a bare name is one of the bundle's ``configs/``, anything else a path.

    Raises:
        DataProblem: one is not there or cannot be read; `option` is what the user should look at.
    """
    files = []
    for name in names:
        bare = Path(name).name == name
        files.append(Path(bundle_root()) / "configs" / name if bare else Path(name))
        if not files[-1].is_file():
            what = f"{name} is no config" + (" of this bundle" if bare else "")
            raise DataProblem(Problem(option, what, "name one of bundle/configs, or a file as ./my.json"))
        _check(files[-1], option)
    return files


def read_configs(names: Sequence[str], option: str = "--overlay", **settings: Any) -> ConfigParser:
    """Some configs, later ones on top of earlier ones, as a parser that builds what they declare.

    Args:
        names: of `config_files`; `option` is what the user should look at.
        settings: values instead of the configs', such as ``dataset_dir``.

    Raises:
        DataProblem: one cannot be used, or changes what the earlier ones do not have.
    """
    files = config_files(names, option)
    parser = ConfigParser()
    try:
        parser.read_config([str(file) for file in files])
    except KeyError as error:
        absent = str(error.args[0]).rpartition(" ")[2]
        raise DataProblem(Problem(option, f"it has no {absent}", BASE_FIRST)) from None
    parser["bundle_root"] = root_of_config(files[0])
    for name, value in settings.items():
        parser[name] = value
    return parser


def fingerprints(names: Sequence[str], option: str = "--overlay") -> dict[str, str]:
    """Name → the start of its file's SHA-256."""
    found: dict[str, str] = {}
    for name, file in zip(names, config_files(names, option), strict=True):
        # Files of one name in two folders must not stand for each other.
        found[name if file.name in found else file.name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def planned_epochs(overlays: Sequence[str]) -> int:
    """How many epochs ``train.json`` with these overlays trains for.

    Raises:
        DataProblem: an overlay cannot be used, or says no number.
    """
    parser = read_configs(["train.json", *overlays])
    try:
        return int(parser["max_epochs"])
    except (TypeError, ValueError):
        what = f"max_epochs is {parser['max_epochs']!r}, no whole number"
        raise DataProblem(Problem("--overlay", what, "say for how many epochs to train")) from None


def _check(file: Path, option: str) -> None:
    try:
        readable = isinstance(ConfigParser.load_config_file(str(file)), dict)
    except Exception:  # JSON and YAML raise many kinds
        readable = False
    if not readable:
        raise DataProblem(Problem(option, f"{file.name} holds no config", "write it as JSON in { }"))
