"""Contours come back in RAS millimetres; unusable ones are told per ROI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_case import MARKER, ORIENTATIONS, PATIENT, STUDY, volume, write
from pydicom import dcmread
from pydicom.dataset import Dataset
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.structure_items import contour_item
from treatment_response.dicom.structures import read_structure_set
from treatment_response.dicom.write import write_structure_set
from treatment_response.geometry import rasterise
from treatment_response.problems import DataProblem

SQUARE = np.array([[-1.4, -1.4], [1.4, -1.4], [1.4, 1.4], [-1.4, 1.4]])


def around_marker(orientation: str) -> list[np.ndarray]:
    """A square of ±1.4 voxels around the marker, on its slice and the next."""
    index = [np.column_stack([SQUARE + MARKER[:2], np.full(4, MARKER[2] + k)]) for k in (0, 1)]
    return [volume(orientation).to_world(points) for points in index]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    contours = around_marker("oblique")
    rois = {"GTV 1": contours, "Empty": [], "Point": [contours[0][:1]], "Mixed": [contours[0], contours[1][:2]]}
    written = write(volume(), tmp_path / "mr")
    types = {"GTV 1": "GTV", "Empty": ""}
    out = tmp_path / "rs.dcm"
    write_structure_set(rois, out, patient=PATIENT, study=STUDY, referenced=written, label="L", interpreted_types=types)
    return out


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_contours_land_on_the_marker(orientation: str, tmp_path: Path) -> None:
    image = volume(orientation)
    written = write(image, tmp_path / "mr")
    contours = around_marker(orientation)
    write_structure_set({"GTV": contours}, tmp_path / "rs", patient=PATIENT, study=STUDY, referenced=written)
    index = scan_folder(tmp_path)
    [roi] = read_structure_set(index.structure_sets[0]).rois
    for found, truth in zip(roi.contours, contours, strict=True):
        np.testing.assert_allclose(found, truth, atol=1e-4)
    mask = rasterise(roi.contours, image.affine, image.array.shape)
    assert mask.sum() == 3 * 3 * 2
    assert image.array[mask].max() == 3000


def test_contours_refer_to_their_slices(tmp_path: Path) -> None:
    written = write(volume(), tmp_path / "mr")
    rois = {"GTV": around_marker("oblique")}
    write_structure_set(rois, tmp_path / "rs", patient=PATIENT, study=STUDY, referenced=written)
    items = dcmread(tmp_path / "rs").ROIContourSequence[0].ContourSequence
    referred = [item.ContourImageSequence[0].ReferencedSOPInstanceUID for item in items]
    assert referred == [written.instances[MARKER[2] + k].sop_uid for k in (0, 1)]


def test_unusable_rois_are_told_and_the_rest_is_read(path: Path) -> None:
    structures = read_structure_set(path, "sub-001 ses-01")
    gtv, empty, point, mixed = structures.rois
    assert (gtv.name, gtv.number, gtv.interpreted_type, gtv.problems) == ("GTV 1", 1, "GTV", ())
    assert [str(problem) for problem in empty.problems] == [
        "sub-001 ses-01 ROI number 2: is empty; draw it, or delete it from the structure set."
    ]
    assert "holds nothing but 1 speck" in point.problems[0].what
    assert [roi.is_empty for roi in structures.rois] == [False, True, False, False]
    assert not mixed.problems
    assert mixed.notes == ("has 1 speck (single points, or contours of no area), which were dropped",)
    assert [len(roi.contours) for roi in structures.rois] == [2, 0, 0, 1]
    assert structures.frame_uid == gtv.frame_uid
    assert len(structures.referenced_series_uids) == 1
    assert not structures.problems


def test_rois_tell_the_images_of_their_contours(path: Path) -> None:
    images = [
        item.ContourImageSequence[0].ReferencedSOPInstanceUID
        for item in dcmread(path).ROIContourSequence[0].ContourSequence
    ]
    gtv, empty, *_ = read_structure_set(path).rois
    assert gtv.contour_sop_uids == frozenset(images)
    assert len(images) == 2
    assert not empty.contour_sop_uids


SPECKS = {
    "point": ("POINT", [[1.0, 2, 3]]),
    "closed-point": ("CLOSED_PLANAR", [[1.0, 2, 3]] * 5),
    "open-line": ("OPEN_PLANAR", [[1.0, 2, 3], [4, 5, 6]]),
    "closed-line": ("CLOSED_PLANAR", [[0.0, 0, 0], [1, 1, 0], [2, 2, 0]]),
    "tiny": ("CLOSED_PLANAR", [[0.0, 0, 0], [0.2, 0, 0], [0.1, 0.1, 0]]),
}


@pytest.mark.parametrize("speck", SPECKS)
def test_specks_are_dropped_and_told(speck: str, path: Path) -> None:
    kind, points = SPECKS[speck]
    dataset = dcmread(path)
    contours = dataset.ROIContourSequence[0].ContourSequence
    contours.append(contour_item(3, np.array(points), contours[0].ContourImageSequence[0], kind))
    dataset.save_as(path)
    roi = read_structure_set(path).rois[0]
    assert not roi.problems
    assert roi.notes == ("has 1 speck (single points, or contours of no area), which were dropped",)
    assert len(roi.contours) == 2


FAULTS = {
    "nan": ({"ContourData": ["nan", "0", "0", "1", "0", "0", "1", "1", "0"], "NumberOfContourPoints": 3}, "infinite"),
    "far": ({"ContourData": [20000, 0, 0, 20001, 0, 0, 20001, 1, 0], "NumberOfContourPoints": 3}, "beyond 10 m"),
    "count": ({"NumberOfContourPoints": 5}, "number of points is not the one that it states"),
    "line": ({"ContourGeometricType": "OPEN_PLANAR"}, "unclosed"),
    "twice": ({"ContourData": [0, 0, 0, 9, 0, 0, 9, 9, 0] * 2, "NumberOfContourPoints": 6}, "twice"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_contours_spoil_their_roi_alone(fault: str, path: Path) -> None:
    values, words = FAULTS[fault]
    dataset = dcmread(path)
    for keyword, value in values.items():
        setattr(dataset.ROIContourSequence[0].ContourSequence[0], keyword, value)
    dataset.save_as(path)
    gtv, *others = read_structure_set(path).rois
    [problem] = gtv.problems
    assert words in problem.what
    assert problem.what.startswith("has 1 ")
    assert " of 2" in problem.what
    assert len(gtv.contours) == 1
    assert not any(words in other.what for roi in others for other in roi.problems)


def test_text_among_coordinates_spoils_its_roi_alone(path: Path) -> None:
    written = dcmread(path).ROIContourSequence[0].ContourSequence[0].ContourData[0]
    text = str(written).encode()
    path.write_bytes(path.read_bytes().replace(text, b"x" * len(text), 1))
    gtv, *_ = read_structure_set(path).rois
    assert "coordinates that are no numbers" in gtv.problems[0].what


def test_items_of_one_number_are_put_together(path: Path) -> None:
    """Some systems write one ROI Contour item per slice."""
    whole = read_structure_set(path).rois[0]
    dataset = dcmread(path)
    first, *others = dataset.ROIContourSequence
    slices = []
    for contour in first.ContourSequence:
        item = Dataset()
        item.ReferencedROINumber, item.ContourSequence = first.ReferencedROINumber, [contour]
        slices.append(item)
    dataset.ROIContourSequence = [slices[0], *others, slices[1]]
    dataset.save_as(path)
    roi = read_structure_set(path).rois[0]
    assert not roi.problems
    assert roi.notes == ("has its contours in 2 items, which were put together",)
    np.testing.assert_array_equal(np.concatenate(roi.contours), np.concatenate(whole.contours))


def test_rois_that_share_a_number_have_no_contours_and_are_told(path: Path) -> None:
    dataset = dcmread(path)
    dataset.StructureSetROISequence[3].ROINumber = 1
    dataset.ROIContourSequence[3].ReferencedROINumber = 1
    dataset.save_as(path)
    gtv, empty, _, mixed = read_structure_set(path).rois
    for roi in (gtv, mixed):
        assert not roi.contours
        assert not roi.is_empty
        assert roi.problems[0].what.startswith("shares its ROI number 1 with another ROI")
    assert empty.is_empty


def test_contours_of_no_roi_are_told_and_given_to_none(path: Path) -> None:
    dataset = dcmread(path)
    dataset.ROIContourSequence[0].ReferencedROINumber = 77
    dataset.save_as(path)
    structures = read_structure_set(path, "sub-001")
    assert [str(problem) for problem in structures.problems] == [
        "sub-001: holds 2 contours of ROI number 77, and no ROI has this number; export it again."
    ]
    gtv, empty, *_ = structures.rois
    for roi in (gtv, empty):  # the lost contours may be those of any ROI that has none
        assert not roi.contours
        assert not roi.is_empty
        assert "contours that belong to no ROI" in roi.problems[0].what


@pytest.mark.parametrize(
    ("kind", "usable"),
    [("CLOSED_PLANAR", 2), ("CLOSEDPLANAR_XOR", 2), ("OPEN_PLANAR", 0), ("OPEN_NONPLANAR", 0), ("POINT", 0)],
)
def test_geometric_types(kind: str, usable: int, path: Path) -> None:
    dataset = dcmread(path)
    for item in dataset.ROIContourSequence[0].ContourSequence:
        item.ContourGeometricType = kind
    dataset.save_as(path)
    roi = read_structure_set(path).rois[0]
    assert len(roi.contours) == usable
    assert bool(roi.problems) == (usable == 0)


def test_repeated_points_and_rounding_are_tolerated(path: Path) -> None:
    dataset = dcmread(path)
    item = dataset.ROIContourSequence[0].ContourSequence[0]
    points = np.array(item.ContourData, dtype=float).reshape(-1, 3)
    item.ContourData = [f"{value:.2f}" for value in np.vstack([points, points[-1:], points[:1]]).ravel()]
    item.NumberOfContourPoints += 2
    dataset.save_as(path)
    roi = read_structure_set(path).rois[0]
    assert not roi.problems
    np.testing.assert_allclose(roi.contours[0][:, 2], points[:, 2], atol=0.006)


def test_bent_contour_is_told(path: Path) -> None:
    dataset = dcmread(path)
    item = dataset.ROIContourSequence[0].ContourSequence[0]
    item.ContourData = [*item.ContourData[:2], float(item.ContourData[2]) + 4, *item.ContourData[3:]]
    dataset.save_as(path)
    roi = read_structure_set(path).rois[0]
    assert "do not lie in a plane" in roi.problems[0].what
    assert len(roi.contours) == 1


@pytest.mark.parametrize("left", [1, 2])
def test_coordinates_that_are_cut_off_are_told(left: int, path: Path) -> None:
    dataset = dcmread(path)
    item = dataset.ROIContourSequence[0].ContourSequence[0]
    item.ContourData = item.ContourData[: 9 + left]
    dataset.save_as(path)
    gtv, *others = read_structure_set(path, "sub-001").rois
    assert [str(problem) for problem in gtv.problems] == [
        "sub-001 ROI number 1: has 1 contour of 2 whose coordinates are not a multiple of three; export it again."
    ]
    assert len(gtv.contours) == 1
    assert not any("three" in problem.what for roi in others for problem in roi.problems)


def test_other_files_are_refused_in_one_sentence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="not a readable RT Structure Set"):
        read_structure_set(next((tmp_path / "mr").iterdir()))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataProblem):
        read_structure_set(path)
