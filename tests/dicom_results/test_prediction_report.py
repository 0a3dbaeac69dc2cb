"""The structured report: what highdicom and dcmtk read in it, that all it refers to exists, and that it is valid."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_checks import DCMQI, needs_dciodvfy, new_errors, run, save
from highdicom.seg import Segmentation
from highdicom.sr import ComprehensiveSR, MeasurementReport, srread
from matplotlib.path import Path as Polygon
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from result_cases import REAL, SHAPE, identity, mr_source, with_headers, write_mr
from treatment_response.dicom.results import codes as codes_of
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.results.codes import SCHEME
from treatment_response.dicom.results.parametric_map import cam_parametric_map
from treatment_response.dicom.results.report import prediction_report
from treatment_response.dicom.results.segmentation import lesions_segmentation
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem

KINDS = ["classic", "enhanced"]
FEW = "The lesion covers 5 CAM cells in its largest slice, fewer than 9."
LISTED = [{"roi": "PTV 1", "why": "a PTV around GTV 1"}]
REMARK = "The MR does not state a contrast agent."

needs_dsrdump = pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs dsrdump (Debian package dcmtk)")


def lesion(roi: str, p_response: float, largest: int, **changes: object) -> dict[str, Any]:
    """A lesion as the server answers it."""
    kind = "response" if p_response >= 0.5 else "non-response"
    return {
        "roi": roi,
        "source": "RTSTRUCT",
        "volume_mm3": 523.4,
        "p_response": p_response,
        "p_non_response": 1 - p_response,
        "class": kind,
        "threshold": 0.5,
        "warnings": [],
        "shown_class": kind,
        "highest_raw": 3.25,
        "largest_slice": largest,
        "scored_slices": [largest],
        "slices": [{"slice": 2, "cells": 3}, {"slice": 3, "cells": 5}, {"slice": 4, "cells": 12}],
        **changes,
    }


LESIONS = [lesion("GTV 1", 0.25, 3, warnings=[FEW, "Second."]), lesion("Läsion\\2", 0.875, 4, volume_mm3=81.0)]


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MrSource:
    return mr_source(tmp_path_factory.mktemp(request.param), request.param)


def masks() -> dict[str, np.ndarray]:
    """Outlines of the lesions and of another region; that of GTV 1 has a second, smaller part in its largest slice."""
    made = {name: np.zeros(SHAPE, dtype=bool) for name in ("other", "GTV 1", "Läsion\\2")}
    for number, mask in enumerate(made.values()):
        mask[4 * number : 4 * number + 3, 4:8, 2:5] = True
    made["GTV 1"][14, 15, 3] = True
    return made


def segmentation(source: MrSource) -> Segmentation:
    return lesions_segmentation(source, masks(), identity())


def others(source: MrSource) -> list[Dataset]:
    cam = np.zeros(SHAPE, dtype=np.float32)
    cam[4:8, 4:8, 2:5] = 0.5
    made = cam_parametric_map(source, cam, identity(), variant="pixelwise", target="non-response")
    return [made, boost_structure_set(source, {"GTV 1": cam > 0}, identity())]


@pytest.fixture(scope="module")
def objects(source: MrSource) -> dict[str, Any]:
    """The report and what it was made with."""
    seg, evidence = segmentation(source), others(source)
    made = prediction_report(
        source, LESIONS, masks(), seg, evidence, identity(), variant="pixelwise", listed=LISTED, remarks=[REMARK]
    )
    return {"source": source, "seg": seg, "evidence": evidence, "report": made}


@pytest.fixture
def read(objects: dict[str, Any], tmp_path: Path) -> ComprehensiveSR:
    """The report after a file."""
    return srread(save(objects["report"], tmp_path / "report.dcm"))


def texts(items: Any) -> list[tuple[str, str]]:
    return [(item.name.value, item.value) for item in items if item.ValueType == "TEXT"]


def test_each_lesion_has_its_numbers(read: ComprehensiveSR, objects: dict[str, Any]) -> None:
    assert isinstance(read.content, MeasurementReport)
    groups = read.content.get_volumetric_roi_measurement_groups()
    segments = {item.SegmentLabel: item for item in objects["seg"].SegmentSequence}
    assert [group.tracking_identifier for group in groups] == ["GTV 1", "Läsion\\2"]
    for group, told, label in zip(groups, LESIONS, ["GTV 1", "Läsion/2"], strict=True):
        values = {item.name.value: (item.value, item.unit.value) for item in group.get_measurements()}
        assert values == {
            codes.SCT.Volume.value: (told["volume_mm3"], "mm3"),
            "p-response": (round(100 * told["p_response"]), "%"),
            "p-non-response": (round(100 * told["p_non_response"]), "%"),
            "threshold": (50, "%"),
            f"cam-{told['shown_class']}": (3.25, "{logit}"),
            "cam-cells": (5 if told["largest_slice"] == 3 else 12, "{cells}"),
        }
        (evaluation,) = group.get_qualitative_evaluations(codes_of.PREDICTED_CLASS)
        assert evaluation.value == codes_of.CLASSES[told["class"]]
        assert group.finding_type == codes.SCT.Lesion
        # One tracking UID: the segment, and whatever follows the lesion over time, find each other by it.
        assert group.tracking_uid == segments[label].TrackingUID
        segment, series = group.referenced_segment
        assert segment.referenced_sop_instance_uid == objects["seg"].SOPInstanceUID
        assert segment.referenced_segment_numbers == [segments[label].SegmentNumber]
        assert series.value == objects["source"].series_uid


def test_a_probability_refers_to_the_slice_that_it_comes_from(read: ComprehensiveSR, source: MrSource) -> None:
    for group, told in zip(read.content.get_volumetric_roi_measurement_groups(), LESIONS, strict=True):
        image = source.images[told["largest_slice"]]
        for name in (codes_of.P_RESPONSE, codes_of.P_NON_RESPONSE, codes_of.CELLS):
            (measurement,) = group.get_measurements(name)
            (reference,) = measurement.referenced_images
            assert reference.referenced_sop_instance_uid == image.sop_uid
            assert reference.referenced_frame_numbers == (None if image.frame is None else [image.frame])


def test_a_probability_of_all_slices_refers_to_all_of_them(source: MrSource, tmp_path: Path) -> None:
    told = lesion("GTV 1", 0.25, 3, scored_slices=[2, 3, 4])
    made = prediction_report(source, [told], masks(), segmentation(source), [], identity(), variant="gradcam")
    (group,) = srread(save(made, tmp_path / "report.dcm")).content.get_volumetric_roi_measurement_groups()
    seen = {item.name.value: item.referenced_images for item in group.get_measurements()}
    named = [(one.referenced_sop_instance_uid, one.referenced_frame_numbers) for one in seen["p-response"]]
    images = [source.images[index] for index in (2, 3, 4)]
    assert named == [(image.sop_uid, None if image.frame is None else [image.frame]) for image in images]
    assert len(seen["cam-cells"]) == 1


def test_in_a_sagittal_series_no_single_image_is_named(tmp_path: Path) -> None:
    """The network's slices are axial: the index runs along another axis than the images, and beyond their number."""
    source = mr_source(tmp_path / "mr", direction="sagittal")
    beyond = SHAPE[1] - 2
    assert beyond >= len(source.images)
    told = lesion("GTV 1", 0.25, beyond, slices=[{"slice": 3, "cells": 1}, {"slice": beyond, "cells": 5}])
    made = prediction_report(source, [told], masks(), segmentation(source), [], identity(), variant="gradcam")
    read = srread(save(made, tmp_path / "report.dcm"))
    (group,) = read.content.get_volumetric_roi_measurement_groups()
    values = {item.name.value: item for item in group.get_measurements()}
    assert values["cam-cells"].value == 5
    assert not values["p-response"].referenced_images


