"""Boost regions as a structure set: the same voxels for this package and for plastimatch, and no target for anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from dicom_checks import assert_same_points, needs_dciodvfy, needs_plastimatch, new_errors, run, save, volume_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.dataset import Dataset
from result_cases import CORNERS, DIRECTIONS, KINDS, REAL, SHAPE, identity, mr_source
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.structures import read_structure_set
from treatment_response.geometry import Volume, rasterise
from treatment_response.problems import DataProblem


def ragged() -> np.ndarray:
    """Holes, single voxels, parts that meet in a corner, in three slices."""
    region = np.zeros(SHAPE, dtype=bool)
    region[4:12, 5:16, 2:5] = np.random.default_rng(1).random((8, 11, 3)) > 0.25
    return region


def box() -> np.ndarray:
    """Contours of four points: a reader that drops one of them shows a triangle."""
    region = np.zeros(SHAPE, dtype=bool)
    region[2:5, 10:18, 5:] = True
    return region


def read_back(dataset: Dataset, folder: Path, source: MrSource) -> dict[str, np.ndarray]:
    """ROI name → mask, through a file and this package's reader."""
    found = read_structure_set(save(dataset, folder / "boost.dcm"))
    affine, shape = source.volume.affine, source.volume.array.shape
    return {roi.name: rasterise(roi.contours, affine, shape) for roi in found.rois if roi.contours}


