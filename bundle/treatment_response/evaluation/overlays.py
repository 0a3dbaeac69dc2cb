"""Configs on top of ``train.json``: where they are, what they hold, and how long they train."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser

from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem


def overlay_files(overlays: Sequence[str], option: str = "--overlay") -> list[Path]:
    """The files of some overlays: a bare name is one of the bundle's ``configs/``, anything else a path.

    Raises:
        DataProblem: one is not there or cannot be read; `option` is what the user should look at.
    """
    files = []
    for overlay in overlays:
        bare = Path(overlay).name == overlay
        files.append(Path(bundle_root()) / "configs" / overlay if bare else Path(overlay))
        if not files[-1].is_file():
            what = f"{overlay} is no config" + (" of this bundle" if bare else "")
            raise DataProblem(Problem(option, what, "name one of bundle/configs, or a file as ./my.json"))
        _check(files[-1], option)
    return files


def fingerprints(overlays: Sequence[str], option: str = "--overlay") -> dict[str, str]:
    """Overlay → the start of its file's SHA-256."""
    found: dict[str, str] = {}
    for overlay, file in zip(overlays, overlay_files(overlays, option), strict=True):
        # Files of one name in two folders must not stand for each other.
        name = overlay if file.name in found else file.name
        found[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def planned_epochs(overlays: Sequence[str]) -> int:
    """How many epochs ``train.json`` with these overlays trains for.

    Raises:
        DataProblem: an overlay cannot be used, or says no number.
    """
    parser = ConfigParser()
    parser.read_config([str(file) for file in overlay_files(["train.json", *overlays])])
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
