"""Written objects: valid by an independent checker, the same bytes twice, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_case import PATIENT, STUDY, volume, write
from pydicom import dcmread
from treatment_response.dicom.write import (
    TransferSyntax,
    WrittenSeries,
    write_dose,
    write_enhanced_series,
    write_plan,
    write_structure_set,
)
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume


def write_all(folder: Path) -> WrittenSeries:
    image = volume()
    series = write(image, folder / "mr", contrast=True)
    write(image, folder / "plain", "plain", contrast=False, slope=0.5, intercept=-3)
    write(image, folder / "rle", "rle", transfer_syntax=TransferSyntax.RLE, signed=True)
    write(image, folder / "j2k", "j2k", transfer_syntax="JPEG2000Lossless")
    common = {"patient": PATIENT, "study": STUDY}
    frame_uid = derived_uid("frame")
    write_enhanced_series(image, folder / "enhanced.dcm", series_uid=derived_uid("e"), frame_uid=frame_uid, **common)
    contour = image.to_world(np.array([[1, 1, 2], [6, 1, 2], [6, 9, 2]]))
    structures = write_structure_set({"GTV": [contour], "None": []}, folder / "rs.dcm", referenced=series, **common)
    plan = write_plan(
        folder / "rp.dcm", structure_set_uid=structures, frame_uid=frame_uid, prescription_gy=15.5, **common
    )
    write_dose(image, folder / "rd.dcm", frame_uid=frame_uid, plan_uid=plan, **common)
    return series


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
def test_an_independent_checker_finds_no_errors(tmp_path: Path) -> None:
    write_all(tmp_path)
    objects = [*tmp_path.glob("*.dcm"), *tmp_path.glob("*/IM0001.dcm")]
    assert len(objects) == 8
    for path in objects:
        text = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False).stderr
        errors = [line for line in text.splitlines() if line.startswith("Error") or "Abort" in line]
        assert not errors, f"{path.relative_to(tmp_path)}: {errors[:5]}"


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_all(tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 40
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert not list(tmp_path.rglob(".partial-*"))


def test_contrast_is_stated_only_when_given(tmp_path: Path) -> None:
    write(volume(), tmp_path / "with", contrast=True)
    write(volume(), tmp_path / "without", contrast=False)
    assert dcmread(tmp_path / "with/IM0001.dcm").ContrastBolusAgent == "Gadolinium"
    assert "ContrastBolusAgent" not in dcmread(tmp_path / "without/IM0001.dcm")


def test_skewed_volume_is_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 2] = 0.2
    with pytest.raises(ValueError, match="not at right angles"):
        write(Volume(np.zeros((4, 4, 4)), affine), tmp_path)


def test_a_series_is_written_fast(tmp_path: Path) -> None:
    image = Volume(np.zeros((224, 224, 100), dtype=np.float32), np.eye(4))
    start = time.process_time()
    write(image, tmp_path)
    assert time.process_time() - start < 2  # CPU time, 0.2 s; the bound only catches a wrong order of growth
