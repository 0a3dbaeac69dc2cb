"""Stored maps and segmentations open in 3D Slicer: its core reads what dcmqi makes of them, at their millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_checks import assert_same_points, dcmqi_parametric_map, dcmqi_segments, save
from result_cases import CORNERS, DIRECTIONS, SHAPE, identity
from slicer_scene import needs_slicer, slicer_volume
from treatment_response.bands import to_bands, to_labels, to_segments
from treatment_response.classes import Classes
from treatment_response.dicom.results.parametric_map import ANY_MAP, cam_parametric_map
from treatment_response.dicom.results.segmentation import bands_segmentation, lesions_segmentation
from treatment_response.dicom.source import MrSource
from treatment_response.geometry import Volume

pytestmark = needs_slicer


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_map_lies_where_it_was_planted(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, direction: str
) -> None:
    source, cam = sources["classic", direction], np.zeros(SHAPE, dtype=np.float32)
    for number, corner in enumerate(CORNERS, start=1):
        cam[corner] = number / len(CORNERS)
    written = cam_parametric_map(source, cam, identity(), variant="gradcampp", target="non-response")
    dcmqi_parametric_map(save(written, tmp_path / "pm.dcm"), tmp_path / "dcmqi")
    (path,) = (tmp_path / "dcmqi").glob("*.nrrd")
    assert_same_points(slicer_volume(path), Volume(cam, source.volume.affine))


def test_a_cases_map_and_bands_lie_where_they_were_planted(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path
) -> None:
    # What a model stores that answers case by case, such as RICE-NET: any map, and the bands of the class it shows.
    source, classes = sources["classic", "oblique"], Classes(("radiation effect", "recurrence"), "recurrence")
    scaled = np.zeros(SHAPE, dtype=np.float32)
    scaled[2:9, 3:9, 1:4] = 0.5
    scaled[3:5, 4:6, 2] = 0.95
    told = {"variant": "occlusion", "target": "recurrence", "kind": ANY_MAP}
    dcmqi_parametric_map(
        save(cam_parametric_map(source, scaled, identity(), **told), tmp_path / "pm.dcm"), tmp_path / "pm"
    )
    (path,) = (tmp_path / "pm").glob("*.nrrd")
    assert_same_points(slicer_volume(path), Volume(scaled, source.volume.affine))
    labels = to_labels(to_bands(scaled, 5), 5, "recurrence", classes)
    written = bands_segmentation(source, *to_segments(labels, 5, classes), identity(), **told)
    segments, _ = dcmqi_segments(save(written, tmp_path / "seg.dcm"), tmp_path / "seg")
    filled = [number for number, mask in segments.items() if mask.array.any()]
    assert len(filled) == 2
    for number, value in zip(sorted(filled), (0.5, 0.95), strict=True):
        found = slicer_volume(tmp_path / "seg" / f"s-{number}.nrrd", label=True)
        expected = np.where(np.isclose(scaled, value), number, 0)
        assert_same_points(found, Volume(expected, source.volume.affine))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_outlines_that_overlap_lie_where_they_were_planted(
    sources: dict[tuple[str, str], MrSource], tmp_path: Path, direction: str
) -> None:
    source = sources["classic", direction]
    masks = {name: np.zeros(SHAPE, dtype=bool) for name in ("GTV 1", "GTV_2")}
    masks["GTV 1"][2:9, 3:9, 1:4] = True
    masks["GTV_2"][7:12, 6:12, 2:5] = True
    written = lesions_segmentation(source, masks, identity())
    dcmqi_segments(save(written, tmp_path / "seg.dcm"), tmp_path / "dcmqi")
    for number, mask in enumerate(masks.values(), start=1):
        found = slicer_volume(tmp_path / "dcmqi" / f"s-{number}.nrrd", label=True)
        assert_same_points(found, Volume(np.where(mask, number, 0), source.volume.affine))
