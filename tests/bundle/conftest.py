"""The toy data set, written once per process."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_dataset import write_toy_dataset


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("toy") / "dataset")
