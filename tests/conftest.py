"""What several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, which is not part of the project; tests that need it skip without it."""
    folder = Path(os.environ.get("TREATMENT_RESPONSE_DATA", "../shared/data"))
    if not folder.is_absolute():
        folder = (REPOSITORY / folder).resolve()
    if not folder.is_dir():
        pytest.skip("real test images are missing: set TREATMENT_RESPONSE_DATA to their folder")
    return folder
