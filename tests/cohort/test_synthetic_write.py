"""The written cohort, read back by the ingest's own readers."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from treatment_response.cohort.synthetic.anatomy import anatomy_from_image
from treatment_response.cohort.synthetic.render import render_session
from treatment_response.cohort.synthetic.simulate import SyntheticCohort, simulate_cohort
from treatment_response.dicom.anatomy import read_anatomy
from treatment_response.dicom.dose import read_dose
from treatment_response.dicom.ingest.clinical import read_clinical
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.dicom.structures import read_structure_set
from treatment_response.dicom.write_cohort import write_cohort
from treatment_response.geometry import planimetric_volume
from treatment_response.problems import DataProblem

COHORT = simulate_cohort(3, 5, seed=31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "cohort"
    write_cohort(COHORT, out, processes=1)
    return out


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_session_has_a_series_and_a_structure_set_and_mri_1_a_dose(folder: Path) -> None:
    index = scan_folder(folder / "dicom")
    assert (len(index.series), len(index.structure_sets), len(index.doses)) == (9, 9, 3)
    assert {entry.contrast for entry in index.series} == {True, None}  # without contrast, the headers say nothing
    assert not index.problems


def test_written_images_and_contours_come_back_where_they_were(folder: Path) -> None:
    index = scan_folder(folder / "dicom")
    patient = next(patient for patient in COHORT.patients if patient.scanner == "B")
    entries = sorted((e for e in index.series if e.patient_id == patient.patient_id), key=lambda e: e.date)
    for number, entry in enumerate(entries):
        rendered = render_session(COHORT, patient, number, with_dose=True)
        image = read_series(entry)
        np.testing.assert_allclose(image.affine, rendered.image.affine, atol=1e-4)
        assert np.abs(image.array.astype(float) - rendered.image.array).max() <= 0.5
        (drawn,) = (e for e in index.structure_sets if entry.series_uid in e.referenced_series_uids)
        for roi in read_structure_set(drawn).rois:
            expected = planimetric_volume(rendered.contours[roi.name])
            assert planimetric_volume(roi.contours) == pytest.approx(expected, rel=1e-3)
            np.testing.assert_allclose(
                roi.contours[0].mean(axis=0), rendered.contours[roi.name][0].mean(axis=0), atol=1e-3
            )
        if rendered.dose is not None:
            (dose_entry,) = (e for e in index.doses if e.frame_uid == entry.frame_uid)
            dose = read_dose(dose_entry)
            assert dose.volume.array.max() == pytest.approx(rendered.dose.array.max(), rel=1e-3)


def test_truth_names_every_lesion_and_its_niche_lies_on_the_mr(folder: Path) -> None:
    rows = read_csv(folder / "truth" / "truth.csv")
    lesions = {(p.patient_id, lesion.roi_name): lesion for p in COHORT.patients for lesion in p.lesions}
    assert {(row["patient_id"], row["roi_name"]) for row in rows} == set(lesions)
    for row in rows:
        lesion = lesions[row["patient_id"], row["roi_name"]]
        assert float(row["p_label"]) == pytest.approx(lesion.p_response, abs=1e-5)
        assert int(row["label"]) == lesion.label
        patient = next(p for p in COHORT.patients if p.patient_id == row["patient_id"])
        for name, number in (("mri1", 0), ("mri2", 1)):
            niche = nib.load(folder / "truth" / "niche" / f"{row['patient_id']}_{row['lesion']}_{name}.nii.gz")
            values = niche.get_fdata()
            middle = (np.array(np.nonzero(values)).T @ niche.affine[:3, :3].T + niche.affine[:3, 3]).mean(axis=0)
            centre = patient.sessions[number].to_world(lesion.centre[None])[0]
            assert np.linalg.norm(middle - centre) < lesion.radius_mm * lesion.growth(number)


def test_clinical_table_gives_each_roi_its_prescription(folder: Path) -> None:
    rows = read_csv(folder / "clinical.csv")
    assert len(rows) == 5
    assert {float(row["prescription_gy"]) for row in rows} <= {15.0, 16.5, 18.0}


def test_clinical_table_names_the_lesion_that_is_gone(folder: Path) -> None:
    vanished = {lesion.roi_name for patient in COHORT.patients for lesion in patient.lesions if lesion.vanished}
    rows = read_csv(folder / "clinical.csv")
    assert {row["roi_name"] for row in rows if row["follow_up"] == "resolved"} == vanished != set()
    assert {row["follow_up"] for row in rows} == {"", "resolved"}
    facts, problems = read_clinical(folder / "clinical.csv")
    assert problems == []
    assert sum(len(patient.follow_up) for patient in facts.values()) == 1


def test_names_say_that_it_is_synthetic(folder: Path) -> None:
    assert json.loads((folder / "cohort.json").read_text())["synthetic"] is True
    assert all("SYNTHETIC" in entry.description for entry in scan_folder(folder / "dicom").series)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataProblem, match="is not a synthetic cohort"):
        write_cohort(COHORT, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_head_that_is_not_there_is_told_and_nothing_is_written(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(repository / "scripts" / "make_cohort.py"))["main"]
    assert main(["--out", str(tmp_path / "cohort"), "--anatomy", str(tmp_path / "nowhere")]) == 2
    assert "no MR series was found in it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lesions_are_planted_into_a_real_oblique_head(shared_data: Path) -> None:
    image = read_anatomy(shared_data / "real_mr_dicom")
    cohort: SyntheticCohort = simulate_cohort(2, 3, seed=4, anatomy=anatomy_from_image(image))
    patient = cohort.patients[0]
    rendered = render_session(cohort, patient, 0)
    np.testing.assert_allclose(rendered.image.affine[:3, :3], image.affine[:3, :3])
    assert rendered.image.array.shape == image.array.shape
    lesion = patient.lesions[0]
    drawn = np.concatenate(rendered.contours[lesion.roi_name])
    np.testing.assert_allclose(
        drawn.mean(axis=0), patient.sessions[0].to_world(lesion.centre[None])[0], atol=0.25 * lesion.radius_mm
    )
    i, j, k = np.rint(rendered.image.to_index(drawn)).astype(int).T
    edge = rendered.image.array[i, j, k].mean()
    assert edge > 1.1 * np.median(rendered.image.array[rendered.image.array > 100])  # the bright rim
