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
        DataProblem: one is not there; `option` is what the user should look at.
    """
    files = []
    for overlay in overlays:
        bare = Path(overlay).name == overlay
        files.append(Path(bundle_root()) / "configs" / overlay if bare else Path(overlay))
        if not files[-1].is_file():
            what = f"{overlay} is no config" + (" of this bundle" if bare else "")
            raise DataProblem(Problem(option, what, "name one of bundle/configs, or a file as ./my.json"))
    return files


def fingerprints(overlays: Sequence[str], option: str = "--overlay") -> dict[str, str]:
    """Overlay → the start of its file's SHA-256."""
    files = overlay_files(overlays, option)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def planned_epochs(overlays: Sequence[str]) -> int:
    """How many epochs ``train.json`` with these overlays trains for."""
    parser = ConfigParser()
    parser.read_config([str(file) for file in overlay_files(["train.json", *overlays])])
    return int(parser["max_epochs"])
