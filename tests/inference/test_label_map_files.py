"""Label maps as files: whole, or a fault."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from treatment_response.inference.volume_files import EXTENSIONS, write_label_map

LABELS = np.random.default_rng(0).integers(0, 6, (40, 36, 30)).astype(np.uint8)
CASES = [(extension, compress) for extension in EXTENSIONS for compress in (False, True)]


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond 8 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("extension", "compress"), CASES)
def test_what_is_written_comes_back(tmp_path: Path, extension: str, compress: bool) -> None:
    path = tmp_path / f"map{extension}"
    write_label_map(path, LABELS, np.diag([1.0, 1.5, 2.0, 1.0]), compress=compress)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0), LABELS)


@pytest.mark.parametrize(("extension", "compress"), CASES)
def test_half_of_a_label_map_is_a_fault(tmp_path: Path, full_disk: None, extension: str, compress: bool) -> None:
    with pytest.raises(OSError, match="could not be written"):
        write_label_map(tmp_path / f"map{extension}", LABELS, np.diag([1.0, 1.5, 2.0, 1.0]), compress=compress)
