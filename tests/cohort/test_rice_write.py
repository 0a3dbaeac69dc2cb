"""RICE-NET's synthetic cohort as DICOM: what was planted is found again in millimetres by other readers."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from scipy.ndimage import map_coordinates
from treatment_response.cohort.synthetic.rice.head import template_head
from treatment_response.cohort.synthetic.rice.placement import (
    DOSE_TOLERANCE,
    Planted,
    planned_relative_dose,
    plant,
)
from treatment_response.cohort.synthetic.rice.render import render_visit
from treatment_response.cohort.synthetic.rice.scanners import SCANNERS
from treatment_response.cohort.synthetic.rice.simulate import RiceCohort, RicePatient, simulate_rice
from treatment_response.cohort.synthetic.rice.truth import poses
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.studies_over_time import timelines
from treatment_response.dicom.write_rice_cohort import write_rice_patient
from treatment_response.geometry import Volume, flip_lps_ras, moved_points
from treatment_response.geometry.itk import from_itk

COHORT = simulate_rice(seed=0, spacing_mm=2.5)
# Oblique slices of 4 mm, two plans with their sum; sagittal slices, beams; a course after the event.
CHOSEN = {"oblique": 19, "sagittal": 10, "later-course": 13}


@dataclass(frozen=True)
class Written:
    """One patient: what was planted, the folder of the DICOM, and the row of the truth."""

    cohort: RiceCohort
    patient: RicePatient
    planted: Planted
    folder: Path
    row: dict[str, object]

    def objects(self, modality: str) -> Iterator[Path]:
        """Files of the first instances of all series of a modality."""
        for path in sorted(self.folder.glob("dicom/*/*/*/IM*")):
            if dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).Modality == modality:
                yield path

    def image(self, visit: str) -> Volume:
        """A visit's series as SimpleITK reads it."""
        wanted = self.day(visit)
        for path in self.objects("MR"):
            header = dcmread(path, stop_before_pixels=True)
            if header.StudyDate == wanted and "ContrastBolusAgent" in header:
                files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path.parent))
                return from_itk(sitk.ReadImage(files))
        raise AssertionError(f"no series of {wanted}")

    def day(self, visit: str) -> str:
        """Study Date of a visit."""
        first = date(2020, 1, 6).toordinal() + 13 * self.patient.index
        return date.fromordinal(first + self.patient.visits[visit].day).strftime("%Y%m%d")


@pytest.fixture(scope="module")
def all_written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    found = {}
    for name, index in CHOSEN.items():
        patient = COHORT.patients[index]
        folder = tmp_path_factory.mktemp(name)
        (folder / "truth" / "lesion").mkdir(parents=True)
        row = write_rice_patient(replace(COHORT, patients=(patient,)), folder)
        found[name] = Written(COHORT, patient, plant(patient, COHORT.seed), folder, row)
    return found


@pytest.fixture(params=["oblique", "sagittal"])
def written(all_written: dict[str, Written], request: pytest.FixtureRequest) -> Written:
    return all_written[request.param]


def centre_of(row: dict[str, object], region: str) -> np.ndarray:
    return np.array([float(row[f"{region}_{axis}_mm"]) for axis in "xyz"])  # type: ignore[arg-type]


def centroid(weights: np.ndarray, affine: np.ndarray) -> np.ndarray:
    index = np.argwhere(weights > 0)
    return np.average(moved_points(affine, index), axis=0, weights=weights[weights > 0])


def lesion_points(written: Written) -> tuple[np.ndarray, np.ndarray]:
    """Voxel centres of the planted lesion in the event's RAS mm, and their shares, as nibabel reads the truth."""
    image = nib.load(written.folder / "truth" / "lesion" / f"{written.patient.patient_id}.nii.gz")
    share = image.get_fdata()
    return moved_points(image.affine, np.argwhere(share > 0)), share[share > 0]