def outlined(region: Any, source: MrSource) -> tuple[int, np.ndarray]:
    """The slice whose image a region refers to, and the pixels ``(I, J)`` that lie inside its line."""
    (image,) = region.ContentSequence
    reference = image.ReferencedSOPSequence[0]
    named = (reference.ReferencedSOPInstanceUID, reference.get("ReferencedFrameNumber"))
    (k,) = (k for k, one in enumerate(source.images) if (one.sop_uid, one.frame) == named)
    line = np.array(region.GraphicData).reshape(-1, 2)
    np.testing.assert_array_equal(line[0], line[-1])
    centres = np.indices(SHAPE[:2]).reshape(2, -1).T + 0.5  # column and row; 0 is the outer edge of the first pixel
    return k, Polygon(line).contains_points(centres).reshape(SHAPE[:2])


@pytest.mark.parametrize("direction", ["oblique", "sagittal"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_outline_lies_on_the_pixels_of_the_image_that_it_names(tmp_path: Path, kind: str, direction: str) -> None:
    """Without coordinates OHIF shows a black viewport."""
    source = mr_source(tmp_path / "mr", kind, direction)
    made = prediction_report(source, LESIONS, masks(), segmentation(source), [], identity(), variant="gradcam")
    read = srread(save(made, tmp_path / "report.dcm"))
    groups = read.content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["GTV 1", "Läsion\\2"]
    for group, told in zip(groups, LESIONS, strict=True):
        k, inside = outlined(group.roi, source)
        expected = masks()[told["roi"]][:, :, k]
        if told["roi"] == "GTV 1":
            expected = expected & (np.indices(SHAPE[:2])[0] < 10)  # the larger part
        assert inside.any()
        np.testing.assert_array_equal(inside, expected)
        if direction == "oblique":
            assert k == told["largest_slice"]
        (p_response,) = group.get_measurements(codes_of.P_RESPONSE)
        assert p_response.value == round(100 * told["p_response"])
        (evaluation,) = group.get_qualitative_evaluations(codes_of.PREDICTED_CLASS)
        assert evaluation.value == codes_of.CLASSES[told["class"]]


def test_what_is_known_of_the_probability_is_told_and_none_is_certain(source: MrSource, tmp_path: Path) -> None:
    certainty = {"calibrated": True, "level": 0.9, "set_text": "undecided"}
    told = lesion("GTV 1", 0.00001, 3, certainty=certainty)
    made = prediction_report(source, [told], masks(), segmentation(source), [], identity(), variant="gradcam")
    (group,) = srread(save(made, tmp_path / "report.dcm")).content.get_volumetric_roi_measurement_groups()
    values = {item.name.value: item.value for item in group.get_measurements()}
    assert (values["p-response"], values["p-non-response"]) == (1, 99)  # OHIF shows of "0 %" the unit alone
    assert ("certainty", "calibrated; set at 90 %: undecided") in texts(group[0].ContentSequence)


def test_safeguards_are_in_it(read: ComprehensiveSR) -> None:
    assert (read.VerificationFlag, read.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert read.SeriesDescription.startswith("RESEARCH ONLY")
    assert read.ContentQualification == "RESEARCH"
    (observer,) = read.content.get_observer_contexts()
    assert observer.observer_type == codes.DCM.Device
    assert observer.observer_identifying_attributes.name == identity().name
    assert texts(read.content[0].ContentSequence[-1].ContentSequence) == [
        ("notice", identity().notice),
        ("training-data", "demo (synthetic), 55 lesions of 31 patients"),
        ("not-predicted", "PTV 1: a PTV around GTV 1"),
        ("warning", REMARK),
    ]
    assert "not calibrated" in identity().notice
    first, second = read.content.get_volumetric_roi_measurement_groups()
    shared = [
        ("111001", identity().name),
        ("111003", identity().version),
        ("111002", identity().training_data),
        ("certainty", "not calibrated"),
        ("outline", "RTSTRUCT"),
    ]
    assert [pair for pair in texts(first[0].ContentSequence) if pair[0] != "112039"] == [
        *shared,
        ("warning", FEW),
        ("warning", "Second."),
    ]
    assert [pair for pair in texts(second[0].ContentSequence) if pair[0] != "112039"] == shared


def test_it_is_complete_only_if_all_regions_were_predicted(source: MrSource) -> None:
    seg = segmentation(source)
    whole = prediction_report(source, LESIONS, masks(), seg, [], identity(), variant="gradcam")
    part = prediction_report(source, LESIONS, masks(), seg, [], identity(), variant="gradcam", listed=LISTED)
    assert (whole.CompletionFlag, part.CompletionFlag) == ("COMPLETE", "PARTIAL")
    assert part.CompletionFlagDescription == "found and not predicted: 1 region"


def test_a_superseded_outline_is_missed_only_if_what_counts_is_missed_too(source: MrSource, tmp_path: Path) -> None:
    told = [{**LESIONS[0], "outline": "structure set of 2024-01-08, approved", "supersedes": ["GTV 1 #2"]}]
    seg = segmentation(source)
    made = {
        by: prediction_report(
            source,
            told,
            masks(),
            seg,
            [],
            identity(),
            variant="gradcam",
            listed=[{"roi": "GTV 1 #2", "why": "superseded", "superseded_by": [by]}],
        )
        for by in ("GTV 1", "GTV 9")
    }
    assert {by: one.CompletionFlag for by, one in made.items()} == {"GTV 1": "COMPLETE", "GTV 9": "PARTIAL"}
    read = srread(save(made["GTV 1"], tmp_path / "report.dcm"))
    (group,) = read.content.get_volumetric_roi_measurement_groups()
    origin = "RTSTRUCT: structure set of 2024-01-08, approved; supersedes GTV 1 #2"
    assert ("outline", origin) in texts(group[0].ContentSequence)


def test_all_that_it_refers_to_exists(read: ComprehensiveSR, objects: dict[str, Any], source: MrSource) -> None:
    written = [objects["seg"], *objects["evidence"]]
    known = {
        (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPClassUID, header.SOPInstanceUID)
        for header in (*source.headers, *written)
    }
    listed = {
        (study.StudyInstanceUID, series.SeriesInstanceUID, item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in read[keyword].value
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == known
    anywhere = {item.value for item in read.iterall() if item.keyword == "ReferencedSOPInstanceUID"}
    assert anywhere == {uid for *_, uid in known}
    assert {header.StudyInstanceUID for header in (read, *written)} == {source.study_uid}
    assert read.SOPInstanceUID not in anywhere


def test_codes_are_declared(read: ComprehensiveSR) -> None:
    schemes = {item.value for item in read.iterall() if item.keyword == "CodingSchemeDesignator"}
    (own,) = read.CodingSchemeIdentificationSequence
    assert own.CodingSchemeDesignator == SCHEME
    assert own.CodingSchemeResponsibleOrganization
    assert {name for name in schemes if name.startswith("99")} == {SCHEME}
    assert all(len(item.value) <= 16 for item in read.iterall() if item.keyword == "CodeValue")


def test_nobody_is_named_but_the_patient(source: MrSource, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    real = mr_source(tmp_path / "mr", patient=replace(REAL, name="Müller"))  # highdicom warns of names without a caret
    with pytest.raises(DataProblem, match="synthetic"):
        prediction_report(real, LESIONS, masks(), segmentation(source), [], identity(synthetic=True), variant="gradcam")
    seg = segmentation(source)  # of the same places; only its UIDs are used
    made = prediction_report(real, LESIONS, masks(), seg, [], identity(synthetic=False), variant="gradcam")
    read = srread(save(made, tmp_path / "report.dcm"))
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert read[keyword].value == real.headers[0][keyword].value
    assert {element.keyword for element in read.iterall() if element.VR == "PN" and element.value} == {"PatientName"}
    assert not any("ller" in str(warning.message) for warning in recwarn)


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "SYNTHETIC^Tarou=山田^太郎"},
        {"PatientSex": "X", "PatientBirthDate": None, "StudyTime": None, "AccessionNumber": None, "StudyID": None},
    ],
    ids=["japanese", "anonymised"],
)
def test_headers_of_the_real_world(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    write_mr(tmp_path / "mr", kind)
    source = with_headers(tmp_path / "odd", tmp_path / "mr", **changes)
    region = np.zeros(SHAPE, dtype=bool)
    region[4:8, 4:8, 2:5] = True
    made = (
        boost_structure_set(source, {"L1": region}, identity()),
        prediction_report(source, LESIONS, masks(), segmentation(source), [], identity(), variant="gradcam"),
    )
    for number, dataset in enumerate(made):
        path = save(dataset, tmp_path / f"{number}.dcm")
        assert dcmread(path).PatientName == source.headers[0].PatientName
        assert new_errors(path) == []


@needs_dciodvfy
def test_it_is_valid(objects: dict[str, Any], tmp_path: Path) -> None:
    written = save(objects["report"], tmp_path / "report.dcm")
    assert new_errors(written) == []
    assert "not present in standard" not in run("dciodvfy", "-new", written).stderr


@needs_dsrdump
def test_dcmtk_reads_it(objects: dict[str, Any], tmp_path: Path) -> None:
    done = run("dsrdump", "--print-long-values", save(objects["report"], tmp_path / "report.dcm"))
    assert done.returncode == 0
    complaints = [line for line in done.stderr.splitlines() if line and "VR checker does not support" not in line]
    assert complaints == []  # dcmtk cannot check lengths in UTF-8, and says so
    for told in (FEW, REMARK, identity().notice, '"Probability of response")="25.0"', "Läsion\\2", "UNVERIFIED"):
        assert told in done.stdout


def test_dcmqi_reads_it(objects: dict[str, Any], tmp_path: Path) -> None:
    written, out = save(objects["report"], tmp_path / "report.dcm"), tmp_path / "report.json"
    done = run(DCMQI / "tid1500reader", "--inputDICOM", written, "--outputMetadata", out)
    assert done.returncode == 0, done.stdout + done.stderr
    groups = json.loads(out.read_text(encoding="utf-8"))["Measurements"]
    groups = [group for group in groups if "ReferencedSegment" in group]  # it knows no outlines in an image
    assert [group["TrackingIdentifier"] for group in groups] == ["GTV 1", "Läsion\\2"]
    for number, (group, told) in enumerate(zip(groups, LESIONS, strict=True), start=2):  # segment 1 is another region
        assert group["ReferencedSegment"] == number
        assert group["SourceSeriesForImageSegmentation"] == objects["source"].series_uid
        values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        assert values[codes.SCT.Volume.value] == told["volume_mm3"]
        assert values["p-response"] == round(100 * told["p_response"])
        assert group["measurementAlgorithmIdentification"]["AlgorithmVersion"] == identity().version


def test_what_cannot_be_reported_is_refused(source: MrSource) -> None:
    seg = segmentation(source)
    with pytest.raises(DataProblem, match="no predicted lesion"):
        prediction_report(source, [], masks(), seg, [], identity(), variant="gradcam")
    with pytest.raises(DataProblem, match="no segment 'GTV 9'"):
        prediction_report(source, [lesion("GTV 9", 0.5, 3)], masks(), seg, [], identity(), variant="gradcam")


def test_the_input_is_left_as_it_was(source: MrSource) -> None:
    header, told = copy.deepcopy(source.headers[0]), copy.deepcopy(LESIONS)
    prediction_report(source, LESIONS, masks(), segmentation(source), [], identity(), variant="gradcam")
    assert (source.headers[0], LESIONS) == (header, told)
