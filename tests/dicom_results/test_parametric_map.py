"""The Parametric Map: the same values at the same millimetres, for highdicom, pydicom and dcmqi, and valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_checks import assert_same_points, dcmqi_parametric_map, needs_dciodvfy, new_errors, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import LegacyConvertedEnhancedMRImageStorage
from result_cases import CORNERS, DIRECTIONS, KINDS, REAL, SHAPE, identity, mr_source, mr_volume, with_headers, write_mr
from treatment_response.dicom.results.model import refuse_mixing
from treatment_response.dicom.results.parametric_map import cam_parametric_map
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem

VIEW = {"variant": "gradcampp", "target": "non-response"}


def planted(seed: int = 0) -> np.ndarray:
    """A map with a value of its own at every corner, and noise in the middle."""
    cam = np.zeros(SHAPE, dtype=np.float32)
    cam[6:12, 8:14, 2:5] = np.random.default_rng(seed).random((6, 6, 3), dtype=np.float32)
    for number, corner in enumerate(CORNERS, start=1):
        cam[corner] = number / len(CORNERS)
    return cam


def as_volume(dataset: Dataset) -> Volume:
    """What the standard says of the object, read with pydicom alone: every frame where its own position puts it."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    rows, columns = dataset.Rows, dataset.Columns
    values = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(-1, rows, columns).transpose(2, 1, 0)
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    between_rows, between_columns = shared.PixelMeasuresSequence[0].PixelSpacing
    positions = np.array(
        [f.PlanePositionSequence[0].ImagePositionPatient for f in dataset.PerFrameFunctionalGroupsSequence], dtype=float
    )
    steps = np.diff(positions, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-6)
    affine = np.eye(4)
    affine[:3, :3] = flip_lps_ras(
        np.stack([cosines[:3] * float(between_columns), cosines[3:] * float(between_rows), steps[0]])
    ).T
    affine[:3, 3] = flip_lps_ras(positions[0])
    return Volume(values, affine)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_voxels_come_back_at_their_millimetres(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, kind: str, direction: str
) -> None:
    source = sources[kind, direction]
    cam = planted()
    path = save(cam_parametric_map(source, cam, identity(), **VIEW), tmp_path / "pm.dcm")
    expected = Volume(cam, source.volume.affine)
    dataset = dcmread(path)
    read = as_volume(dataset)
    np.testing.assert_array_equal(read.array, cam)
    np.testing.assert_allclose(read.affine, source.volume.affine, atol=1e-4)
    assert_same_points(read, expected, 1e-3)
    other, said = dcmqi_parametric_map(path, tmp_path / "dcmqi")
    assert_same_points(other, expected)
    assert said["QuantityValueCode"] == {
        "CodeMeaning": "Class activation",
        "CodeValue": "130402",
        "CodingSchemeDesignator": "DCM",
    }
    assert said["MeasurementUnitsCode"]["CodeValue"] == "1"
    assert float(said["RealWorldValueSlope"]) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_refers_to_the_image_at_its_place(sources: dict[tuple[str, str], MrSource], kind: str) -> None:
    source = sources[kind, "oblique"]
    dataset = cam_parametric_map(source, planted(), identity(), **VIEW)
    # OHIF lays frame n on slice n of the MR, so all slices must be there, in the order of the normal row × column.
    assert dataset.NumberOfFrames == source.volume.array.shape[2]
    assert dataset.FrameOfReferenceUID == source.frame_uid
    instances = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == source.series_uid
    assert [i.ReferencedSOPInstanceUID for i in instances] == [h.SOPInstanceUID for h in source.headers]
    cosines = np.array(
        dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float
    )
    # Digit by digit: OHIF shows no map whose direction cosines differ in the last digit.
    header = source.headers[0]
    plane = header if kind == "classic" else header.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    assert list(cosines) == [float(value) for value in plane.ImageOrientationPatient]
    frames = dataset.PerFrameFunctionalGroupsSequence
    along = [
        np.cross(cosines[:3], cosines[3:]) @ np.array(f.PlanePositionSequence[0].ImagePositionPatient) for f in frames
    ]
    assert along == sorted(along)
    assert [f.FrameContentSequence[0].DimensionIndexValues for f in frames] == [k + 1 for k in range(len(frames))]
    for frame, image in zip(frames, source.images, strict=True):
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert item.ReferencedSOPInstanceUID == image.sop_uid
        assert item.get("ReferencedFrameNumber") == image.frame


