"""From DICOM studies with structure sets to measured response, and to a report whose lines lie on the lesion."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import highdicom as hd
import numpy as np
import pandas as pd
import pytest
from dicom_checks import needs_dciodvfy, new_errors
from pydicom import dcmread
from result_cases import SYNTHETIC
from scipy.spatial.transform import Rotation
from treatment_response.criteria.measurements import MeasuredStudy
from treatment_response.dicom.response_studies import find_dicom_patients
from treatment_response.dicom.results.response_report import response_report
from treatment_response.dicom.source import read_mr_source
from treatment_response.dicom.write import StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume, outline_mask
from treatment_response.problems import DataProblem

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_response.py"
SHAPE, SPACING = (48, 44, 14), np.array([0.9, 0.8, 2.0])
CENTRE = np.array([7.0, -11.0, 33.0])
SEMI = np.array([11.0, 6.0, 8.0])
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [12, -8, 20], degrees=True).as_matrix() @ np.diag([-1, -1, 1]) * SPACING
AFFINE[:3, 3] = CENTRE - AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2)


def ellipsoid(scale: float) -> np.ndarray:
    """Semi-axes along the grid's own axes, around the middle of the grid."""
    place = (np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2) * SPACING
    return np.sum((place / (SEMI * scale)) ** 2, axis=-1) <= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("response")
    for number, (date, scale) in enumerate((("20200131", 1.0), ("20200430", 0.6)), start=1):
        study = StudyIds(derived_uid("response study", str(number)), date, "SYNTHETIC MR head")
        tumour = ellipsoid(scale)
        image = Volume((100 + 300 * tumour).astype(np.int16), AFFINE)
        frame, series = derived_uid("response frame"), derived_uid("response series", str(number))
        place = root / str(number)
        written = write_series(image, place, patient=SYNTHETIC, study=study, series_uid=series, frame_uid=frame)
        contours = [points for _, points in outline_mask(tumour, AFFINE)]
        write_structure_set(
            {"GTV 1": contours}, root / f"rs{number}.dcm", patient=SYNTHETIC, study=study, referenced=written
        )
    return root


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("measured")
    spec = importlib.util.spec_from_file_location("measure_response_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    clinical = out / "clinical.csv"
    clinical.write_text("subject,day,steroids_mg,state\nSYN-007,2020-01-31,0,stable\nSYN-007,2020-04-30,0,stable\n")
    command = ["--dicom", str(folder), "--out", str(out), "--criteria", "rano-bm", "--clinical", str(clinical)]
    assert script.main([*command, "--no-pages", "--workers", "1"]) == 0
    return out


def test_the_tables_hold_days_and_no_dates_or_ids(out: Path) -> None:
    response = pd.read_csv(out / "response.csv")
    assert response["subject"].tolist() == ["sub-001", "sub-001"]
    assert response["day"].tolist() == [0, 90]
    assert response["category"].tolist() == ["baseline", "PR"]
    assert response["kind"].iloc[1] == "RANO-BM"
    measured = pd.read_csv(out / "measurements.csv")
    np.testing.assert_allclose(measured["longest_mm"], [22, 13.2], atol=0.9)
    np.testing.assert_allclose(measured["perpendicular_mm"], [12, 7.2], atol=0.9)
    for table in out.glob("*_*.csv"):
        assert "SYN-007" not in table.read_text()


def test_the_lines_lie_on_the_lesion_in_millimetres(folder: Path, out: Path) -> None:
    tracking = set()
    for number, scale in ((1, 1.0), (2, 0.6)):
        report = hd.sr.srread(out / "dicom" / "sub-001" / f"study_{number}.dcm")
        source = read_mr_source(folder / str(number))
        (group,) = report.content.get_image_measurement_groups()
        tracking.add(group.tracking_uid)
        assert group.tracking_identifier == "lesion 1"
        lengths = {}
        for measurement in group.get_measurements():
            (line,) = measurement[0].ContentSequence
            (image,) = line.ContentSequence
            k = [one.sop_uid for one in source.images].index(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            pixels = np.array(line.GraphicData, dtype=float).reshape(2, 2) - 0.5  # 0 is the first pixel's edge
            ends = source.volume.to_world(np.column_stack([pixels, [k, k]]))
            lengths[measurement.name.meaning] = (float(measurement.value), ends)
        for name, axis, other in (("Long axis", 0, 1), ("Short axis", 1, 0)):
            value, ends = lengths[name]
            assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(value, abs=0.01)
            along = (ends - CENTRE) @ (AFFINE[:3, :3] / SPACING)
            np.testing.assert_allclose(sorted(along[:, axis]), [-SEMI[axis] * scale, SEMI[axis] * scale], atol=0.9)
            np.testing.assert_allclose(along[:, other], 0, atol=1.7)
            np.testing.assert_allclose(along[:, 2], 0, atol=1.1)
    assert len(tracking) == 1  # one lesion, in both studies


def test_it_says_what_it_is_and_which_rule_fired(out: Path) -> None:
    report = dcmread(out / "dicom" / "sub-001" / "study_2.dcm")
    assert report.SeriesDescription.startswith("RESEARCH ONLY")
    assert (report.ContentQualification, report.VerificationFlag) == ("RESEARCH", "UNVERIFIED")
    text = " ".join(str(element.value) for element in report.iterall() if element.keyword == "TextValue")
    assert "RANO-BM, with steroids and clinical state: PR; the sum of longest diameters" in text
    assert "of plausible contours" in text


@needs_dciodvfy
def test_the_report_is_valid(folder: Path, out: Path) -> None:
    images = sorted((folder / "1").iterdir())
    assert new_errors(out / "dicom" / "sub-001" / "study_1.dcm", images[0]) == []


def test_a_study_without_outlines_is_told(folder: Path, tmp_path: Path) -> None:
    only = tmp_path / "only"
    shutil.copytree(folder, only)
    (only / "rs2.dcm").unlink()
    patients, problems = find_dicom_patients(only)
    assert len(patients[0].series) == 1
    assert str(problems[0]) == "sub-001: one study has no outlines and is not measured; draw them, or go on."


def test_rois_that_touch_are_lesions_of_their_own(tmp_path: Path) -> None:
    tumour, side = ellipsoid(1.0), np.arange(SHAPE[0])[:, None, None] < SHAPE[0] // 2
    halves = {"GTV 1": tumour & side, "GTV 2": tumour & ~side}
    study = StudyIds(derived_uid("touching study"), "20200131", "SYNTHETIC MR head")
    place = {"study": study, "series_uid": derived_uid("touching"), "frame_uid": derived_uid("touching frame")}
    written = write_series(Volume(tumour.astype(np.int16), AFFINE), tmp_path / "mr", patient=SYNTHETIC, **place)
    contours = {name: [points for _, points in outline_mask(half, AFFINE)] for name, half in halves.items()}
    write_structure_set(contours, tmp_path / "rs.dcm", patient=SYNTHETIC, study=study, referenced=written)
    ((patient,), _) = find_dicom_patients(tmp_path)
    (segmented,) = patient.studies.read()
    assert segmented.outlined is not None
    assert [int(mask.sum()) for mask in segmented.outlined] == [int(half.sum()) for half in halves.values()]


def test_nothing_to_draw_is_said(folder: Path) -> None:
    with pytest.raises(DataProblem, match="no lesion was measured"):
        response_report(read_mr_source(folder / "1"), MeasuredStudy("a", 0, {}), [], "x")
