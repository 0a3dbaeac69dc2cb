"""LUMIERE's layout with each piece of its known dirt: what becomes a pair, what is left out and told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from lumiere_layout import SHAPE, affine, labels, save, write_completeness, write_mask, write_study, write_tables
from treatment_response.cases.atlas_images import ScannedImages
from treatment_response.cohort.adapters.lumiere import RANO, WORDS, AtlasImages, read_lumiere
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.pair_pipeline import PairCohort, PairSettings, prepare_pairs
from treatment_response.cohort.paired_patient import StudyReader
from treatment_response.cohort.prepare_command import Summary
from treatment_response.problems import DataProblem

FOUR = ("T1", "CT1", "T2", "FLAIR")
USUAL = [("Patient-001", "week-000-1", "Pre-Op"), ("Patient-001", "week-000-2", "Post-Op")]
"""An operation, whose second study is the first that pairs may use."""


def prepared(
    root: Path, out: Path, folds: int = 1, dry_run: bool = False, reader: StudyReader | None = None
) -> Summary:
    folder = read_lumiere(root)
    cohort = PairCohort(
        folder.patients, folder.left_out, "LUMIERE", RANO, WORDS, folder.problems, synthetic=folder.synthetic
    )
    return prepare_pairs(cohort, reader or AtlasImages(), out, PairSettings(FOUR, folds), dry_run=dry_run)


def one_patient(root: Path, rated: Sequence[tuple[str, ...]], masks: dict[str, np.ndarray] | None = None) -> None:
    """A patient with the usual operation, and a study for each rated week (named by its week alone)."""
    rows = [*USUAL, *(("Patient-001", *row) for row in rated)]
    write_tables(root, rows)
    for week in dict.fromkeys(row[1] for row in rows):
        write_study(root, "Patient-001", week, (masks or {}).get(week))


def cases(out: Path) -> list[str]:
    return [entry["case"] for entry in json.loads((out / "dataset.json").read_text())["training"]]


def test_a_pair_is_the_study_and_the_one_before_with_all_sequences(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    masks = {"week-000-2": labels(10, 1, 2), "week-012": labels(2, 3, 4), "week-020": labels(5, 1, 9)}
    one_patient(root, [("week-012", "PR"), ("week-016", "SD"), ("week-020", "PD")], masks)
    (root / "Imaging/Patient-001/week-016/DeepBraTumIA-segmentation/atlas/skull_strip/t2_skull_strip.nii.gz").unlink()
    clinical = {"Patient": "Patient-001", "Sex": "female", "Age at surgery (years)": "57"}
    clinical |= {"IDH (WT: wild type)": "R132H mut", "MGMT qualitative": "not methylated"}
    write_tables(
        root,
        [
            *USUAL,
            *[("Patient-001", w, r) for w, r in (("week-012", "PR"), ("week-016", "SD"))],
            ("Patient-001", "week-020", "PD", "Target L.: 13mm x 26mm"),
        ],
        [clinical],
    )
    summary = prepared(root, out)
    content = json.loads((out / "dataset.json").read_text())
    assert content["classes"] == {
        "names": ["PD", "SD", "PR", "CR"],
        "finding": "PD",
        "primary_metric": "balanced_accuracy",
        "order": ["CR", "PR", "SD", "PD"],
    }
    first, second = content["training"]
    assert (first["case"], first["label"], second["case"], second["label"]) == ("week-012", 2, "week-020", 0)
    assert set(second["images"]) == {*FOUR, *(f"{name}_earlier" for name in FOUR), "compartments"}
    assert second["images"]["FLAIR_earlier"] == first["images"]["FLAIR"]  # week 16 has no T2
    assert "it has no T2" in summary.text
    assert check_dataset(out) == []
    row = pd.read_csv(out / "cases.csv").iloc[1]
    assert list(row.index[:5]) == ["subject", "case", "fold", "label", "fold_timepoint"]
    known = row[["weeks", "weeks_earlier", "weeks_since_baseline", "weeks_since_operation", "operations_before"]]
    assert known.tolist() == [20, 12, 20, 20, 1]
    assert row[["age", "sex", "idh", "mgmt"]].tolist() == [57, "female", "mutant", "unmethylated"]
    assert (row["rating"], row["rationale"]) == ("PD", "Target L.: 13mm x 26mm")
    volumes = row[[f"enhancing_mm3{name}" for name in ("", "_earlier", "_baseline", "_nadir", "_nadir_no_reset")]]
    assert volumes.tolist() == [
        15,
        6,
        30,
        6,
        6,
    ]  # voxels of 3 mm³; week 12 is the nadir
    assert row[["necrosis_mm3_nadir", "oedema_mm3"]].tolist() == [9, 27]
    shrunk = pd.read_csv(out / "cases.csv").iloc[0]  # a study is never its own nadir
    assert shrunk[["enhancing_mm3", "enhancing_mm3_nadir", "enhancing_mm3_nadir_no_reset"]].tolist() == [6, 30, 30]
    assert len(pd.read_csv(out / "studies.csv")) == 5
    assert not list(tmp_path.rglob(".*"))  # nothing unfinished, no lock


def test_images_and_masks_lie_where_they_lay(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    mask = np.zeros(SHAPE, np.uint8)
    mask[7, 8, 5], mask[6, 8, 5] = 1, 3
    one_patient(root, [("week-012", "PD")], {"week-012": mask})
    write_study(root, "Patient-001", "week-000-2", brightness=2.0)
    prepared(root, out)
    entry = json.loads((out / "dataset.json").read_text())["training"][0]
    for name, value in (("T1", 101), ("FLAIR", 104), ("CT1_earlier", 202)):
        image = nibabel.load(out / entry["images"][name])
        brightest = np.unravel_index(np.argmax(image.get_fdata()), SHAPE)
        assert image.get_fdata().max() == value
        np.testing.assert_allclose((image.affine @ [*brightest, 1])[:3], (affine() @ [2, 3, 4, 1])[:3], atol=1e-3)
    compartments, whole = nibabel.load(out / entry["images"]["compartments"]), nibabel.load(out / entry["mask"])
    at = np.argwhere(compartments.get_fdata() == 1)[0]
    np.testing.assert_allclose((compartments.affine @ [*at, 1])[:3], (affine() @ [7, 8, 5, 1])[:3], atol=1e-3)
    assert np.argwhere(whole.get_fdata() == 1).tolist() == [[6, 8, 5], [7, 8, 5]]


LEFT_OUT = {
    "no rating": ([("week-012", "SD"), ("week-020", "")], "it has no rating"),
    "None is no rating": ([("week-012", "SD"), ("week-020", "None")], "it has no rating"),
    "unknown rating": ([("week-012", "SD"), ("week-020", "MR")], "its rating is unknown, expected PD, SD, PR, CR"),
    "trailing space": ([("week-012", "SD"), ("week-020", "Post-Op ")], "it is rated Post-Op, which is no response"),
    "Post-Op/PD": ([("week-012", "SD"), ("week-020", "Post-Op/PD")], "it is rated Post-Op/PD, which is no response"),
    "two ratings": ([("week-012", "SD"), ("week-020", "SD"), ("week-020", "PD")], "it has two different ratings"),
    "too early": ([("week-012", "SD"), ("week-020", "PD", "", "x")], "less than three months after radiotherapy"),
    "rationale": (
        [("week-012", "SD"), ("week-020", "PD", "Less than 3 months p. RT")],
        "its rationale says 'less than",
    ),
    "no timepoint": (
        [("week-012", "SD"), ("week-020", "PD", "Not a timepoint for RANO measurement")],
        "its rationale says 'not a timepoint",
    ),
}


@pytest.mark.parametrize(("rated", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_study_without_a_rating_that_counts_is_left_out(
    rated: list[tuple[str, ...]], reason: str, tmp_path: Path
) -> None:
    one_patient(tmp_path / "LUMIERE", rated)
    summary = prepared(tmp_path / "LUMIERE", tmp_path / "data")
    assert cases(tmp_path / "data") == ["week-012"]
    assert reason in summary.text


def test_a_row_that_stands_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    one_patient(tmp_path / "LUMIERE", [("week-020", "PD"), ("week-012", "SD"), ("week-012", "SD")])
    summary = prepared(tmp_path / "LUMIERE", tmp_path / "data")
    assert cases(tmp_path / "data") == ["week-012", "week-020"]
    assert "1 time point(s) stand in several rows that say the same" in summary.text
    assert "1 patient(s) have rows out of the order of weeks" in summary.text


def test_no_pair_crosses_an_operation(tmp_path: Path) -> None:
    root = tmp_path / "LUMIERE"
    rated = [
        ("week-012", "SD"),
        ("week-020", "PD"),
        ("week-030", "Post-Op"),
        ("week-042", "SD"),
        ("week-050", "Pre-Op"),
    ]
    one_patient(root, [*rated, ("week-060", "PD"), ("week-070", "SD")])
    for study in ("week-030", "week-000-2"):  # its images are missing, so the study before is another tumour's
        shutil.rmtree(root / "Imaging/Patient-001" / study / "DeepBraTumIA-segmentation/atlas/skull_strip")
    summary = prepared(root, tmp_path / "data")
    assert cases(tmp_path / "data") == ["week-020", "week-070"]
    for week, earlier in (("week-012", "week-000-1"), ("week-042", "week-020"), ("week-060", "week-050")):
        assert f"{week}     an operation lies between it and the earlier study, {earlier}" in summary.text
    rows = pd.read_csv(tmp_path / "data/cases.csv")
    assert rows["operations_before"].tolist() == [1, 3]
    assert rows["weeks_since_baseline"].tolist() == [20, 10]  # the last operation is the new start


def test_an_operation_dated_a_week_off_finds_its_study(tmp_path: Path) -> None:
    root = tmp_path / "LUMIERE"
    one_patient(root, [("week-012", "SD"), ("week-042", "PD")])
    write_study(root, "Patient-001", "week-030")  # no row of the table names it
    write_tables(
        root,
        [*USUAL, *(("Patient-001", *row) for row in (("week-012", "SD"), ("week-031", "Post-Op"), ("week-042", "PD")))],
    )
    summary = prepared(root, tmp_path / "data")
    assert cases(tmp_path / "data") == ["week-012", "week-042"]
    assert "week-030: the rating table dates its state after an operation week-031" in summary.text
    assert pd.read_csv(tmp_path / "data/cases.csv")["weeks_earlier"].tolist() == [0, 30]
    shutil.rmtree(root / "Imaging/Patient-001/week-030")  # without it the operation may lie anywhere around
    write_study(root, "Patient-001", "week-032")
    write_study(root, "Patient-001", "week-030-1")
    summary = prepared(root, tmp_path / "data")
    assert "an operation lies between it and the earlier study, week-032" in summary.text


def test_a_patient_whose_ratings_count_from_another_day_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "LUMIERE"
    one_patient(root, [("week-012", "SD")])
    rows = [("Patient-002", week, "PD") for week in ("week-014", "week-022", "week-031")]
    write_tables(root, [*USUAL, ("Patient-001", "week-012", "SD"), *rows])
    for week in ("week-000", "week-010", "week-018", "week-027"):
        write_study(root, "Patient-002", week)
    summary = prepared(root, tmp_path / "data")
    assert cases(tmp_path / "data") == ["week-012"]
    assert "sub-002 (patient)    3 of its 3 ratings name weeks without images" in summary.text


def test_numbers_of_a_segmentation_are_put_in_order_by_its_volumes(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    one_patient(root, [("week-012", "PD")])
    folder = root / "Imaging/Patient-001/week-012"
    write_mask(folder, labels(9, 20, 5), swapped=True)
    summary = prepared(root, out)
    assert "week-012: its segmentation numbers enhancing tumour 2 and necrosis 1" in summary.text
    assert pd.read_csv(out / "cases.csv")[["enhancing_mm3", "necrosis_mm3"]].values.tolist() == [[60, 27]]
    entry = json.loads((out / "dataset.json").read_text())["training"][0]
    assert (nibabel.load(out / entry["images"]["compartments"]).get_fdata() == 1).sum() == 20


def test_a_segmentation_that_cannot_be_used_costs_only_itself(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    weeks = {f"week-{week:03d}": "SD" for week in (12, 16, 20, 24, 28)}
    one_patient(root, list(weeks.items()))
    atlas = "DeepBraTumIA-segmentation/atlas/segmentation"
    folders = [root / "Imaging/Patient-001" / week for week in weeks]
    shifted = affine()
    shifted[2, 3] += 1
    save(folders[0] / atlas / "seg_mask.nii.gz", labels(4, 2, 6) * 60)  # values that are no compartments
    save(folders[1] / atlas / "seg_mask.nii.gz", labels(1, 1, 1))  # another one than its volumes
    save(folders[2] / atlas / "seg_mask.nii.gz", labels(4, 2, 6), shifted)  # another grid
    write_mask(folders[3], labels(0))
    (folders[4] / atlas / "measured_volumes_in_mm3.json").unlink()
    summary = prepared(root, out)
    assert cases(out) == list(weeks)
    masked = ["mask" in entry for entry in json.loads((out / "dataset.json").read_text())["training"]]
    assert masked == [False, False, False, False, True]
    for sentence in (
        "week-012: taken without its segmentation: sub-001 week-012 segmentation: holds the values 60, 120, 180",
        "week-016: taken without its segmentation: sub-001 week-016 segmentation: its numbers 1, 2, 3 have 3, 3, 3 mm³",
        "week-020: taken without its segmentation: it lies on another grid than its images",
        "week-024: its segmentation is empty",
        "week-028: its segmentation has no volumes file",
    ):
        assert sentence in summary.text
    assert check_dataset(out) == []


def test_a_download_that_was_cut_off_is_told_and_the_study_before_takes_its_place(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    one_patient(root, [("week-012", "SD"), ("week-020", "PD"), ("week-030", "PD")])
    write_completeness(root, [("Patient-001", "week-030", FOUR), ("Patient-001", "week-012", ("T1", "CT1"))])
    (root / "Imaging/Patient-001/week-030/T2.nii.gz").unlink()
    image = root / "Imaging/Patient-001/week-020/DeepBraTumIA-segmentation/atlas/skull_strip/t1_skull_strip.nii.gz"
    image.write_bytes(image.read_bytes()[:1000])
    summary = prepared(root, out)
    assert (
        "sub-001 week-030: the completeness table lists T2, and the file is not there; download it again"
        in summary.text
    )
    assert "sub-001 week-020 T1: the file cannot be read as NIfTI (damaged or cut off" in summary.text
    assert pd.read_csv(out / "cases.csv")[["weeks", "weeks_earlier"]].values.tolist() == [[12, 0], [30, 12]]


def test_folds_are_by_patient_and_the_authors_are_kept_beside_them(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    rows = []
    for number in range(1, 5):
        patient = f"Patient-{number:03d}"
        for week, rating in (("week-000", "Post-Op"), ("week-012", "SD"), ("week-020", "PD"), ("week-030", "PD")):
            rows.append((patient, week, rating))
            write_study(root, patient, week)
    write_tables(root, rows)
    prepared(root, out, folds=2)
    table = pd.read_csv(out / "cases.csv")
    assert (table.groupby("subject")["fold"].nunique() == 1).all()
    assert table["fold"].nunique() == 2
    assert (table.groupby("subject")["fold_timepoint"].nunique() > 1).any()
    assert table.groupby(["fold_timepoint", "label"]).size().tolist() == [4, 2, 4, 2]  # PD, SD in each
    listed = json.loads((out / "dataset.json").read_text())["training"]
    assert [entry["fold_timepoint"] for entry in listed] == table["fold_timepoint"].tolist()
    assert check_dataset(out) == []


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    one_patient(tmp_path / "LUMIERE", [("week-012", "SD"), ("week-020", "PD")])
    text = prepared(tmp_path / "LUMIERE", tmp_path / "data", dry_run=True).text
    assert [path.name for path in tmp_path.iterdir()] == ["LUMIERE"]
    assert prepared(tmp_path / "LUMIERE", tmp_path / "data").text == text


def test_what_was_stopped_goes_on_and_what_changed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    rows = [(f"Patient-00{n}", week, "SD") for n in (1, 2, 3) for week in ("week-000", "week-012")]
    write_tables(root, rows)
    for patient, week, _ in rows:
        write_study(root, patient, week)
    read: list[str] = []
    genuine = AtlasImages.read

    def counted(self, folder, sequences, labels, where):
        if where == "sub-003 week-000" and len(read) < 5:
            raise KeyboardInterrupt
        read.append(where)
        return genuine(self, folder, sequences, labels, where)

    monkeypatch.setattr(AtlasImages, "read", counted)
    with pytest.raises(KeyboardInterrupt):
        prepared(root, out)
    assert not out.exists()
    write_study(root, "Patient-002", "week-012", brightness=3.0)
    read[:] = ["a stop only once"] * 5
    prepared(root, out)
    assert read[5:] == ["sub-002 week-000", "sub-002 week-012", "sub-003 week-000", "sub-003 week-012"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "LUMIERE"] == ["data"]
    assert check_dataset(out) == []


def test_a_place_that_cannot_be_written_is_told_and_what_is_done_is_kept(tmp_path: Path) -> None:
    root, out = tmp_path / "LUMIERE", tmp_path / "data"
    write_tables(root, [(f"Patient-00{n}", week, "SD") for n in (1, 2) for week in ("week-000", "week-012")])
    for number in (1, 2):
        for week in ("week-000", "week-012"):
            write_study(root, f"Patient-00{number}", week)
    unfinished = tmp_path / ".data.unfinished"
    unfinished.mkdir()
    (unfinished / "sub-002").touch()  # a file where a folder must be
    with pytest.raises(DataProblem, match=r"--out: cannot be written \(.*; .* goes on where it stopped"):
        prepared(root, out)
    assert (unfinished / ".finished/sub-001.json").is_file()
    assert not out.exists()
    (unfinished / "sub-002").unlink()
    assert prepared(root, out).taken == 2


def test_scans_of_a_pacs_and_a_table_of_three_columns_are_enough(tmp_path: Path) -> None:
    """As docs/tutorials/rano.md has a reader lay out an export: no atlas images, no segmentation, one table."""
    for week in ("week-000", "week-012", "week-020"):
        for name in FOUR:
            save(
                tmp_path / "mine/Imaging/Patient-001" / week / f"{name}.nii.gz",
                np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE),
            )
    rows = ["Patient,Date,Rating", "Patient-001,week-000,Post-Op", "Patient-001,week-012,PR", "Patient-001,week-020,SD"]
    (tmp_path / "mine/LUMIERE-ExpertRating.csv").write_text("\n".join(rows))
    summary = prepared(tmp_path / "mine", tmp_path / "out", dry_run=True, reader=ScannedImages(read_only=True))
    assert "2 pairs of 1 patients taken: 0 PD, 1 SD, 1 PR, 0 CR" in summary.text


def test_input_that_gives_no_pair_is_refused_with_the_reasons(tmp_path: Path) -> None:
    root = tmp_path / "LUMIERE"
    one_patient(root, [])
    with pytest.raises(DataProblem, match="1 studies: it is rated Post-Op"):
        prepared(root, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["LUMIERE"]
    (root / "LUMIERE-ExpertRating-v202211.csv").unlink()
    with pytest.raises(DataProblem, match="rating table: cannot be read: there is no such file"):
        read_lumiere(root)
