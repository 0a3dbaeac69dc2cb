"""What a person submits: other software reads the same voxels, and that a person drew them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_checks import assert_same_points, dcmqi_segments, needs_dciodvfy, new_errors, save
from pydicom import dcmread
from pydicom.sr.codedict import codes
from result_cases import REAL, SHAPE, mr_source
from treatment_response.dicom.outline_objects import is_result
from treatment_response.dicom.results.model import is_own_series
from treatment_response.dicom.results.submission import Drawing, is_submission, submitted_segmentation
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


def mask(start: int) -> np.ndarray:
    drawn = np.zeros(SHAPE, bool)
    drawn[start : start + 4, 4:9, 2:5] = True
    return drawn


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_it_comes_back_as_drawn_by_a_person(tmp_path: Path, kind: str, recwarn: pytest.WarningsRecorder) -> None:
    source = mr_source(tmp_path / "mr", kind, patient=REAL)
    drawings = [Drawing("GTV_1", mask(2), (255, 0, 0)), Drawing("label 2", mask(4))]
    path = save(submitted_segmentation(source, drawings, login="j^doe"), tmp_path / "seg.dcm")
    masks, described = dcmqi_segments(path, tmp_path / "dcmqi")
    for number, drawing in enumerate(drawings, start=1):
        assert_same_points(masks[number], Volume(np.where(drawing.mask, number, 0), source.volume.affine))
        said = described[number]
        assert (said["SegmentLabel"], said["SegmentAlgorithmType"]) == (drawing.name, "MANUAL")
        assert said["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == codes.SCT.Neoplasm.value
        assert "Drawn by a person" in said["SegmentDescription"]
    assert np.abs(np.array(described[1]["recommendedDisplayRGBValue"]) - (255, 0, 0)).max() <= 2
    read = dcmread(path)
    assert is_submission(read)
    assert not is_result(read)
    assert not is_own_series(read.SeriesDescription)
    assert read.SeriesDescription.startswith("RESEARCH ONLY drawn by a person, 2")
    assert read.ContentQualification == "RESEARCH"
    assert read.ContentCreatorName == "j doe"
    assert not [one for one in recwarn if "doe" in str(one.message).lower()]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GTV 1", codes.SCT.Neoplasm),
        ("label 1", codes.SCT.Neoplasm),
        ("peritumoral edema", codes.SCT.Edema),
        ("PTV 1", codes.SCT.Lesion),
        ("Brainstem", codes.SCT.Organ),
    ],
)
def test_the_type_code_is_what_the_name_says(tmp_path: Path, name: str, code: object) -> None:
    made = submitted_segmentation(mr_source(tmp_path), [Drawing(name, mask(2))])
    (kind,) = made.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    assert kind == code
    assert not made.ContentCreatorName


def test_no_control_character_gets_into_the_object(tmp_path: Path) -> None:
    made = submitted_segmentation(mr_source(tmp_path), [Drawing("\x1b[31mGTV\n1\x00", mask(2))], login="j\x1bdoe\r")
    assert [one.SegmentLabel for one in made.SegmentSequence] == ["[31mGTV 1"]
    assert made.ContentCreatorName == "j doe"


def test_nothing_drawn_is_refused(tmp_path: Path) -> None:
    for drawings in ([], [Drawing("GTV 1", np.zeros(SHAPE, bool))]):
        with pytest.raises(DataProblem, match="draw at least one voxel"):
            submitted_segmentation(mr_source(tmp_path), drawings)


@needs_dciodvfy
def test_an_independent_checker_finds_no_new_errors(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr")
    made = submitted_segmentation(source, [Drawing("GTV 1", mask(2)), Drawing("GTV 2", mask(4))], login="jdoe")
    assert new_errors(save(made, tmp_path / "seg.dcm"), sorted((tmp_path / "mr").iterdir())[0]) == []
