"""A DICOM Segmentation lands on the MR's grid where it was drawn, in millimetres, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from outline_case import ball, changed_frames, mr, place, segmentation, write_mr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation
from treatment_response.dicom.segmentations import read_segmentation
from treatment_response.dicom.series import read_series
from treatment_response.dicom.write import WrittenSeries
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

ORIENTATIONS = ["axial", "sagittal", "oblique"]


def written(tmp_path: Path, orientation: str) -> tuple[Volume, WrittenSeries]:
    referenced = write_mr(mr(orientation), tmp_path / "mr", orientation)
    return read_series(tmp_path / "mr"), referenced


def two_balls(image: Volume) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    centres = {"GTV 1": place(image, 8, -6, 5), "GTV 2": place(image, -9, 10, -7)}
    return centres, {name: ball(image, centre, 6.0) for name, centre in centres.items()}


def assert_at(image: Volume, mask: np.ndarray, centre: np.ndarray) -> None:
    """The mask's middle is the planted one, within a third of a voxel."""
    found = image.to_world(np.argwhere(mask)).mean(axis=0)
    np.testing.assert_allclose(found, centre, atol=0.4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_segments_lie_where_they_were_drawn(tmp_path: Path, orientation: str) -> None:
    image, referenced = written(tmp_path, orientation)
    centres, masks = two_balls(image)
    segments = read_segmentation(segmentation(masks, referenced), image)
    assert [(one.number, one.label) for one in segments] == [(1, "GTV 1"), (2, "GTV 2")]
    for segment in segments:
        np.testing.assert_array_equal(segment.mask, masks[segment.label])
        assert_at(image, segment.mask, centres[segment.label])


@pytest.mark.parametrize("flip_rows", [False, True], ids=["as-they-are", "rows-from-below"])
def test_the_order_and_direction_of_frames_do_not_matter(tmp_path: Path, flip_rows: bool) -> None:
    image, referenced = written(tmp_path, "oblique")
    _, masks = two_balls(image)
    seg = segmentation(masks, referenced)
    order = np.random.default_rng(0).permutation(int(seg.NumberOfFrames))
    assert len(order) < 2 * image.array.shape[2]  # empty frames are left out
    for segment in read_segmentation(changed_frames(seg, order, flip_rows), image):
        np.testing.assert_array_equal(segment.mask, masks[segment.label])


def test_frames_may_be_cut_along_another_axis_of_the_same_grid(tmp_path: Path) -> None:
    """Slices across the image's first axis: rows run along the third, columns along the second."""
    image = mr("axial")
    _, masks = two_balls(image)
    turned = np.eye(4)[[2, 1, 0, 3]]  # K, J, I → I, J, K
    other = Volume(np.ascontiguousarray(image.array.transpose(2, 1, 0)), image.affine @ turned)
    # A left-handed set of axes cannot be a series, so one of them is turned round.
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = other.array.shape[0] - 1
    other = Volume(other.array[::-1].copy(), other.affine @ flip)
    referenced = write_mr(other, tmp_path / "other", "axial")
    seg = segmentation({name: mask.transpose(2, 1, 0)[::-1] for name, mask in masks.items()}, referenced)
    for segment in read_segmentation(seg, image):
        np.testing.assert_array_equal(segment.mask, masks[segment.label])


TURN = Rotation.from_euler("z", 3, degrees=True).as_matrix()
OTHER_GRIDS: dict[str, tuple[tuple[float, ...], np.ndarray, str]] = {
    "third": ((0.3, 0, 0), np.eye(3), "shifted by 0.27, 0.00, 0.00 mm along the MR's axes"),
    "half-slice": ((0, 0, 0.4), np.eye(3), "shifted by 0.00, 0.00, 0.84 mm along the MR's axes"),
    "2%": ((0, 0, 0), np.diag([1.02, 1.02, 1]), "pixels of 0.714 × 0.918 mm, the MR's 0.700 × 0.900 mm"),
    "turned": ((0, 0, 0), np.diag([1 / 0.9, 1 / 0.7, 1]) @ TURN @ np.diag([0.9, 0.7, 1]), "turned by 3.0°"),
}


@pytest.mark.parametrize("name", OTHER_GRIDS)
def test_another_grid_is_told_and_never_shifted(tmp_path: Path, name: str) -> None:
    shift, change, words = OTHER_GRIDS[name]
    image = mr("oblique")
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(shift)
    affine[:3, :3] = affine[:3, :3] @ change
    other = Volume(image.array, affine)
    referenced = write_mr(other, tmp_path / "other", "oblique")
    _, masks = two_balls(other)
    with pytest.raises(DataProblem, match="lies on another grid than the MR") as error:
        read_segmentation(segmentation(masks, referenced), image)
    assert f"({words})" in str(error.value)


def test_thicker_slices_on_some_of_the_planes_are_another_grid(tmp_path: Path) -> None:
    image = mr("axial")
    thick = Volume(image.array[:, :, ::2], image.affine @ np.diag([1.0, 1, 2, 1]))
    referenced = write_mr(thick, tmp_path / "thick", "axial")
    _, masks = two_balls(thick)
    with pytest.raises(DataProblem, match=r"slices 4\.20 mm apart, the MR's 2\.10 mm"):
        read_segmentation(segmentation(masks, referenced), image)


def test_a_part_outside_the_mr_is_told(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "oblique")
    _, masks = two_balls(image)
    half = Volume(image.array[:, :, : image.array.shape[2] // 2], image.affine)
    with pytest.raises(DataProblem, match="reaches outside the MR"):
        read_segmentation(segmentation(masks, referenced), half)


def test_overlapping_segments_keep_all_their_voxels(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    masks = {"GTV": ball(image, place(image, 0, 0, 0), 5), "PTV": ball(image, place(image, 0, 0, 0), 8)}
    for segment in read_segmentation(segmentation(masks, referenced), image):
        np.testing.assert_array_equal(segment.mask, masks[segment.label])


def test_a_label_map_segmentation_is_read(tmp_path: Path) -> None:
    """Label Map Segmentation Storage: a frame's pixels are segment numbers."""
    image, referenced = written(tmp_path, "oblique")
    _, masks = two_balls(image)
    seg = segmentation({"GTV 1": masks["GTV 1"] | masks["GTV 2"], "GTV 2": np.zeros_like(masks["GTV 2"])}, referenced)
    slices = [round(k) for k in frame_slices(seg, image)]
    values = (masks["GTV 1"] + 2 * masks["GTV 2"].astype(int)).astype(np.uint8)
    seg.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.7"
    seg.SegmentationType, seg.BitsAllocated, seg.BitsStored, seg.HighBit = "LABELMAP", 8, 8, 7
    seg.PixelData = np.stack([values[:, :, k].T for k in slices]).tobytes()
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.SegmentIdentificationSequence
    found = {segment.label: segment.mask for segment in read_segmentation(seg, image)}
    np.testing.assert_array_equal(found["GTV 1"], masks["GTV 1"])
    np.testing.assert_array_equal(found["GTV 2"], masks["GTV 2"])


def frame_slices(seg: object, image: Volume) -> list[float]:
    positions = [
        np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float) * [-1, -1, 1]
        for group in seg.PerFrameFunctionalGroupsSequence  # type: ignore[attr-defined]
    ]
    return image.to_index(np.array(positions))[:, 2].tolist()


def test_fractions_and_other_objects_are_refused(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    _, masks = two_balls(image)
    seg = segmentation(masks, referenced, property_type=codes.SCT.Neoplasm)
    seg.SegmentationType = "FRACTIONAL"
    with pytest.raises(DataProblem, match="is fractional, expected a binary segmentation"):
        read_segmentation(seg, image)
    with pytest.raises(DataProblem, match="is not a readable DICOM Segmentation"):
        read_segmentation(referenced.instances[0].path, image)
    damaged = segmentation(masks, referenced)
    damaged.PixelData = damaged.PixelData[:100]
    with pytest.raises(DataProblem, match="has pixel data that cannot be decoded"):
        read_segmentation(damaged, image)


def test_segments_of_one_number_are_refused(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    seg = segmentation(two_balls(image)[1], referenced)
    seg.SegmentSequence[1].SegmentNumber = 1
    with pytest.raises(DataProblem, match="describes two segments of number 1"):
        read_segmentation(seg, image)


def test_frames_of_unknown_segments_are_refused(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    seg = segmentation(two_balls(image)[1], referenced)
    seg.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7
    with pytest.raises(DataProblem, match="has frames of segment 7, which it does not describe"):
        read_segmentation(seg, image)
    seg.SegmentSequence = []
    with pytest.raises(DataProblem, match="describes no segment"):
        read_segmentation(seg, image)


def test_two_different_frames_at_one_place_are_refused_and_copies_are_not(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "oblique")
    masks = {"GTV 1": two_balls(image)[1]["GTV 1"]}
    seg = segmentation(masks, referenced)
    count = int(seg.NumberOfFrames)
    [segment] = read_segmentation(changed_frames(seg, [*range(count), 3]), image)
    np.testing.assert_array_equal(segment.mask, masks["GTV 1"])
    seg = segmentation(masks, referenced)
    groups = seg.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence
    with pytest.raises(DataProblem, match="two different frames of segment 1 at one place"):
        read_segmentation(seg, image)


def test_a_segment_without_voxels_has_an_empty_mask(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    masks = {**two_balls(image)[1], "GTV 3": np.zeros(image.array.shape, bool)}
    *_, empty = read_segmentation(segmentation(masks, referenced), image)
    assert empty.label == "GTV 3"
    assert not empty.mask.any()


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_positions_that_are_none_are_refused(value: str, tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    seg: Dataset = segmentation(two_balls(image)[1], referenced)
    seg.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = [value, "0", "0"]
    with pytest.raises(DataProblem):
        read_segmentation(seg, image)


def test_rows_and_columns_in_one_direction_are_refused(tmp_path: Path) -> None:
    image, referenced = written(tmp_path, "axial")
    seg: Dataset = segmentation(two_balls(image)[1], referenced)
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = ["1", "0", "0", "1", "0", "0"]
    with pytest.raises(DataProblem, match="lies on another grid than the MR"):
        read_segmentation(seg, image)