def test_what_it_is_stands_in_it(sources: dict[tuple[str, str], MrSource]) -> None:
    dataset = cam_parametric_map(
        sources["classic", "axial"], planted(), identity(), predictions=["GTV1: P(response) 0.73."], **VIEW
    )
    assert dataset.SeriesDescription.startswith("RESEARCH ONLY CAM gradcampp non-response")
    assert dataset.SeriesDescription.endswith("SYNTHETIC DATA")
    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.SoftwareVersions.startswith("0123456789ab+")
    text = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].DerivationDescription
    for part in ("gradcampp", "non-response", "demo (synthetic)", "not calibrated", "GTV1: P(response) 0.73."):
        assert part in text
    mapping = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    said = [item.get("TextValue") for item in mapping.QuantityDefinitionSequence]
    assert "PULSAR response" in said
    assert dataset.SoftwareVersions in said
    assert dataset.ContentCreatorName is None


def test_a_long_list_of_predictions_ends_with_a_whole_sentence(sources: dict[tuple[str, str], MrSource]) -> None:
    predictions = [f"GTV number {n}: P(response) 0.{n:03d}." for n in range(60)]
    dataset = cam_parametric_map(sources["classic", "axial"], planted(), identity(), predictions=predictions, **VIEW)
    text = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].DerivationDescription
    assert 900 < len(text) <= 1024
    assert any(text.endswith(sentence) for sentence in predictions)


@needs_dciodvfy
@pytest.mark.parametrize("direction", ["axial", "oblique"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_independent_checker_finds_no_new_errors(tmp_path: Path, kind: str, direction: str) -> None:
    write_mr(tmp_path / "mr", kind, direction)
    source = read_mr_source(tmp_path / "mr")
    path = save(cam_parametric_map(source, planted(), identity(), **VIEW), tmp_path / "pm.dcm")
    assert new_errors(path, sorted((tmp_path / "mr").iterdir())[0]) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    voxel=st.tuples(*(st.integers(0, size - 1) for size in SHAPE)),
    value=st.floats(2**-20, 1, width=32),
    direction=st.sampled_from(list(DIRECTIONS)),
    kind=st.sampled_from(KINDS),
)
def test_any_single_voxel_comes_back(
    sources: dict[tuple[str, str], MrSource],
    voxel: tuple[int, int, int],
    value: float,
    direction: str,
    kind: str,
) -> None:
    source = sources[kind, direction]
    cam = np.zeros(SHAPE, dtype=np.float32)
    cam[voxel] = value
    read = as_volume(cam_parametric_map(source, cam, identity(), **VIEW))
    found = np.argwhere(read.array)
    assert len(found) == 1
    np.testing.assert_allclose(read.array[tuple(found[0])], value, atol=1e-6)
    np.testing.assert_allclose(read.to_world(found), source.volume.to_world(np.array([voxel])), atol=0.01)


def test_no_evidence_is_a_valid_answer(sources: dict[tuple[str, str], MrSource], tmp_path: Path) -> None:
    path = save(
        cam_parametric_map(sources["classic", "oblique"], np.zeros(SHAPE, np.float32), identity(), **VIEW),
        tmp_path / "pm.dcm",
    )
    values, _ = dcmqi_parametric_map(path, tmp_path / "dcmqi")
    assert values.array.shape == SHAPE
    assert not values.array.any()


@pytest.mark.parametrize(
    ("cam", "expected"),
    [
        (np.full(SHAPE, 1.001), "expected values from 0 to 1, found 1 to 1"),
        (np.full(SHAPE, -0.5), "found -0.5 to -0.5"),
        (np.where(np.arange(SHAPE[2]) == 3, np.nan, np.zeros(SHAPE)), "values that are no numbers"),
        (np.full(SHAPE, np.inf), "found inf to inf"),
        (np.zeros(SHAPE[::-1]), "expected the MR's grid (18, 22, 7), found (7, 22, 18)"),
        (np.zeros((*SHAPE, 1)), "expected the MR's grid"),
    ],
    ids=["above", "below", "nan", "infinite", "transposed", "a-channel-too-many"],
)
def test_what_is_no_cam_of_this_series_is_refused(
    sources: dict[tuple[str, str], MrSource], cam: np.ndarray, expected: str
) -> None:
    with pytest.raises(DataProblem) as caught:
        cam_parametric_map(sources["classic", "axial"], cam, identity(), **VIEW)
    assert expected in str(caught.value)


@pytest.mark.parametrize(("synthetic", "refused"), [(True, True), (None, True), (False, False)])
def test_weights_that_saw_no_patient_stay_away_from_patients(
    tmp_path: Path, sources: dict[tuple[str, str], MrSource], synthetic: bool | None, refused: bool
) -> None:
    refuse_mixing(sources["classic", "axial"], identity(synthetic))
    patient = mr_source(tmp_path, patient=REAL)
    if not refused:
        assert "REAL DATA" in cam_parametric_map(patient, planted(), identity(synthetic), **VIEW).SeriesDescription
        return
    for make in (refuse_mixing, lambda s, i: cam_parametric_map(s, planted(), i, **VIEW)):
        with pytest.raises(DataProblem, match="not marked as synthetic, so nothing was stored"):
            make(patient, identity(synthetic))


REMOVED = ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime", "ReferringPhysicianName")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of pydicom, while the odd header is made
@pytest.mark.parametrize("kind", KINDS)
def test_headers_of_the_real_world(tmp_path: Path, kind: str) -> None:
    write_mr(tmp_path / "mr", kind)
    odd = {"PatientSex": "X", "PatientBirthDate": "unknown", "LossyImageCompression": "01"}
    if kind == "classic":
        odd |= {"SliceThickness": None, "SpacingBetweenSlices": None}
    sources = {
        "removed": with_headers(tmp_path / "removed", tmp_path / "mr", **dict.fromkeys(REMOVED)),
        "odd": with_headers(tmp_path / "odd", tmp_path / "mr", **odd),
    }
    for name, source in sources.items():
        path = save(cam_parametric_map(source, planted(), identity(), **VIEW), tmp_path / f"{name}.dcm")
        dataset = dcmread(path)
        assert not dataset.PatientSex
        assert not dataset.PatientBirthDate
        values, _ = dcmqi_parametric_map(path, tmp_path / f"dcmqi-{name}")
        assert_same_points(values, Volume(planted(), source.volume.affine))
    assert dcmread(tmp_path / "odd.dcm").LossyImageCompression == "01"


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "SYNTHETIC^Jörg"), (["", "ISO 2022 IR 87"], "SYNTHETIC^Tarou=山田^太郎")],
    ids=["latin", "japanese"],
)
def test_names_keep_their_letters(tmp_path: Path, charset: str | list[str], name: str) -> None:
    write_mr(tmp_path / "mr")
    source = with_headers(tmp_path / "named", tmp_path / "mr", SpecificCharacterSet=charset, PatientName=name)
    path = save(cam_parametric_map(source, planted(), identity(), **VIEW), tmp_path / "pm.dcm")
    read = dcmread(path)
    assert str(read.PatientName) == name
    assert read.SpecificCharacterSet == "ISO_IR 192"


