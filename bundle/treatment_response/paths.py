"""Where this bundle lies, whatever the working directory: in a checkout, unpacked from its zip, or under torchrun."""

from __future__ import annotations

from pathlib import Path


def bundle_root() -> str:
    """The bundle's root: the folder that holds ``configs/``, ``models/`` and this package."""
    return str(Path(__file__).resolve().parent.parent)