def test_the_lesion_lies_where_the_truth_says(written: Written) -> None:
    image = written.image("event")
    event = written.patient.visits["event"]
    visits = written.patient.visits | {"event": replace(event, lesion=0.0)}
    without = render_visit(COHORT, replace(written.patient, visits=visits), written.planted, "event")
    np.testing.assert_allclose(from_scanner_order(image, without).affine, without.affine, atol=1e-3)
    scanner, _ = SCANNERS[written.patient.facts.site]
    brighter = from_scanner_order(image, without).array - without.array.astype(float)
    brighter = np.clip(brighter / scanner.white_matter - 0.15, 0, None)
    points, share = lesion_points(written)
    true_centre = np.average(points, axis=0, weights=share)
    assert np.linalg.norm(centroid(brighter, without.affine) - true_centre) < 1.5
    assert np.linalg.norm(true_centre - centre_of(written.row, "lesion")) < 0.3 * written.patient.lesion_radius_mm


def test_the_head_lies_where_its_pose_and_bending_say(written: Written) -> None:
    image, session = written.image("event"), written.patient.visits["event"].session
    points = np.random.default_rng(0).uniform([-55, -80, -15], [55, 45, 60], (3000, 3))
    points = points[written.planted.lesion.region.outside(points) > 10]
    points = points[written.planted.cavity.outside(points) > 5]
    seen = map_coordinates(image.array.astype(float), image.to_index(session.to_world(points)).T, order=1)
    expected = written.patient.head.sample(template_head().enhanced, points)
    assert np.corrcoef(seen, expected)[0, 1] > 0.85


def from_scanner_order(image: Volume, wanted: Volume) -> Volume:
    """SimpleITK sorts slices its own way along the third axis."""
    if image.affine[:3, 2] @ wanted.affine[:3, 2] > 0:
        return image
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = image.array.shape[2] - 1
    return Volume(image.array[:, :, ::-1], image.affine @ flip)


def test_the_truth_s_lesion_has_its_volume(written: Written) -> None:
    image = nib.load(written.folder / "truth" / "lesion" / f"{written.patient.patient_id}.nii.gz")
    volume = image.get_fdata().sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert volume == pytest.approx(float(written.row["lesion_volume_ml"]), rel=0.03)  # type: ignore[arg-type]


def test_the_cavity_is_drawn_on_dark_voxels_where_the_truth_says(written: Written) -> None:
    planning = written.image(written.patient.planning_visit)
    (drawn,) = (s for s in map(dcmread, written.objects("RTSTRUCT")) if "PTV" in str(s.StructureSetROISequence))
    numbers = {roi.ROIName: roi.ROINumber for roi in drawn.StructureSetROISequence}
    contours = next(c for c in drawn.ROIContourSequence if c.ReferencedROINumber == numbers["Cavity"])
    points = np.concatenate([np.reshape(c.ContourData, (-1, 3)).astype(float) for c in contours.ContourSequence])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    to_event = poses(written.patient)
    first, last = to_event[written.patient.planning_visit], to_event["post-operative"]
    expected = moved_points(np.linalg.inv(first) @ np.array(last), centre_of(written.row, "cavity")[None])[0]
    assert np.linalg.norm(flip_lps_ras(middle) - expected) < 0.25 * written.patient.cavity_radius_mm
    inside = expected + 0.5 * written.patient.cavity_radius_mm * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    scanner, _ = SCANNERS[written.patient.facts.site]
    values = map_coordinates(planning.array.astype(float), planning.to_index(inside).T, order=1)
    assert values.max() < 0.6 * scanner.white_matter


def test_the_dose_of_all_plans_gives_the_lesion_its_dose(written: Written) -> None:
    points, share = lesion_points(written)
    to_event = np.array(poses(written.patient)[written.patient.planning_visit])
    at_planning = moved_points(np.linalg.inv(to_event), points)
    total = np.zeros(len(points))
    for path in written.objects("RTDOSE"):
        header = dcmread(path, stop_before_pixels=True)
        if header.DoseSummationType == "MULTI_PLAN":
            continue
        dose = from_itk(sitk.ReadImage(str(path)))
        gray = dose.array.astype(float) * float(header.DoseGridScaling)
        total += map_coordinates(gray, dose.to_index(at_planning).T, order=1)
    expected = float(written.row["lesion_mean_dose_gy"])  # type: ignore[arg-type]
    assert np.average(total, weights=share) == pytest.approx(expected, abs=0.5)


