"""The segmentations of bands and outlines: voxels, millimetres, names, colours, for highdicom and dcmqi, and valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_checks import assert_same_points, dcmqi_segments, inconsistencies, needs_dciodvfy, new_errors, save
from highdicom.seg import Segmentation, segread
from pydicom import dcmread
from result_cases import CORNERS, DIRECTIONS, KINDS, REAL, SHAPE, identity, mr_source, write_mr
from treatment_response.bands import to_labels, to_segments
from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.adapters.lumiere import RANO
from treatment_response.dicom.results.parametric_map import ANY_MAP, cam_parametric_map
from treatment_response.dicom.results.segmentation import bands_segmentation, lesions_segmentation
from treatment_response.dicom.source import MrSource, read_mr_source
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.longitudinal.settings import CLASSES as RICE
from treatment_response.problems import DataProblem

NAMES = ["evidence very low", "evidence low", "evidence medium", "evidence high", "evidence very high"]
COLOURS = [(0, 0, 255), (0, 255, 255), (0, 200, 0), (255, 128, 0), (255, 0, 0)]
VIEW = {"variant": "pixelwise", "target": "response"}


def planted() -> np.ndarray:
    """Two lesions with slices between them, every corner, the first and the last slice; band 4 has no voxel."""
    bands = np.zeros(SHAPE, dtype=np.uint8)
    bands[3:6, 4:8, 1] = 1
    bands[4, 5, 1] = 2
    bands[10:12, 15:17, 5] = 3
    for number, corner in enumerate(CORNERS):
        bands[corner] = (1, 2, 3, 5)[number % 4]
    return bands


def make_bands(source: MrSource, bands: np.ndarray) -> Segmentation:
    return bands_segmentation(source, bands, NAMES, COLOURS, identity(), **VIEW)


def outlines() -> dict[str, np.ndarray]:
    """Three lesions of one patient: two overlap, one is a single voxel of the last slice."""
    masks = {name: np.zeros(SHAPE, dtype=bool) for name in ("GTV 1", "GTV_2", "Läsion\\3")}
    masks["GTV 1"][2:9, 3:9, 1:4] = True
    masks["GTV_2"][7:12, 6:12, 2:5] = True
    masks["Läsion\\3"][SHAPE[0] - 1, 0, SHAPE[2] - 1] = True
    return masks


def apart() -> dict[str, np.ndarray]:
    """The same lesions, without what two of them share."""
    masks = outlines()
    masks["GTV_2"] &= ~masks["GTV 1"]
    return masks


def read_back(path: Path, source: MrSource) -> dict[int, np.ndarray]:
    """Masks ``(I, J, K)`` by segment number, found by the source image that each frame refers to."""
    segmentation = segread(path)
    numbers = list(segmentation.segment_numbers)
    if source.images[0].frame is None:
        frames = segmentation.get_pixels_by_source_instance(
            [image.sop_uid for image in source.images],
            ignore_spatial_locations=False,
            assert_missing_frames_are_empty=True,
        )
    else:
        frames = segmentation.get_pixels_by_source_frame(
            source.images[0].sop_uid,
            [image.frame for image in source.images],
            assert_missing_frames_are_empty=True,
        )
    return {number: frames[..., position].transpose(2, 1, 0) for position, number in enumerate(numbers)}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_bands_come_back_at_their_millimetres(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, kind: str, direction: str
) -> None:
    source, bands = sources[kind, direction], planted()
    path = save(make_bands(source, bands), tmp_path / "seg.dcm")
    own = read_back(path, source)
    others, described = dcmqi_segments(path, tmp_path / "dcmqi")
    assert sorted(own) == sorted(others) == sorted(described) == [1, 2, 3, 4, 5]
    for number in own:
        np.testing.assert_array_equal(own[number], bands == number)
        expected = Volume(np.where(bands == number, number, 0), source.volume.affine)
        assert_same_points(others[number], expected)
        assert described[number]["SegmentLabel"] == NAMES[number - 1]
        assert described[number]["SegmentAlgorithmType"] == "AUTOMATIC"
        assert described[number]["SegmentAlgorithmName"] == "PULSAR response"
        assert np.abs(np.array(described[number]["recommendedDisplayRGBValue"]) - COLOURS[number - 1]).max() <= 2


@pytest.mark.parametrize(
    ("classes", "warm", "cool"),
    [(RESPONSE, "non-response", "response"), (RICE, "recurrence", "radiation effect"), (RANO, "PD", "CR")],
)
def test_each_systems_bands_are_stored_in_the_colours_of_their_class(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, classes: Classes, warm: str, cool: str
) -> None:
    """What one looks for is warm, in every system, for whoever reads Recommended Display CIELab Value."""
    source, hues = sources["classic", "axial"], {}
    for shown in (warm, cool):
        labels = to_labels(planted(), 5, shown, classes)
        segments = to_segments(labels, 5, classes)
        made = bands_segmentation(source, *segments, identity(), variant="occlusion", target=shown, kind=ANY_MAP)
        path = save(made, tmp_path / f"{shown}.dcm")
        (strongest,) = (one for one in dcmread(path).SegmentSequence if one.SegmentLabel.startswith(f"CAM {shown} 80"))
        assert (read_back(path, source)[strongest.SegmentNumber] == (planted() == 5)).all()
        _, a, b = np.array(strongest.RecommendedDisplayCIELabValue) * 255 / 65535 - 128
        hues[shown] = np.degrees(np.arctan2(b, a)) % 360
    assert 25 <= hues[warm] <= 60
    assert 260 <= hues[cool] <= 300


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "masks"), [("classic", outlines()), ("enhanced", outlines()), ("classic", apart())])
def test_outlines_come_back_whether_they_overlap_or_not(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, kind: str, masks: dict[str, np.ndarray], direction: str
) -> None:
    source = sources[kind, direction]
    path = save(lesions_segmentation(source, masks, identity()), tmp_path / "seg.dcm")
    own = read_back(path, source)
    others, described = dcmqi_segments(path, tmp_path / "dcmqi")
    for number, (name, mask) in enumerate(masks.items(), start=1):
        np.testing.assert_array_equal(own[number], mask)
        assert_same_points(others[number], Volume(np.where(mask, number, 0), source.volume.affine))
        assert dcmread(path).SegmentSequence[number - 1].SegmentLabel == name.replace("\\", "/")
    assert described[1]["SegmentLabel"] == "GTV 1"


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_the_touched_slices(sources: dict[tuple[str, str], MrSource], kind: str) -> None:
    source = sources[kind, "sagittal"]
    bands = np.zeros(SHAPE, dtype=np.uint8)
    bands[3, 4, 0] = bands[3, 4, 5] = 2
    segmentation = make_bands(source, bands)
    assert segmentation.NumberOfFrames == 2
    assert segmentation.FrameOfReferenceUID == source.frame_uid
    touched = set()
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        corner = flip_lps_ras(np.array([frame.PlanePositionSequence[0].ImagePositionPatient], dtype=float))
        k = round(float(source.volume.to_index(corner)[0, 2]))
        touched.add(k)
        item = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert item.ReferencedSOPInstanceUID == source.images[k].sop_uid
        assert item.get("ReferencedFrameNumber") == source.images[k].frame
    assert touched == {0, 5}


def test_what_it_is_stands_in_it(sources: dict[tuple[str, str], MrSource]) -> None:
    source = sources["classic", "axial"]
    for segmentation in (make_bands(source, planted()), lesions_segmentation(source, outlines(), identity())):
        assert segmentation.SeriesDescription.startswith("RESEARCH ONLY")
        assert segmentation.ContentQualification == "RESEARCH"
        assert segmentation.ContentCreatorName is None
        for segment in segmentation.SegmentSequence:
            assert "RESEARCH ONLY" in segment.SegmentDescription
            assert "demo (synthetic)" in segment.SegmentDescription
            algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
            assert algorithm.AlgorithmVersion.startswith("0123456789ab+")
            assert "synthetic" in algorithm.AlgorithmParameters


def test_what_a_person_drew_is_manual_and_names_no_algorithm(sources: dict[tuple[str, str], MrSource]) -> None:
    made = lesions_segmentation(sources["classic", "axial"], outlines(), identity(), by_hand={"GTV 1"})
    kinds = {one.SegmentLabel: one.SegmentAlgorithmType for one in made.SegmentSequence}
    assert kinds == {"GTV 1": "MANUAL", "GTV_2": "SEMIAUTOMATIC", "Läsion/3": "SEMIAUTOMATIC"}
    assert "SegmentationAlgorithmIdentificationSequence" not in made.SegmentSequence[0]
    assert "SegmentAlgorithmName" not in made.SegmentSequence[0]


@pytest.mark.parametrize("synthetic", [True, None, False])
@pytest.mark.parametrize("variant", ["gradcam", "gradcampp", "pixelwise"])
def test_descriptions_are_not_cut(
    sources: dict[tuple[str, str], MrSource], variant: str, synthetic: bool | None
) -> None:
    source, model = sources["classic", "axial"], identity(synthetic)
    view = {"variant": variant, "target": "predicted class"}
    made = [
        bands_segmentation(source, planted(), NAMES, COLOURS, model, **view),
        lesions_segmentation(source, outlines(), model),
        cam_parametric_map(source, np.zeros(SHAPE), model, variant=variant, target="non-response"),
    ]
    assert all(dataset.SeriesDescription.endswith(" DATA") for dataset in made)
    assert "given to the model" in made[1].SeriesDescription  # not the model's own


@needs_dciodvfy
@pytest.mark.parametrize("direction", ["axial", "oblique"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_independent_checker_finds_no_new_errors(tmp_path: Path, kind: str, direction: str) -> None:
    write_mr(tmp_path / "mr", kind, direction)
    source = read_mr_source(tmp_path / "mr")
    first = sorted((tmp_path / "mr").iterdir())[0]
    objects = {
        "bands": make_bands(source, planted()),
        "empty": make_bands(source, np.zeros(SHAPE, dtype=np.uint8)),
        "outlines": lesions_segmentation(source, outlines(), identity()),
        "map": cam_parametric_map(source, planted() / 5, identity(), **VIEW),
    }
    for name, dataset in objects.items():
        assert new_errors(save(dataset, tmp_path / f"{name}.dcm"), first) == []
    assert inconsistencies([*(tmp_path / "mr").iterdir(), *tmp_path.glob("*.dcm")]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_evidence_is_a_valid_answer(sources: dict[tuple[str, str], MrSource], tmp_path: Path, kind: str) -> None:
    source = sources[kind, "oblique"]
    path = save(make_bands(source, np.zeros(SHAPE, dtype=np.uint8)), tmp_path / "seg.dcm")
    assert not any(mask.any() for mask in read_back(path, source).values())
    others, _ = dcmqi_segments(path, tmp_path / "dcmqi")
    assert not any(volume.array.any() for volume in others.values())


@pytest.mark.parametrize(
    ("bands", "names", "colours", "expected"),
    [
        (np.full(SHAPE, 6, np.uint8), NAMES, COLOURS, "values up to 6"),
        (planted(), NAMES, COLOURS[:4], "5 names and 4 colours"),
        (planted(), [], [], "0 names"),
        (planted()[:-1], NAMES, COLOURS, "found (17, 22, 7)"),
    ],
    ids=["unnamed-band", "colour-missing", "no-names", "another-grid"],
)
def test_bands_that_do_not_fit_are_refused(
    sources: dict[tuple[str, str], MrSource],
    bands: np.ndarray,
    names: list[str],
    colours: list[tuple[int, int, int]],
    expected: str,
) -> None:
    with pytest.raises(DataProblem) as caught:
        bands_segmentation(sources["classic", "axial"], bands, names, colours, identity(), **VIEW)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ({}, "found none"),
        ({"GTV": np.zeros(SHAPE, bool)}, "outline 'GTV': it holds no voxel"),
        ({"GTV": np.ones((3, 3, 3), bool)}, "found (3, 3, 3)"),
    ],
    ids=["none", "empty", "another-grid"],
)
def test_outlines_that_do_not_fit_are_refused(
    sources: dict[tuple[str, str], MrSource], masks: dict[str, np.ndarray], expected: str
) -> None:
    with pytest.raises(DataProblem) as caught:
        lesions_segmentation(sources["classic", "axial"], masks, identity())
    assert expected in str(caught.value)


def test_weights_that_saw_no_patient_stay_away_from_patients(tmp_path: Path) -> None:
    patient = mr_source(tmp_path, patient=REAL)
    for make in (lambda: make_bands(patient, planted()), lambda: lesions_segmentation(patient, outlines(), identity())):
        with pytest.raises(DataProblem, match="not marked as synthetic"):
            make()
