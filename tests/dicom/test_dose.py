"""Dose comes back in Gy at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_case import MARKER, ORIENTATIONS, PATIENT, STUDY, assert_same_place, volume
from pydicom import dcmread
from treatment_response.dicom.dose import read_dose
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.write import write_dose
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


def dose_volume(orientation: str = "axial") -> Volume:
    image = volume(orientation)
    return Volume(image.array / 75, image.affine)  # the marker has 40 Gy


def write(image: Volume, path: Path, **options: object) -> None:
    settings = {"patient": PATIENT, "study": STUDY, "frame_uid": derived_uid("frame"), **options}
    write_dose(image, path, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("bits", [16, 32])
def test_dose_comes_back(orientation: str, bits: int, tmp_path: Path) -> None:
    image = dose_volume(orientation)
    write(image, tmp_path / "rd", bits=bits)
    dose = read_dose(scan_folder(tmp_path).doses[0])
    assert (dose.summation_type, dose.dose_type, dose.frame_uid) == ("PLAN", "PHYSICAL", derived_uid("frame"))
    assert_same_place(dose.volume, image, tolerance=40 / 65535 if bits == 16 else 1e-5)
    assert dose.volume.array.max() == pytest.approx(40, rel=1e-3)


def test_absolute_plane_offsets(tmp_path: Path) -> None:
    """The standard's second form: offsets are the planes' z coordinates."""
    image = dose_volume("axial")
    write(image, tmp_path / "rd")
    dataset = dcmread(tmp_path / "rd")
    z = float(dataset.ImagePositionPatient[2])
    dataset.GridFrameOffsetVector = [f"{z + float(offset):.4f}" for offset in dataset.GridFrameOffsetVector]
    dataset.save_as(tmp_path / "rd")
    assert_same_place(read_dose(tmp_path / "rd").volume, image, tolerance=1e-3)


def test_relative_dose_is_refused(tmp_path: Path) -> None:
    write(dose_volume(), tmp_path / "rd", units="RELATIVE")
    assert scan_folder(tmp_path).doses[0].units == "RELATIVE"
    with pytest.raises(DataProblem, match="sub-001: has dose units RELATIVE, expected GY; export absolute dose"):
        read_dose(tmp_path / "rd", "sub-001")


def test_uneven_planes_are_refused(tmp_path: Path) -> None:
    write(dose_volume(), tmp_path / "rd")
    dataset = dcmread(tmp_path / "rd")
    offsets = [float(value) for value in dataset.GridFrameOffsetVector]
    offsets[MARKER[2]] += 0.8
    dataset.GridFrameOffsetVector = offsets
    dataset.save_as(tmp_path / "rd")
    with pytest.raises(DataProblem, match="mm apart, expected one distance"):
        read_dose(tmp_path / "rd")
    del dataset.GridFrameOffsetVector
    dataset.save_as(tmp_path / "rd")
    with pytest.raises(DataProblem, match="9 planes but 1 plane offsets"):
        read_dose(tmp_path / "rd")


def test_files_without_dose_grid_are_refused(tmp_path: Path) -> None:
    write(dose_volume(), tmp_path / "rd")
    dataset = dcmread(tmp_path / "rd")
    del dataset.PixelData
    dataset.save_as(tmp_path / "rd")
    with pytest.raises(DataProblem, match="not a readable RT Dose"):
        read_dose(tmp_path / "rd")
    with pytest.raises(ValueError, match="negative"):
        write(Volume(np.full((3, 3, 3), -1.0), np.eye(4)), tmp_path / "negative")
