"""Where a data set and its key may be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from treatment_response.cohort.prepare_command import check_key_place, check_output_place
from treatment_response.problems import DataProblem


def test_a_data_set_is_not_written_into_the_hospitals_folder(tmp_path: Path) -> None:
    check_output_place(tmp_path / "new" / "data", tmp_path / "dicom")
    with pytest.raises(DataProblem, match="only read"):
        check_output_place(tmp_path / "dicom" / "data", tmp_path / "dicom")


def test_a_place_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataProblem, match="nothing can be written"):
        check_output_place(tmp_path / "file" / "data", None)


def test_a_key_that_is_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="no file"):
        check_key_place(tmp_path, tmp_path / "data")
