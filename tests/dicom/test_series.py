"""Series come back as the volume that they were written from: values and millimetres, or one clear sentence."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_case import MARKER, ORIENTATIONS, PATIENT, STUDY, assert_same_place, volume, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series, read_volumes
from treatment_response.dicom.write import TransferSyntax, write_enhanced_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("syntax", list(TransferSyntax))
def test_every_orientation_and_syntax_comes_back(orientation: str, syntax: TransferSyntax, tmp_path: Path) -> None:
    image = volume(orientation)
    write(image, tmp_path, transfer_syntax=syntax)
    found = read_series(scan_folder(tmp_path).series[0])
    assert found.array.dtype == np.int16
    assert_same_place(found, image)
    itk = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(itk).transpose(2, 1, 0), found.array)


@pytest.mark.parametrize("syntax", list(TransferSyntax))
@pytest.mark.parametrize("signed", [False, True])
def test_signed_values_and_rescale(signed: bool, syntax: TransferSyntax, tmp_path: Path) -> None:
    image = volume(low=-500)
    write(image, tmp_path, transfer_syntax=syntax, signed=signed, slope=0.25, intercept=-600.0)
    assert_same_place(read_series(tmp_path), image)


def test_values_above_int16_are_kept(tmp_path: Path) -> None:
    image = volume()
    image.array[MARKER] = 60000
    write(image, tmp_path)
    assert_same_place(read_series(tmp_path), image)


def test_values_that_do_not_fit_are_refused_when_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose slope and intercept"):
        write(volume(low=-5), tmp_path)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("syntax", [TransferSyntax.EXPLICIT, TransferSyntax.JPEG2000, TransferSyntax.RLE])
def test_enhanced_multi_frame_in_any_frame_order(orientation: str, syntax: TransferSyntax, tmp_path: Path) -> None:
    image = volume(orientation)
    write_enhanced_series(
        image,
        tmp_path / "enhanced",
        patient=PATIENT,
        study=STUDY,
        series_uid=derived_uid("enhanced"),
        frame_uid=derived_uid("frame"),
        transfer_syntax=syntax,
        slope=0.5,
        frame_order=[8, 0, 2, 4, 6, 1, 3, 5, 7],
    )
    entry = scan_folder(tmp_path).series[0]
    assert (entry.contrast, entry.t1, entry.frame_uid) == (True, True, derived_uid("frame"))
    assert_same_place(read_series(entry), image)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(9)))
def test_file_order_does_not_matter(order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    image = volume()
    write(image, folder, file_names=lambda index: f"{order[index]:02d}")
    assert_same_place(read_series(folder), image)


def test_slice_thickness_is_not_the_distance(tmp_path: Path) -> None:
    def thin(_: int, dataset: Dataset) -> None:
        dataset.SliceThickness, dataset.SpacingBetweenSlices = "0.5", "7"

    image = volume()
    write(image, tmp_path, changes=thin)
    assert_same_place(read_series(tmp_path), image)


def test_rounded_positions_are_one_volume(tmp_path: Path) -> None:
    def rounded(_: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [f"{float(value):.2f}" for value in dataset.ImagePositionPatient]

    image = volume()
    write(image, tmp_path, changes=rounded)
    found = read_series(tmp_path)
    corners = np.array([[0, 0, 0], [35, 39, 8]])
    np.testing.assert_allclose(found.to_world(corners), image.to_world(corners), atol=0.01)


def test_instances_sent_twice_count_once(tmp_path: Path) -> None:
    image = volume()
    write(image, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    other = dcmread(tmp_path / "b/IM0003.dcm")
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = derived_uid("again")
    other.save_as(tmp_path / "b/IM0003.dcm")
    index = scan_folder(tmp_path)
    assert len(index.copies) == 8
    assert len(index.series[0].files) == 10
    assert_same_place(read_series(index.series[0]), image)


def _second_volume(folder: Path, keyword: str, values: tuple[object, object]) -> tuple[Volume, Volume]:
    """Two volumes at the same positions in one series, told apart by one attribute."""
    first = volume()
    second = Volume(first.array[::-1].copy(), first.affine)
    for number, (image, value) in enumerate(zip((first, second), values, strict=True)):

        def mark(index: int, dataset: Dataset, number: int = number, value: object = value) -> None:
            setattr(dataset, keyword, value)
            uid = derived_uid(str(number), str(index))
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid

        write(image, folder / str(number), changes=mark)
    return first, second


@pytest.mark.parametrize(
    ("keyword", "values"),
    [("EchoTime", ("12", "90")), ("TemporalPositionIdentifier", (1, 2)), ("AcquisitionNumber", (1, 2))],
)
def test_interleaved_volumes_are_told_apart(keyword: str, values: tuple, tmp_path: Path) -> None:
    images = _second_volume(tmp_path, keyword, values)
    volumes = read_volumes(scan_folder(tmp_path).series[0])
    assert len(volumes) == 2
    for (name, found), image, value in zip(volumes.items(), images, values, strict=True):
        assert name.startswith(f"{keyword} {value}")
        assert_same_place(found, image)
    with pytest.raises(DataProblem, match=rf"holds 2 volumes at the same slice positions \({keyword}"):
        read_series(tmp_path)


def test_two_echoes_at_two_times_are_four_volumes(tmp_path: Path) -> None:
    image = volume()
    for number in range(4):

        def mark(index: int, dataset: Dataset, number: int = number) -> None:
            dataset.EchoTime, dataset.TemporalPositionIdentifier = 10 + number % 2, 1 + number // 2
            dataset.AcquisitionNumber = index + 1  # counts the slices: tells no volumes apart
            uid = derived_uid(str(number), str(index))
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid

        write(Volume(image.array + number, image.affine), tmp_path / str(number), changes=mark)
    volumes = read_volumes(scan_folder(tmp_path).series[0])
    assert sorted(volumes) == [f"EchoTime {e}.0, TemporalPositionIdentifier {t}" for e in (10, 11) for t in (1, 2)]
    found = volumes["EchoTime 11.0, TemporalPositionIdentifier 2"]
    assert_same_place(found, Volume(image.array + 3, image.affine))


def test_enhanced_object_with_two_echoes(tmp_path: Path) -> None:
    image = volume()
    path = tmp_path / "e"
    write_enhanced_series(
        image, path, patient=PATIENT, study=STUDY, series_uid=derived_uid("e"), frame_uid=derived_uid("f")
    )
    dataset = dcmread(path)
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = frames + copy.deepcopy(frames)
    del dataset.SharedFunctionalGroupsSequence[0].MREchoSequence
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.MREchoSequence = [Dataset()]
        frame.MREchoSequence[0].EffectiveEchoTime = 12.0 if index < 9 else 80.0
    dataset.NumberOfFrames = 18
    first = np.frombuffer(dataset.PixelData, np.uint16)
    dataset.PixelData = first.tobytes() + (first // 2).tobytes()
    dataset.save_as(path)
    volumes = read_volumes(path)
    assert list(volumes) == ["EffectiveEchoTime 12.0", "EffectiveEchoTime 80.0"]
    assert_same_place(volumes["EffectiveEchoTime 12.0"], image)
    assert_same_place(volumes["EffectiveEchoTime 80.0"], Volume(image.array // 2, image.affine))


def test_volumes_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    _second_volume(tmp_path, "EchoTime", ("12", "12"))
    with pytest.raises(DataProblem, match="no echo, time or acquisition number tells them apart") as error:
        read_series(tmp_path)
    assert len(error.value.problems) == 1


def _remove(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"IM{number:04d}.dcm").unlink()


def test_missing_slices_are_counted(tmp_path: Path) -> None:
    write(volume(), tmp_path)
    _remove(tmp_path, 4, 5)
    with pytest.raises(DataProblem, match=r"misses 2 slices of 9 \(the first after slice [34]\)"):
        read_series(tmp_path)


def test_single_slice_is_refused(tmp_path: Path) -> None:
    write(volume(), tmp_path)
    _remove(tmp_path, *range(2, 10))
    with pytest.raises(DataProblem, match="single slice"):
        read_series(tmp_path)


def _half(index: int) -> bool:
    return index >= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "different orientations"),
        ({"PixelSpacing": ["0.7", "0.8"]}, "different sizes or pixel spacings"),
        ({"ImagePositionPatient": None}, "without position, orientation or pixel spacing"),
        ({"SamplesPerPixel": 3}, "cannot be decoded|colour"),
        ({"Rows": 70}, "cannot be decoded"),
    ],
)
def test_mixed_slices_are_refused_in_one_sentence(change: dict, message: str, tmp_path: Path) -> None:
    def spoil(index: int, dataset: Dataset) -> None:
        if _half(index):
            for keyword, value in change.items():
                setattr(dataset, keyword, value)

    write(volume(), tmp_path, changes=spoil)
    with pytest.raises(DataProblem, match=message) as error:
        read_series(tmp_path, "sub-001 ses-01")
    assert str(error.value).startswith("sub-001 ses-01: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"PixelSpacing": ["0", "0"]},
        {"PixelSpacing": ["-0.7", "0.9"]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": [0, 0]},
    ],
)
def test_a_grid_that_is_none_is_refused(change: dict, tmp_path: Path) -> None:
    def spoil(_: int, dataset: Dataset) -> None:
        for keyword, value in change.items():
            setattr(dataset, keyword, value)

    write(volume(), tmp_path, changes=spoil)
    with pytest.raises(DataProblem, match="position, orientation or pixel spacing is none"):
        read_series(tmp_path)


def test_uneven_and_stray_slices_are_refused(tmp_path: Path) -> None:
    def moved(step: np.ndarray) -> object:
        def change(index: int, dataset: Dataset) -> None:
            if index == 4:
                dataset.ImagePositionPatient = [
                    f"{v:.6f}" for v in np.array(dataset.ImagePositionPatient, float) + step
                ]

        return change

    image = volume("axial")
    write(image, tmp_path / "along", changes=moved(np.array([0, 0, 0.6])))
    with pytest.raises(DataProblem, match=r"1\.50 to 2\.70 mm apart"):
        read_series(tmp_path / "along")
    write(image, tmp_path / "beside", changes=moved(np.array([1.0, 0, 0])))
    with pytest.raises(DataProblem, match="beside the line"):
        read_series(tmp_path / "beside")


@pytest.mark.skipif(shutil.which("dcmcjpls") is None, reason="needs dcmcjpls (Debian package dcmtk)")
def test_jpeg_ls(tmp_path: Path) -> None:
    image = volume()
    write(image, tmp_path / "plain")
    (tmp_path / "jls").mkdir()
    for path in (tmp_path / "plain").iterdir():
        subprocess.run(["dcmcjpls", str(path), str(tmp_path / "jls" / path.name)], check=True)
    assert dcmread(tmp_path / "jls/IM0001.dcm").file_meta.TransferSyntaxUID.name == "JPEG-LS Lossless Image Compression"
    assert_same_place(read_series(scan_folder(tmp_path / "jls").series[0]), image)


def test_real_oblique_series_agrees_with_simpleitk(shared_data: Path) -> None:
    folder = shared_data / "real_mr_dicom"
    index = scan_folder(folder)
    assert not index.problems
    found = read_series(index.series[0])
    itk = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(itk).transpose(2, 1, 0))
    for voxel in [(0, 0, 0), (273, 0, 0), (0, 383, 0), (0, 0, found.array.shape[2] - 1), (100, 200, 50)]:
        left_posterior = np.array(itk.TransformIndexToPhysicalPoint(voxel))
        np.testing.assert_allclose(found.to_world(np.array([voxel]))[0], left_posterior * (-1, -1, 1), atol=0.01)