def plastimatch_masks(dataset: Dataset, mr: Path, folder: Path) -> dict[str, Volume]:
    """ROI name → mask, as plastimatch draws the contours on the MR."""
    out = folder / "plastimatch"
    written = save(dataset, folder / "boost.dcm")
    arguments = ["--input", written, "--referenced-ct", mr, "--output-prefix", out, "--prefix-format", "nrrd"]
    done = run("plastimatch", "convert", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return {file.stem: volume_of(file) for file in out.glob("*.nrrd")}


def names(regions: Mapping[str, np.ndarray], source: MrSource) -> list[str]:
    return [item.ROIName for item in boost_structure_set(source, regions, identity()).StructureSetROISequence]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_rasterising_the_contours_gives_the_regions_back(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, kind: str, direction: str
) -> None:
    source = sources[kind, direction]
    corners = np.zeros(SHAPE, dtype=bool)
    corners[tuple(np.array(CORNERS).T)] = True
    corners[0, 0, :] = True  # every slice has a contour
    regions = {"L1": ragged(), "L2": box(), "L3": corners}
    found = read_back(boost_structure_set(source, regions, identity()), tmp_path, source)
    assert list(found) == ["zCAM_NR_L1", "zCAM_NR_L2", "zCAM_NR_L3"]
    for mask, region in zip(found.values(), regions.values(), strict=True):
        np.testing.assert_array_equal(mask, region)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(region=arrays(bool, (6, 5, SHAPE[2]), elements=st.booleans()))
def test_any_region_comes_back_as_the_union_of_its_parts(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, region: np.ndarray
) -> None:
    """Slices may be left out: a reader that fills gaps must find none to fill."""
    source = sources["classic", "oblique"]
    whole = np.zeros(SHAPE, dtype=bool)
    whole[5:11, 7:12] = region
    whole[:, :, region.sum() % SHAPE[2]] = False
    found = read_back(boost_structure_set(source, {"L1": whole}, identity()), tmp_path, source)
    np.testing.assert_array_equal(np.logical_or.reduce([np.zeros(SHAPE, dtype=bool), *found.values()]), whole)


@needs_plastimatch
@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_plastimatch_draws_the_same_voxels(
    sources: dict[tuple[str, str], MrSource], folders: Path, tmp_path: Path, direction: str
) -> None:
    source = sources["classic", direction]
    regions = {"L1": ragged(), "L2": box()}
    dataset = boost_structure_set(source, regions, identity())
    found = plastimatch_masks(dataset, folders / f"classic-{direction}", tmp_path)
    for name, region in regions.items():
        expected = Volume(region.astype(np.uint8), source.volume.affine)
        assert_same_points(found[f"zCAM_NR_{name}"], expected)


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_valid(sources: dict[tuple[str, str], MrSource], folders: Path, tmp_path: Path, kind: str) -> None:
    dataset = boost_structure_set(sources[kind, "oblique"], {"L1": ragged(), "L2": ragged() & False}, identity())
    images = sorted((folders / f"{kind}-oblique").iterdir())
    assert new_errors(save(dataset, tmp_path / "boost.dcm"), *images[:1]) == []


def test_nobody_can_take_it_for_a_target(sources: dict[tuple[str, str], MrSource]) -> None:
    source = sources["classic", "oblique"]
    dataset = boost_structure_set(source, {"L1": ragged(), "GTV of the left frontal lobe": box()}, identity())
    assert dataset.ApprovalStatus == "UNAPPROVED"
    assert dataset.StructureSetLabel == "RESEARCH ONLY"
    assert dataset.SeriesDescription.startswith("RESEARCH ONLY")
    assert "hypothesis, not a target" in dataset.SeriesDescription
    assert dataset.ContentQualification == "RESEARCH"
    assert identity().notice in dataset.StructureSetDescription
    for roi in dataset.StructureSetROISequence:
        assert len(roi.ROIName) <= 16
        assert roi.ROIName.startswith("zCAM_NR_")
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
        assert roi.ROIDescription.startswith("hypothesis, not a target")
        (algorithm,) = roi.ROIDerivationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (identity().name, identity().version)
    assert "GTV of the left frontal lobe" in dataset.StructureSetROISequence[1].ROIDescription
    assert [item.RTROIInterpretedType for item in dataset.RTROIObservationsSequence] == ["", ""]


@pytest.mark.parametrize("kind", KINDS)
def test_contours_refer_to_the_slices_that_they_lie_on(
    sources: dict[tuple[str, str], MrSource], folders: Path, tmp_path: Path, kind: str
) -> None:
    source = sources[kind, "oblique"]
    dataset = dcmread(save(boost_structure_set(source, {"L1": ragged()}, identity()), tmp_path / "boost.dcm"))
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == dataset.FrameOfReferenceUID == source.frame_uid
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert (study.ReferencedSOPInstanceUID, series.SeriesInstanceUID) == (source.study_uid, source.series_uid)
    images = {header.SOPInstanceUID: header for header in source.headers}
    assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == list(images)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        (reference,) = contour.ContourImageSequence
        image = images[reference.ReferencedSOPInstanceUID]
        if kind == "enhanced":
            groups = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
            position = groups.PlanePositionSequence[0].ImagePositionPatient
            orientation = image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
        else:
            position, orientation = image.ImagePositionPatient, image.ImageOrientationPatient
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        normal = np.cross(orientation[:3], orientation[3:])
        np.testing.assert_allclose((points - np.array(position, dtype=float)) @ normal, 0, atol=1e-3)
    (entry,) = scan_folder(tmp_path).structure_sets
    assert entry.referenced_series_uids == (source.series_uid,)


def test_the_patient_is_the_sources_and_nothing_more(sources: dict[tuple[str, str], MrSource], tmp_path: Path) -> None:
    source = mr_source(tmp_path / "real", patient=REAL)
    with pytest.raises(DataProblem, match="synthetic"):
        boost_structure_set(source, {"L1": ragged()}, identity(synthetic=True))
    dataset = boost_structure_set(source, {"L1": ragged()}, identity(synthetic=False))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert dataset[keyword].value == source.headers[0][keyword].value
    people = {element.keyword for element in dataset.iterall() if element.VR == "PN" and element.value}
    assert people == {"PatientName"}


def test_names_are_short_plain_and_differ(sources: dict[tuple[str, str], MrSource]) -> None:
    gap = np.zeros(SHAPE, dtype=bool)
    gap[3:5, 3:5, [0, 1, 3, 6]] = True
    lesions = ["L1", "L 1", "L_1", "GTV_left_frontal", "GTV_left_frontal_2", "12345678", "Läsion"]
    found = names(dict.fromkeys(lesions, gap), sources["classic", "axial"])
    assert len(found) == 3 * len(lesions)
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= 16
    assert found[:3] == ["zCAM_NR_L1", "zCAM_NR_L1#2", "zCAM_NR_L1#3"]
    assert found[6:12:3] == ["zCAM_NR_#3", "zCAM_NR_#4"]


def test_an_empty_region_has_no_contours(sources: dict[tuple[str, str], MrSource], tmp_path: Path) -> None:
    source = sources["classic", "axial"]
    empty = np.zeros(SHAPE, dtype=bool)
    dataset = boost_structure_set(source, {"L1": empty, "L2": box()}, identity())
    assert [item.ROIName for item in dataset.StructureSetROISequence] == ["zCAM_NR_L1", "zCAM_NR_L2"]
    assert "ContourSequence" not in dataset.ROIContourSequence[0]
    assert list(read_back(dataset, tmp_path, source)) == ["zCAM_NR_L2"]


def test_a_contour_of_very_many_points_is_kept(tmp_path: Path) -> None:
    """A comb: more numbers than a decimal string of 64 kB, which is explicit VR's limit, holds."""
    source = mr_source(tmp_path / "mr")
    volume = Volume(np.zeros((4, 1600, 2), np.int16), source.volume.affine)
    source = MrSource(volume, source.headers[:2], source.images[:2])
    region = np.zeros(volume.array.shape, dtype=bool)
    region[:, ::2], region[0] = True, True
    dataset = boost_structure_set(source, {"L1": region}, identity())
    assert len("\\".join(map(str, dataset.ROIContourSequence[0].ContourSequence[0].ContourData))) > 65536
    np.testing.assert_array_equal(read_back(dataset, tmp_path, source)["zCAM_NR_L1"], region)
    written = dcmread(tmp_path / "boost.dcm")
    assert written.ROIContourSequence[0].ContourSequence[0]["ContourData"].VR == "DS"


def test_bad_input_is_refused(sources: dict[tuple[str, str], MrSource]) -> None:
    source = sources["classic", "axial"]
    with pytest.raises(DataProblem, match="no lesion"):
        boost_structure_set(source, {}, identity())
    with pytest.raises(DataProblem, match=r"boost region of 'L1': expected the MR's grid"):
        boost_structure_set(source, {"L1": np.zeros((3, 3, 3), dtype=bool)}, identity())


def test_the_description_tells_what_was_predicted(sources):
    told = {"L1": "predicted response, P(response) 0.93"}
    dataset = boost_structure_set(next(iter(sources.values())), {"L1": ragged()}, identity(), predictions=told)
    (description,) = {roi.ROIDescription for roi in dataset.StructureSetROISequence}
    assert description.startswith("hypothesis, not a target")
    assert "'L1', predicted response, P(response) 0.93" in description
