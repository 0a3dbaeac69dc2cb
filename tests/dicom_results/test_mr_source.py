"""An MR series with its headers: every slice with its own header, and one sentence for what is no MR series."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from result_cases import DIRECTIONS, REAL, SYNTHETIC, mr_source, mr_volume, study, write_mr
from treatment_response.dicom.series import read_series
from treatment_response.dicom.source import read_mr_source
from treatment_response.dicom.write import write_dose
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_each_slice_has_its_own_image(tmp_path: Path, kind: str, direction: str) -> None:
    source = mr_source(tmp_path, kind, direction)
    expected = read_series(tmp_path)
    np.testing.assert_array_equal(source.volume.array, expected.array)
    np.testing.assert_array_equal(source.volume.affine, expected.affine)
    assert len(source.headers) == (expected.array.shape[2] if kind == "classic" else 1)
    assert not any("PixelData" in header for header in source.headers)
    stored = {str(d.SOPInstanceUID): d for d in map(dcmread, tmp_path.iterdir())}
    for k, image in enumerate(source.images):
        dataset = stored[image.sop_uid]
        pixels, position = dataset.pixel_array, dataset.get("ImagePositionPatient")
        if image.frame is not None:
            pixels = pixels[image.frame - 1]
            frame = dataset.PerFrameFunctionalGroupsSequence[image.frame - 1]
            position = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_array_equal(pixels.T, source.volume.array[:, :, k])
        corner = source.volume.to_world(np.array([[0, 0, k]]))[0]
        np.testing.assert_allclose(flip_lps_ras(np.array(position, dtype=float)), corner, atol=1e-4)


def test_what_the_headers_say(tmp_path: Path) -> None:
    source = mr_source(tmp_path)
    assert (source.modality, source.contrast, source.t1, source.date) == ("MR", True, True, date(2020, 1, 31))
    assert source.study_uid == study().study_uid
    assert source.series_uid == derived_uid("result series", "classic", "oblique")
    assert source.frame_uid == derived_uid("result frame")


def test_only_what_says_so_twice_is_synthetic(tmp_path: Path) -> None:
    assert mr_source(tmp_path / "synthetic", patient=SYNTHETIC).is_synthetic
    assert not mr_source(tmp_path / "real", patient=REAL).is_synthetic
    for name, change in (
        ("study", {"StudyDescription": "MR head"}),
        ("name", {"PatientName": "Doe^Jane"}),
    ):
        write_mr(tmp_path / name)
        for path in (tmp_path / name).iterdir():
            dataset = dcmread(path)
            for keyword, value in change.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
        assert not read_mr_source(tmp_path / name).is_synthetic


def rewrite(path: Path, **changes: str) -> None:
    dataset = dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def two_series(folder: Path) -> None:
    write_mr(folder)
    write_mr(folder / "more", direction="axial")


def truncated(folder: Path) -> None:
    write_mr(folder)
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-300])


def not_dicom(folder: Path) -> None:
    write_mr(folder)
    (folder / "IM0003.dcm").write_bytes(b"not an image" * 40)


def a_slice_missing(folder: Path) -> None:
    write_mr(folder)
    (folder / "IM0003.dcm").unlink()


def only_a_dose(folder: Path) -> None:
    volume = Volume(mr_volume().array.astype(np.float32), mr_volume().affine)
    write_dose(
        volume,
        folder / "rd.dcm",
        patient=SYNTHETIC,
        study=study(),
        frame_uid=derived_uid("f"),
        plan_uid=derived_uid("p"),
    )


def a_ct(folder: Path) -> None:
    write_mr(folder)
    for path in folder.iterdir():
        rewrite(path, Modality="CT")


def two_persons(folder: Path) -> None:
    write_mr(folder)
    rewrite(folder / "IM0003.dcm", PatientName="Doe^Jane")


def two_frames(folder: Path) -> None:
    write_mr(folder)
    rewrite(folder / "IM0003.dcm", FrameOfReferenceUID=derived_uid("another"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (two_series, "found 2 series"),
        (truncated, "truncated"),
        (not_dicom, "is not DICOM"),
        (a_slice_missing, "misses 1 slice of 7"),
        (only_a_dose, "found RTDOSE"),
        (a_ct, "found CT"),
        (two_persons, "found 2 patients"),
        (two_frames, "found 2 frames of reference"),
        (lambda folder: folder.mkdir(), "found none"),
        (lambda folder: None, "does not exist"),
    ],
)
def test_what_is_no_mr_series_is_told_in_one_sentence(tmp_path: Path, make: object, expected: str) -> None:
    folder = tmp_path / "case"
    make(folder)  # type: ignore[operator]
    with pytest.raises(DataProblem) as caught:
        read_mr_source(folder)
    text = str(caught.value)
    assert expected in text
    assert "\n" not in text
    assert "Doe" not in text


def test_a_ct_that_calls_itself_mr_is_refused(tmp_path: Path) -> None:
    write_mr(tmp_path)
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.save_as(path)
    with pytest.raises(DataProblem, match="another class that call themselves MR"):
        read_mr_source(tmp_path)


def test_a_slice_sent_twice_counts_once(tmp_path: Path) -> None:
    write_mr(tmp_path)
    shutil.copy(tmp_path / "IM0002.dcm", tmp_path / "copy.dcm")
    shutil.copy(tmp_path / "IM0005.dcm", tmp_path / "renamed.dcm")
    rewrite(tmp_path / "renamed.dcm", SOPInstanceUID=derived_uid("resent"))
    source = read_mr_source(tmp_path)
    assert len(source.headers) == len(source.images) == source.volume.array.shape[2]
