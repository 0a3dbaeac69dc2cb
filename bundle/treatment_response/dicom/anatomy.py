"""Read the real head that synthetic lesions are planted into."""

from __future__ import annotations

from pathlib import Path

from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem


def read_anatomy(folder: Path) -> Volume:
    """Read the largest MR series under a folder, whatever else lies there.

    Raises:
        DataProblem: no MR series, or one that cannot be read.
    """
    series = [entry for entry in scan_folder(folder).series if entry.modality == "MR"] if folder.is_dir() else []
    if not series:
        raise DataProblem(
            Problem(f"anatomy folder '{folder.name}'", "no MR series was found in it", "name a folder with one")
        )
    return read_series(max(series, key=lambda entry: len(entry.files)), "anatomy series")
