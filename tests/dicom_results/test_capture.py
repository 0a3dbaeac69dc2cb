"""Pictures with legends: the map at its place in its class's colour, nothing of the patient burnt in, and valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_checks import needs_dciodvfy, new_errors, save
from pydicom import dcmread
from result_cases import DIRECTIONS, KINDS, REAL, SHAPE, identity, mr_source
from skimage.color import rgb2hsv
from treatment_response.class_colours import class_colour, ramp, rgb
from treatment_response.cohort.adapters.lumiere import RANO
from treatment_response.dicom.results.capture import captures, case_capture
from treatment_response.dicom.source import MrSource
from treatment_response.geometry.slice_patch import axial_plane, largest_slice
from treatment_response.geometry.volume import voxel_indices
from treatment_response.problems import DataProblem

SCALE = {"response": 2.5, "non-response": 1.5}
WHOLE = (slice(44, 492), slice(16, 464))  # rows and columns of the view of the whole slice
ZOOMED = (slice(44, 492), slice(496, 944))


def region() -> np.ndarray:
    """A lesion off every middle of the volume."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3:6, 4:8, 4:6] = True
    return mask


def lesion(source: MrSource, roi: str = "GTV 1", **changes: object) -> dict[str, Any]:
    """A lesion as the server answers it."""
    largest = largest_slice(voxel_indices(region()), axial_plane(source.volume.affine))
    numbers = {"p_response": 0.73, "p_non_response": 0.27, "threshold": 0.5}
    return {"roi": roi, "class": "response", "largest_slice": largest, **numbers, **changes}


def pictures(source: MrSource, value: float = 1.0, told: dict[str, Any] | None = None, **options: object) -> list:
    """One lesion, both classes; the map is the same everywhere in it."""
    maps = {shown: [np.where(region(), value, 0).astype(np.float32)] for shown in ("response", "non-response")}
    lesions = [told or lesion(source)]
    arguments = {"identity": identity(), "variant": "pixelwise", **options}
    return captures(source, maps, lesions, [region()], SCALE, **arguments)


def coloured(pixels: np.ndarray) -> np.ndarray:
    """Pixels that are neither grey nor of the yellow outline and letters."""
    hue = rgb2hsv(pixels)[..., 0] * 360
    return (np.ptp(pixels.astype(int), axis=-1) > 50) & ((hue < 45) | (hue > 65))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_lies_where_a_reader_expects_it_in_its_class_colour(tmp_path: Path, kind: str, direction: str) -> None:
    source = mr_source(tmp_path / "mr", kind, direction)
    made = [dcmread(save(one, tmp_path / f"{n}.dcm")).pixel_array for n, one in enumerate(pictures(source))]
    # RAS mm, with nothing of the drawing's own geometry: the slice's plane is the volume's own.
    affine = source.volume.affine
    across = int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    middle = (np.array(SHAPE) - 1) / 2
    inside = np.argwhere(region())
    inside = inside[inside[:, across] == lesion(source)["largest_slice"]]
    middle[across] = inside[0, across]
    offset = affine[:3, :3] @ (inside.mean(axis=0) - middle)
    side = np.delete(np.array(SHAPE) * np.linalg.norm(affine[:3, :3], axis=0), across).max()
    for pixels, number in zip(made, (1, 0), strict=True):
        spot = coloured(pixels[WHOLE])
        row, column = np.argwhere(spot).mean(axis=0) - 223.5
        # The patient's right is left, anterior is up. An oblique slice is seen along its own axes.
        tolerance = 1.0 if direction in ("axial", "sagittal") else 0.45 * np.linalg.norm(offset)
        np.testing.assert_allclose(np.array([-column, -row]) * side / 448, offset[:2], atol=tolerance)
        zoomed = np.argwhere(coloured(pixels[ZOOMED])).mean(axis=0)
        np.testing.assert_allclose(zoomed, 223.5, atol=4)
        paint = pixels[WHOLE][spot].mean(axis=0)
        other = rgb(class_colour(1 - number))
        assert np.linalg.norm(paint - rgb(class_colour(number))) < np.linalg.norm(paint - other) - 100


