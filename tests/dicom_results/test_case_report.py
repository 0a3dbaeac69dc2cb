"""The structured report of a case as a whole: what readers find in it, where its outline lies, that it is valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from dicom_checks import needs_dciodvfy, new_errors, save
from pydicom import dcmread
from result_cases import KINDS, REAL, SHAPE, identity, mr_source
from treatment_response.dicom.results.case_report import case_report
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.parametric_map import ANY_MAP, cam_parametric_map
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem

PROBABILITIES = {"PD": 0.613, "SD": 0.38, "PR": 0.006, "CR": 0.001}
WARNING = "The registration of the earlier image is doubtful: it turned by 36 degrees."
STRONGEST = np.zeros(SHAPE, dtype=bool)
STRONGEST[4:9, 6:14, 3] = True
STRONGEST[5:7, 7:9, 4] = True

SHEET: list[dict[str, Any]] = [
    {"name": "lesion volume", "value": 2.3437, "unit": "ml", "note": "as outlined"},
    {"name": "growth", "value": 0.07, "unit": "ml/month", "note": ""},
    {"name": "maximum dose in the lesion", "value": 64.3, "unit": "Gy(RBE)", "note": ""},
    {"name": "isodose class", "value": "in-field", "unit": "", "note": ""},
    {"name": "distance to the cavity", "value": None, "unit": "mm", "note": "no cavity was found"},
]


def labels() -> np.ndarray:
    """Weak evidence around strong; the strongest is most in slice 3."""
    made = np.zeros(SHAPE, np.uint8)
    made[2:14, 3:18, 2:6] = 21
    made[STRONGEST] = 25
    return made


def four_classes() -> ModelIdentity:
    return replace(identity(), name="Four classes")


def report(source: MrSource, bands: np.ndarray, **changes: Any) -> Any:
    who = changes.pop("identity", four_classes())
    scaled = (bands > 0).astype(np.float32)
    evidence = [cam_parametric_map(source, scaled, who, variant="occlusion", target="SD", kind=ANY_MAP)]
    arguments = {"warnings": [WARNING], **changes}
    return case_report(source, PROBABILITIES, "PD", "not calibrated", bands, "SD", evidence, who, **arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_class_and_outline_as_readers_find_them(kind: str, tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr", kind)
    path = save(report(source, labels()), tmp_path / "report.dcm")
    read = hd.sr.srread(path)
    case, region = read.content.get_image_measurement_groups(), read.content.get_planar_roi_measurement_groups()
    assert (len(case), len(region)) == (1, 1)
    assert case[0].tracking_identifier == "Four classes"
    assert region[0].tracking_identifier == "strongest evidence for SD"
    for group in (*case, *region):
        values = {one.name.meaning: float(one.value) for one in group.get_measurements()}
        # None is certain: from 1 to 99 %.
        assert values == {
            f"Probability of {name}": value for name, value in zip(PROBABILITIES, (61, 38, 1, 1), strict=True)
        }
        (predicted,) = group.get_qualitative_evaluations()
        assert predicted.value.meaning == "PD"
    # The outline lies on the planted voxels, by the image that it names.
    roi = region[0].roi
    image = roi.ContentSequence[0].ReferencedSOPSequence[0]
    frame = image.get("ReferencedFrameNumber")
    (k,) = (
        number
        for number, one in enumerate(source.images)
        if (one.sop_uid, one.frame) == (image.ReferencedSOPInstanceUID, None if frame is None else int(frame))
    )
    assert k == 3
    points = np.array(roi.GraphicData, float).reshape(-1, 2) - 0.5
    world = source.volume.to_world(np.column_stack([points, np.full(len(points), k)]))
    planted = source.volume.to_world(np.argwhere(STRONGEST & (np.arange(SHAPE[2]) == 3)))
    np.testing.assert_allclose(world[:-1].mean(axis=0), planted.mean(axis=0), atol=0.1)
    texts = {str(item.value) for item in dcmread(path).iterall() if item.keyword == "TextValue"}
    assert {WARNING, "not calibrated", four_classes().notice, four_classes().training_data} <= texts
    assert read.SeriesDescription == "RESEARCH ONLY predicted class SYNTHETIC DATA"
    assert (read.ContentQualification, read.VerificationFlag) == ("RESEARCH", "UNVERIFIED")
    assert read.ManufacturerModelName == "Four classes"


def test_a_sheet_is_a_group_of_its_own_with_units(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr")
    path = save(report(source, labels(), sheet=SHEET), tmp_path / "report.dcm")
    _, group = hd.sr.srread(path).content.get_image_measurement_groups()
    assert group.tracking_identifier == "sheet"
    numbers = {one.name.meaning: (float(one.value), one.unit.value) for one in group.get_measurements()}
    assert numbers == {"lesion volume": (2.344, "mL"), "growth": (0.07, "mL/mo")}
    texts = {str(item.value) for item in dcmread(path).iterall() if item.keyword == "TextValue"}
    assert {
        "lesion volume: 2.3437 ml (as outlined)",
        "maximum dose in the lesion: 64.3 Gy(RBE)",
        "isodose class: in-field",
        "distance to the cavity: not computed (no cavity was found)",
    } <= texts
    assert "growth: 0.07 ml/month" not in texts
    assert "no network" in " ".join(texts)


def test_without_evidence_there_are_only_numbers(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr")
    read = hd.sr.srread(save(report(source, np.zeros(SHAPE, np.uint8)), tmp_path / "report.dcm"))
    assert len(read.content.get_image_measurement_groups()) == 1
    assert not read.content.get_planar_roi_measurement_groups()


def test_what_must_not_mix_or_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr")
    with pytest.raises(DataProblem, match="expected the MR's grid"):
        case_report(source, PROBABILITIES, "PD", "", np.zeros((2, 2, 2), np.uint8), "SD", [], four_classes())
    real = mr_source(tmp_path / "real", patient=REAL)
    with pytest.raises(DataProblem, match="not marked as synthetic"):
        case_report(real, PROBABILITIES, "PD", "", labels(), "SD", [], four_classes())


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_valid(kind: str, tmp_path: Path) -> None:
    source = mr_source(tmp_path / "mr", kind)
    path = save(report(source, labels(), sheet=SHEET), tmp_path / "report.dcm")
    assert new_errors(path, *sorted((tmp_path / "mr").iterdir())[:1]) == []