def test_the_sum_of_two_plans_is_exported_beside_them(all_written: dict[str, Written]) -> None:
    doses = [dcmread(path) for path in all_written["oblique"].objects("RTDOSE")]
    by_kind = {kind: [d for d in doses if d.DoseSummationType == kind] for kind in ("PLAN", "MULTI_PLAN")}
    (whole,) = by_kind["MULTI_PLAN"]
    assert {i.ReferencedSOPInstanceUID for i in whole.ReferencedRTPlanSequence} == {
        d.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID for d in by_kind["PLAN"]
    }
    parts = sum(d.pixel_array * float(d.DoseGridScaling) for d in by_kind["PLAN"])
    np.testing.assert_allclose(whole.pixel_array * float(whole.DoseGridScaling), parts, atol=0.01)


def test_the_lesion_gets_the_dose_and_the_ventricles_that_the_evidence_says() -> None:
    for patient in COHORT.patients[:6]:
        planted = plant(patient, COHORT.seed)
        dose = planted.treatment.relative(planted.lesion.region.points(12)).mean()
        assert dose == pytest.approx(planned_relative_dose(patient.evidence.numbers[0, 0]), abs=1.5 * DOSE_TOLERANCE)
        distance = planted.ventricle_distance_mm()
        assert distance <= 5 if patient.evidence.beside_ventricle[0] else distance >= 10


def test_the_reader_finds_the_courses_and_leaves_out_the_one_after_the_event(all_written: dict[str, Written]) -> None:
    for name, before, after in (("oblique", 2, 0), ("sagittal", 1, 0), ("later-course", 1, 1)):
        written = all_written[name]
        index = scan_folder(written.folder / "dicom")
        assert not index.problems
        (timeline,) = timelines(index).values()
        assert not timeline.problems
        courses, unclear = timeline.courses_before(date.fromisoformat(written.day("event")))
        assert (len(courses), len(timeline.courses) - len(courses), unclear) == (before, after, ())
        assert sum(course.prescription_gy or 0 for course in courses) == written.row["prescription_gy"]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
def test_an_independent_checker_finds_no_errors(all_written: dict[str, Written]) -> None:
    for written in all_written.values():
        paths = [
            next(written.objects("MR")),
            *(p for kind in ("RTSTRUCT", "RTPLAN", "RTDOSE") for p in written.objects(kind)),
        ]
        for path in paths:
            text = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False).stderr
            errors = [line for line in text.splitlines() if line.startswith("Error") or "Abort" in line]
            assert not errors, f"{path.parent.parent.name}/{path.parent.name}: {errors[:5]}"


def test_the_command_writes_a_whole_cohort(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(repository / "scripts" / "make_cohort.py"))["main"]
    out = tmp_path / "cohort"
    command = ["--system", "rice", "--patients", "2", "--mixed", "1", "--spacing", "4", "--out", str(out)]
    assert main(command) == 0
    assert "1 recurrence, 1 radiation effect, 1 mixed" in capsys.readouterr().out
    with (out / "clinical.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["label"] for row in rows) == ["mixed", "radiation effect", "recurrence"]
    for row in rows:
        assert row["operation_date"] < row["event_date"] < row["label_date"]
    assert json.loads((out / "cohort.json").read_text())["synthetic"] is True
    assert json.loads((out / "truth" / "ceilings.json").read_text())["all"]["closed_form"] == pytest.approx(0.85)
    assert {entry.patient_id for entry in scan_folder(out / "dicom").series} == {row["patient_id"] for row in rows}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--niche", "texture", "--system", "rice"], "--niche: belongs to the cohort of pulsar, not of rice"),
        (["--spacing", "2"], "--spacing: belongs to the cohort of rice, not of pulsar"),
    ],
    ids=["of-pulsar", "of-rice"],
)
def test_options_of_the_other_system_are_refused(
    options: list[str], message: str, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(repository / "scripts" / "make_cohort.py"))["main"]
    assert main(["--out", str(tmp_path / "cohort"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cohort").exists()
