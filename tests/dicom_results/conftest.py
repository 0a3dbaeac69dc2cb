"""Every kind of MR series in every direction, written and read once for all tests of what is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from result_cases import DIRECTIONS, KINDS, mr_source
from treatment_response.dicom.source import MrSource


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the files of each source in ``KIND-DIRECTION``."""
    return tmp_path_factory.mktemp("mr")


@pytest.fixture(scope="session")
def sources(folders: Path) -> dict[tuple[str, str], MrSource]:
    """(kind, direction) → the series as a source; tests leave it as it is."""
    return {
        (kind, direction): mr_source(folders / f"{kind}-{direction}", kind, direction)
        for kind in KINDS
        for direction in DIRECTIONS
    }
