"""The synthetic LUMIERE: the mix of ratings, where tumours land in millimetres, the dirt, what can be known at best."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.adapters.lumiere import RANO, WORDS, AtlasImages, read_lumiere
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.pair_pipeline import PairCohort, PairSettings, prepare_pairs
from treatment_response.cohort.synthetic.rano.ceilings import ceilings
from treatment_response.cohort.synthetic.rano.course import CLASSES, ratings, simulate_courses
from treatment_response.cohort.synthetic.rano.dirt import Dirt
from treatment_response.cohort.synthetic.rano.write import RanoCohort, _write_tables, simulate_rano, write_rano
from treatment_response.problems import DataProblem

SEGMENTED = "DeepBraTumIA-segmentation"
ATLAS = f"{SEGMENTED}/atlas/segmentation/seg_mask.nii.gz"
SCAN = f"{SEGMENTED}/native/segmentation/ct1_seg_mask.nii.gz"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[RanoCohort, Path]:
    """Three patients in voxels of 5 mm, without dirt."""
    root = tmp_path_factory.mktemp("rano")
    cohort = RanoCohort(tuple(simulate_courses(3, seed=4)), Dirt(), 5.0, 4)
    write_rano(cohort, root, ceiling_patients=20)
    return cohort, root


def centre_of_core(path: Path) -> tuple[np.ndarray, float]:
    """RAS mm of the middle of all cores in a segmentation, and their volume in mm³."""
    mask = nibabel.load(path)
    core = np.argwhere(np.isin(np.asarray(mask.dataobj), (1, 2)))
    volume = len(core) * abs(np.linalg.det(mask.affine[:3, :3]))
    return (core @ mask.affine[:3, :3].T + mask.affine[:3, 3]).mean(axis=0), volume


def test_tumours_lie_where_the_truth_says_on_the_atlas_and_in_the_scan(written: tuple[RanoCohort, Path]) -> None:
    _, root = written
    truth = pd.read_csv(root / "truth/truth.csv")
    seen = 0
    for row in truth[truth["foci"] == 1].to_dict("records"):
        folder = root / "LUMIERE/Imaging" / row["patient"] / row["study"]
        for space, path in (("atlas", ATLAS), ("scan", SCAN)):
            centre, volume = centre_of_core(folder / path)
            planted = np.array([row[f"first_focus_{space}_{axis}_mm"] for axis in "xyz"])
            if row["core_mm3"] > 8000:
                assert np.linalg.norm(centre - planted) < 1.5
                assert volume == pytest.approx(row["core_mm3"], rel=0.15)
                seen += 1
    assert seen >= 4
    first = root / "LUMIERE/Imaging/Patient-001/week-000-1"
    ct1, thick = (nibabel.load(first / f"{name}.nii.gz") for name in ("CT1", "T2"))
    assert (ct1.header.get_zooms(), thick.header.get_zooms()) == ((5, 5, 5), (5, 5, 20))
    assert abs(ct1.affine[2, 1]) > 0.5  # oblique


def test_the_rim_is_bright_after_contrast_and_oedema_on_flair(written: tuple[RanoCohort, Path]) -> None:
    folder = written[1] / "LUMIERE/Imaging/Patient-001/week-000-1"
    labels = np.asarray(nibabel.load(folder / ATLAS).dataobj)
    skull_strip = folder / SEGMENTED / "atlas/skull_strip"
    images = {
        name: nibabel.load(skull_strip / f"{name}_skull_strip.nii.gz").get_fdata() for name in ("t1", "ct1", "flair")
    }
    brain = {name: np.median(image[(image > 0) & (labels == 0)]) for name, image in images.items()}
    assert np.median(images["ct1"][labels == 1]) > 1.5 * brain["ct1"]
    assert np.median(images["t1"][labels == 1]) < 1.1 * brain["t1"]
    assert np.median(images["flair"][labels == 3]) > 1.4 * brain["flair"]
    assert np.median(images["ct1"][labels == 2]) < brain["ct1"]


def test_the_adapter_takes_it_as_lumiere(written: tuple[RanoCohort, Path], tmp_path: Path) -> None:
    cohort, root = written
    folder = read_lumiere(root / "LUMIERE")
    assert folder.synthetic
    taken = PairCohort(folder.patients, folder.left_out, "LUMIERE", RANO, WORDS, folder.problems, folder.synthetic)
    prepare_pairs(taken, AtlasImages(), tmp_path / "data", PairSettings(("T1", "CT1", "T2", "FLAIR"), 2))
    assert check_dataset(tmp_path / "data") == []
    table = pd.read_csv(tmp_path / "data/cases.csv")
    rated = [
        (f"sub-{patient.index + 1:03d}", study.name, study.rating)
        for patient in cohort.patients
        for study in patient.studies
        if study.rating in CLASSES and not study.early
    ]
    assert list(table[["subject", "case", "rating"]].itertuples(index=False, name=None)) == rated
    assert table["synthetic"].all()


def test_ratings_are_mixed_as_lumieres_and_follow_baseline_and_nadir() -> None:
    patients = simulate_courses(800, seed=1)
    given = Counter(study.rating for patient in patients for study in patient.studies)
    shares = [given[name] / sum(given[one] for one in CLASSES) for name in CLASSES]
    np.testing.assert_allclose(shares, [0.64, 0.24, 0.05, 0.07], atol=0.03)
    assert sum(len(patient.studies) for patient in patients) / 800 * 91 == pytest.approx(625, abs=30)
    studies = patients[0].studies
    assert ratings(studies)[1] == "baseline"
    followed = [study for patient in patients for study in patient.studies if study.true_rating]
    errors = [study.rating != study.true_rating for study in followed]
    assert np.mean(errors) == pytest.approx(0.05, abs=0.015)
    again = simulate_courses(2, seed=1)
    assert again == patients[:2]


def test_the_dirt_is_found_by_the_adapter(tmp_path: Path) -> None:
    cohort = simulate_rano(40, seed=2)
    _write_tables(cohort, tmp_path)
    for patient in cohort.patients:
        for study in patient.studies:
            if (patient.name, study.name) not in cohort.dirt.no_images:
                (tmp_path / "Imaging" / patient.name / study.name).mkdir(parents=True)
    folder = read_lumiere(tmp_path)
    text = "\n".join(map(str, folder.problems))
    assert [folder.key[subject] for subject in folder.left_out] == [cohort.dirt.misdated]
    assert "2 time point(s) stand in several rows that say the same" in text
    assert "1 time point(s) have two different ratings" in text
    assert "the completeness table lists" in text  # there are no files in this test
    ((patient, study),) = cohort.dirt.a_week_off
    notes = next(one.notes for one in folder.patients if folder.key[one.subject] == patient)
    assert [at.name for at in notes] == [study]
    kinds = {kind for _, _, kind in cohort.dirt.listed()}
    assert kinds >= {"sequence missing", "no rating", "not a timepoint", "enhancing rim segmented as necrosis"}


def test_two_studies_tell_less_than_the_history() -> None:
    table = ceilings(300)
    known = [table[name]["balanced_accuracy"] for name in ("majority", "pair", "history", "criteria")]
    assert known == sorted(known)
    assert known[0] == 0.25
    assert known[1] < known[3] - 0.1


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataProblem, match=r"--spacing: is 0.2 mm, expected 1 to 10"):
        simulate_rano(3, spacing_mm=0.2)