def test_a_series_without_a_frame_of_reference_is_refused(tmp_path: Path) -> None:
    write_mr(tmp_path / "mr")
    source = with_headers(tmp_path / "adrift", tmp_path / "mr", FrameOfReferenceUID=None)
    with pytest.raises(DataProblem, match="state no frame of reference"):
        cam_parametric_map(source, planted(), identity(), **VIEW)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_name_is_kept_and_not_spelled_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    write_mr(tmp_path / "mr", kind)
    source = with_headers(tmp_path / "named", tmp_path / "mr", PatientName="SYNTHETIC SMITH")
    before = [header.to_json() for header in source.headers]
    with caplog.at_level("DEBUG"):
        dataset = cam_parametric_map(source, planted(), identity(), **VIEW)
    assert dataset.PatientName == "SYNTHETIC SMITH"
    assert "SMITH" not in caplog.text + "".join(capfd.readouterr())
    assert [header.to_json() for header in source.headers] == before


def test_a_multi_frame_source_may_state_its_geometry_frame_by_frame(tmp_path: Path) -> None:
    write_mr(tmp_path / "mr", "enhanced")
    path = tmp_path / "mr/enhanced.dcm"
    dataset = dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.PixelMeasuresSequence = shared.PixelMeasuresSequence
        frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
    del shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = LegacyConvertedEnhancedMRImageStorage
    dataset.save_as(path)
    source = read_mr_source(tmp_path / "mr")
    written = save(cam_parametric_map(source, planted(), identity(), **VIEW), tmp_path / "pm.dcm")
    values, _ = dcmqi_parametric_map(written, tmp_path / "dcmqi")
    assert_same_points(values, Volume(planted(), source.volume.affine))


def test_rounded_positions_give_an_even_map(tmp_path: Path) -> None:
    write_mr(tmp_path / "mr")
    for number, path in enumerate(sorted((tmp_path / "mr").iterdir())):
        dataset = dcmread(path)
        dataset.ImagePositionPatient = [
            round(float(x) + 0.03 * (-1) ** number, 2) for x in dataset.ImagePositionPatient
        ]
        dataset.save_as(path)
    source = read_mr_source(tmp_path / "mr")
    written = save(cam_parametric_map(source, planted(), identity(), **VIEW), tmp_path / "pm.dcm")
    values, _ = dcmqi_parametric_map(written, tmp_path / "dcmqi")
    assert_same_points(values, Volume(planted(), mr_volume().affine))