def test_no_evidence_is_no_colour_and_weak_evidence_is_not_stretched(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr")
    strong, weak, nothing = (pictures(source, value)[0].pixel_array[ZOOMED].astype(float) for value in (1.0, 0.1, 0.0))
    assert not coloured(nothing.astype(np.uint8)).any()
    assert 5 < np.abs(weak - nothing).max() < np.abs(strong - nothing).max()


def test_nothing_that_names_a_person_is_burnt_in(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr", patient=REAL)
    made = {
        roi: pictures(source, told=lesion(source, roi), identity=identity(synthetic=False))[0]
        for roi in ("Smith left", "Jones 2", "GTV 1", "GTV 2")
    }
    pixels = {roi: one.pixel_array for roi, one in made.items()}
    np.testing.assert_array_equal(pixels["Smith left"], pixels["Jones 2"])
    assert (pixels["GTV 1"] != pixels["GTV 2"]).any()
    assert made["Smith left"].ImageComments.startswith("Smith left: ")
    assert "Smith" not in made["Smith left"].DerivationDescription
    assert {one.BurnedInAnnotation for one in made.values()} == {"NO"}
    with pytest.raises(DataProblem, match="not marked as synthetic"):
        pictures(source)


def test_what_it_is_and_where_it_is_from_stands_in_it(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr", "enhanced")
    certainty = {"calibrated": True, "level": 0.9, "set_text": "undecided"}
    response, other = pictures(source, told=lesion(source, certainty=certainty))
    for word in (
        "RESPONSE (pixelwise)",
        "P(response) 73 %",
        "set at 90 %: undecided",
        "1 = 2.5 of the logit",
        "synthetic",
    ):
        assert word in response.DerivationDescription
    assert "NON-RESPONSE" in other.DerivationDescription
    assert response.SeriesInstanceUID == other.SeriesInstanceUID
    assert (response.InstanceNumber, other.InstanceNumber) == (1, 2)
    assert response.SeriesDescription.startswith("RESEARCH ONLY CAM with legend")
    assert list(response.ImageType) == ["DERIVED", "SECONDARY"]
    (reference,) = response.SourceImageSequence
    image = source.images[lesion(source)["largest_slice"]]
    assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (image.sop_uid, image.frame)
    assert len(pictures(mr_source(tmp_path / "sagittal", direction="sagittal"))[0].SourceImageSequence) == SHAPE[2]


@needs_dciodvfy
@pytest.mark.parametrize("direction", ["oblique", "sagittal"])
def test_an_independent_checker_finds_no_errors(tmp_path: Path, direction: str) -> None:
    source = mr_source(tmp_path / "mr", direction=direction)
    for number, one in enumerate([*pictures(source), case_picture(source, region().astype(np.float32))]):
        assert new_errors(save(one, tmp_path / f"{number}.dcm")) == []


def case_picture(source: MrSource, evidence: np.ndarray, shown: str = "PR") -> Any:
    """Of the four classes of RANO."""
    probabilities = {"PD": 0.02, "SD": 0.28, "PR": 0.695, "CR": 0.005}
    told = (shown, RANO, probabilities, "PR", "not calibrated", 0.25)
    return case_capture(source, evidence, *told, identity(), variant="occlusion")


@pytest.mark.parametrize(
    ("direction", "shown", "colour"), [("axial", "PR", 2), ("sagittal", "PD", 0), ("axial", "CR", 1)]
)
def test_a_cases_picture_shows_the_strongest_slice_in_the_colour_of_its_class(
    tmp_path: Path, direction: str, shown: str, colour: int
) -> None:
    source = mr_source(tmp_path / "mr", direction=direction)
    evidence = np.where(region(), 1, 0).astype(np.float32)
    evidence[10, 15, 1] = 0.9  # elsewhere, and less of it
    made = case_picture(source, evidence, shown)
    of_lesion = pictures(source)[0].pixel_array[WHOLE]
    spot, expected = (np.argwhere(coloured(pixels)) for pixels in (made.pixel_array[WHOLE], of_lesion))
    np.testing.assert_allclose(spot.mean(axis=0), expected.mean(axis=0), atol=8)  # the lesion's has an outline around
    np.testing.assert_allclose(np.argwhere(coloured(made.pixel_array[ZOOMED])).mean(axis=0), 223.5, atol=4)
    paint = made.pixel_array[WHOLE][tuple(spot.T)].mean(axis=0)
    distances = [np.linalg.norm(paint - ramp(number, 5)[-1]) for number in range(4)]
    assert int(np.argmin(distances)) == colour
    for words in (f"evidence for {shown} (occlusion)", "P(SD) 28 %", "P(CR) < 1 %", "Class: PR", "Not calibrated"):
        assert words in made.DerivationDescription
    empty = case_picture(source, np.zeros(SHAPE, np.float32))
    assert not coloured(empty.pixel_array[WHOLE]).any()
    assert "no evidence in this slice" in empty.DerivationDescription
