"""From a CSV of NIfTI files to a prepared data set: right numbers, every fault told, the rest prepared."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.dataset import load_datalist
from treatment_response.cohort.lesion import Absent
from treatment_response.cohort.manifest import read_manifest
from treatment_response.cohort.pipeline import prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
from treatment_response.cohort.prepare_command import Summary
from treatment_response.problems import DataProblem

# Oblique and anisotropic, so that a lost or swapped axis shows.
TURN = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN @ np.diag([0.8, 0.9, 1.5])
AFFINE[:3, 3] = (-10.0, 5.0, 20.0)
SHAPE = (40, 36, 20)
VOXEL = 0.8 * 0.9 * 1.5


def box(size: int, corner: tuple[int, int, int] = (10, 12, 6)) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[corner[0] : corner[0] + size, corner[1] : corner[1] + 4, corner[2] : corner[2] + 4] = 1
    return mask


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    image.header["descrip"] = b"DOE^JANE"
    nibabel.save(image, path)


class Bench:
    """A small cohort of four patients, one lesion each: two shrink, two grow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, object]] = []
        rng = np.random.default_rng(0)
        for patient, final in enumerate((5, 12, 4, 11)):
            for session, day, size in (("ses-01", 100, 10), ("ses-02", 121, 9), ("ses-03", 190, final)):
                name = f"Mustermann{patient}"
                save(folder / name / f"{session}.nii.gz", rng.integers(0, 900, SHAPE).astype(np.int16))
                self.add(name, "GTV frontal", session, day, box(size))

    def add(self, name: str, lesion: str, session: str, day: object, mask: np.ndarray | None, **more: object) -> None:
        path = f"{name}/{session}_{lesion}.nii.gz" if mask is not None else ""
        if mask is not None:
            save(self.folder / path, mask)
        row = {"subject": name, "lesion": lesion, "session": session, "image": f"{name}/{session}.nii.gz", "mask": path}
        self.rows.append({**row, "day": day, **more})

    def prepare(self, out: Path, **settings: object) -> Summary:
        manifest = self.folder / "manifest.csv"
        pd.DataFrame(self.rows).to_csv(manifest, index=False)
        chosen = PrepareSettings(**{"folds": 2, **settings})  # type: ignore[arg-type]
        return prepare_cohort(read_manifest(manifest), out, chosen, workers=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "in")


def test_volumes_labels_and_places(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "data"
    summary = bench.prepare(out)
    assert summary.left_out == 0
    assert check_dataset(out) == []
    table = pd.read_csv(out / "lesions.csv")
    assert table["subject"].tolist() == ["sub-001", "sub-002", "sub-003", "sub-004"]
    np.testing.assert_allclose(table["volume_ses-01_mm3"], 160 * VOXEL, rtol=1e-5)
    np.testing.assert_allclose(table["volume_ses-03_mm3"], np.array([5, 12, 4, 11]) * 16 * VOXEL, rtol=1e-5)
    np.testing.assert_allclose(table["volume_change"], [-0.5, 0.2, -0.6, 0.1], atol=1e-5)
    assert table["label"].tolist() == [1, 0, 1, 0]
    assert table["days_ses-02"].tolist() == [21] * 4
    assert table["days_ses-03"].tolist() == [90] * 4
    sample = load_datalist(out)[0]
    image, mask = nibabel.load(sample["image"]), nibabel.load(sample["mask"])
    np.testing.assert_allclose(mask.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), box(10))
    original = nibabel.load(bench.folder / "Mustermann0/ses-01.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(original.dataobj))
    assert "counted mask voxels" in summary.text


def test_nothing_personal_is_written(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "data"
    bench.rows[0]["mask"] = "gone.nii.gz"
    bench.prepare(out, folds=1)
    for path in out.rglob("*"):
        assert "Muster" not in str(path.relative_to(out))
        assert "frontal" not in str(path.relative_to(out))
        if path.suffix in {".json", ".csv", ".txt"}:
            assert not any(word in path.read_text() for word in ("Muster", "frontal", "DOE", str(tmp_path)))
        elif path.is_file():
            assert b"DOE" not in bytes(nibabel.load(path).header.binaryblock)


def test_datalist_by_session_and_fold(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "data"
    bench.prepare(out)
    assert len(load_datalist(out)) == 4
    assert len(load_datalist(out, sessions=("ses-01", "ses-02"))) == 8
    held_out, rest = load_datalist(out, folds=[0]), load_datalist(out, exclude_folds=[0])
    assert len(held_out) + len(rest) == 4
    assert {s["subject"] for s in held_out}.isdisjoint(s["subject"] for s in rest)
    with pytest.raises(DataProblem, match="no sample is left"):
        load_datalist(out, folds=[7])


@pytest.mark.parametrize(("absent", "label"), [(Absent.RESOLVED, 1), (Absent.EXCLUDE, None)])
def test_a_lesion_that_is_gone(bench: Bench, tmp_path: Path, absent: Absent, label: int | None) -> None:
    bench.rows[5]["mask"] = ""  # the second patient's follow-up: looked for, not found
    summary = bench.prepare(tmp_path / "data", absent=absent, folds=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv").set_index("subject")
    if label is None:
        assert "sub-002" not in table.index
        assert "ROI is gone at follow-up" in summary.text
    else:
        assert table.loc["sub-002", ["label", "volume_change", "p_response"]].tolist() == [1, -1, 1]
        assert table.loc["sub-002", "status_ses-03"] == "resolved"


def _drop(bench: Bench, index: int) -> None:
    del bench.rows[index]


def _other_grid(bench: Bench) -> None:
    shifted = AFFINE.copy()
    shifted[0, 3] += 1.0
    save(bench.folder / str(bench.rows[0]["mask"]), box(10), shifted)


def _nan(bench: Bench) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[3, 3, 3] = np.nan
    save(bench.folder / str(bench.rows[0]["image"]), image)


FAULTS = {
    "missing-mask": (lambda b: b.rows[0].update(mask="nowhere.nii.gz"), "the file is missing"),
    "missing-image": (lambda b: b.rows[0].update(image="nowhere.nii.gz"), "the file is missing"),
    "not-nifti": (
        lambda b: (b.folder / str(b.rows[0]["mask"])).write_bytes(b"no image"),
        "the file cannot be read as NIfTI",
    ),
    "empty-mask": (lambda b: save(b.folder / str(b.rows[0]["mask"]), box(0)), "holds no lesion voxel"),
    "other-grid": (_other_grid, "lies on another grid than its image"),
    "nan": (_nan, "holds NaN"),
    "several-labels": (
        lambda b: save(b.folder / str(b.rows[0]["mask"]), box(10) + box(4)),
        r"holds several labels \(1, 2\)",
    ),
    "negative": (lambda b: save(b.folder / str(b.rows[0]["mask"]), -box(10).astype(np.int16)), "holds negative values"),
    "negative-follow-up": (
        lambda b: save(b.folder / str(b.rows[2]["mask"]), -box(5).astype(np.int16)),
        r"its mask in ses-03: holds negative values \(down to -1\)",
    ),
    "fractions": (
        lambda b: save(b.folder / str(b.rows[0]["mask"]), box(10) * np.float32(0.4) + box(4) * np.float32(0.5)),
        r"holds fractions \(0\.4, 0\.9\)",
    ),
    "image-as-mask": (lambda b: b.rows[0].update(mask=b.rows[0]["image"]), "it looks like an image"),
    "inverted": (lambda b: save(b.folder / str(b.rows[2]["mask"]), 1 - box(5)), r"looks inverted: it fills 100% of"),
    "empty-follow-up-mask": (
        lambda b: save(b.folder / str(b.rows[2]["mask"]), box(0)),
        "ses-03.*holds no lesion voxel; leave the mask's cell empty if the lesion was looked for and is gone",
    ),
    "constant-image": (lambda b: save(b.folder / str(b.rows[0]["image"]), box(0)), "all of the image has one value"),
    "one-mask-for-two-sessions": (lambda b: b.rows[2].update(mask=b.rows[0]["mask"]), "also that of another row"),
    "one-image-for-two-sessions": (lambda b: b.rows[2].update(image=b.rows[0]["image"]), "its image is that of ses-01"),
    "resected": (lambda b: b.rows[2].update(follow_up="Resected", mask=""), "resected at follow-up"),
    "not-imaged": (lambda b: b.rows[2].update(follow_up="not imaged", mask=""), "not imaged at follow-up"),
    "present-undrawn": (
        lambda b: b.rows[2].update(follow_up="present", mask=""),
        "follow_up says present, and its mask at follow-up is missing",
    ),
    "resolved-and-drawn": (
        lambda b: b.rows[2].update(follow_up="resolved"),
        "says resolved, and its mask .* not empty",
    ),
    "unknown-fate": (lambda b: b.rows[2].update(follow_up="better"), "row 4: follow_up holds a text that is not known"),
    "twice": (lambda b: b.rows.append(dict(b.rows[0])), "listed twice"),
    "two-days": (lambda b: b.rows.append({**b.rows[0], "lesion": "x", "day": 99}), "different images or days"),
    "no-follow-up": (lambda b: _drop(b, 2), "no row for ses-03|no follow-up session"),
    "follow-up-too-late": (lambda b: b.rows[2].update(day=400), "it is on day 300"),
    "bad-session": (lambda b: b.rows[2].update(session="ses-3"), "the session is none of"),
    "bad-day": (lambda b: b.rows[2].update(day="soon"), "day is no date in a known form"),
    "ambiguous-day": (lambda b: b.rows[2].update(day="1/10/2024"), "row 4: day is ambiguous.*'1/10/2024'"),
    "days-and-dates": (lambda b: b.rows[2].update(day="31.12.2024"), "dates in some rows and whole numbers in others"),
    "bad-follow-up-mask": (
        lambda b: b.rows[2].update(mask="nowhere.nii.gz"),
        "its mask in ses-03: the file is missing",
    ),
    "high-gradient-index": (lambda b: b.rows[0].update(gradient_index=4.5), "Gradient Index 4.50 above 4"),
    "bad-prescription": (lambda b: b.rows[0].update(prescription_gy="-18"), "prescription_gy is -18 instead of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_its_lesion_only_and_is_told(bench: Bench, tmp_path: Path, fault: str) -> None:
    import re

    spoil, text = FAULTS[fault]
    spoil(bench)
    summary = bench.prepare(tmp_path / "data", folds=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert table["subject"].tolist() == ["sub-002", "sub-003", "sub-004"]
    assert summary.left_out >= 1
    report = json.loads((tmp_path / "data" / "ingest_report.json").read_text())
    told = json.dumps([report["left_out"], report["patients"], report["input_problems"]], ensure_ascii=False)
    assert re.search(text, told), told
    assert any(item["subject"] == "sub-001" for item in report["left_out"])
    assert check_dataset(tmp_path / "data") == []


HEAD = np.full(SHAPE, 10.0)
HEAD[6:34, 5:31, 3:17] = 400


@pytest.mark.parametrize("air", ["noise", "zero"])
@pytest.mark.parametrize("shift", [0, 20])
def test_a_mask_in_air_was_moved(bench: Bench, tmp_path: Path, air: str, shift: int) -> None:
    image = np.where(HEAD == 10, 0, HEAD) if air == "zero" else HEAD + np.random.default_rng(0).normal(0, 4, SHAPE)
    for row in bench.rows[:3]:
        save(bench.folder / str(row["image"]), (image + int(str(row["day"])) / 1e4 * (HEAD > 10)).astype(np.float32))
    save(bench.folder / str(bench.rows[2]["mask"]), box(5, (10 + shift, 12, 6)))
    assert "lies outside" not in bench.prepare(tmp_path / "data", folds=1).text
    save(bench.folder / str(bench.rows[2]["mask"]), box(5, (35, 12, 6)))
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert "its mask in ses-03: lies outside the head: 100% of its voxels are as dark as air" in summary.text
    assert summary.taken == 3
    save(bench.folder / str(bench.rows[2]["mask"]), box(5, (31, 12, 6)))
    text = bench.prepare(tmp_path / "data", folds=1).text
    assert "L01: its mask in ses-03: 40% of its voxels are as dark as air" in text


def test_one_positive_value_is_a_mask_and_told(bench: Bench, tmp_path: Path) -> None:
    save(bench.folder / str(bench.rows[0]["mask"]), box(10) * np.uint8(255))
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert "its mask in ses-01 holds 0 and 255; 255 is read as lesion" in summary.text
    assert pd.read_csv(tmp_path / "data" / "lesions.csv")["volume_ses-01_mm3"][0] == pytest.approx(160 * VOXEL)


@pytest.mark.parametrize("mask", [None, box(0)], ids=["no-mask", "empty-mask"])
@pytest.mark.parametrize("row", [True, False])
def test_a_lesion_that_is_said_to_be_resolved(bench: Bench, tmp_path: Path, mask: np.ndarray | None, row: bool) -> None:
    bench.add("Mustermann1", "small", "ses-01", 100, box(6, (24, 12, 6)), follow_up="resolved")
    if row:
        bench.add("Mustermann1", "small", "ses-03", 190, mask)
    summary = bench.prepare(tmp_path / "data", folds=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert summary.left_out == 0
    assert table[table["status_ses-03"] == "resolved"][["subject", "label"]].values.tolist() == [["sub-002", 1]]


def test_dates_in_known_forms_are_days(bench: Bench, tmp_path: Path) -> None:
    for row, day in zip(bench.rows[:3], ("2024-01-08", "29.01.2024", "7 Apr 2024"), strict=True):
        row["day"] = day
    bench.prepare(tmp_path / "data", folds=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert table[["days_ses-02", "days_ses-03"]].values.tolist() == [[21, 90]] * 4


def test_an_mri_2_that_is_not_between_is_told_and_not_used(bench: Bench, tmp_path: Path) -> None:
    bench.rows[1]["day"] = 99
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert "sub-001 ses-02: its day does not lie between those of ses-01 and ses-03" in summary.text
    assert pd.read_csv(tmp_path / "data" / "lesions.csv")["volume_ses-02_mm3"].isna().tolist() == [True] + [False] * 3


def test_a_subject_whose_rows_are_all_wrong_is_left_out_by_name(bench: Bench, tmp_path: Path) -> None:
    for row in bench.rows[:3]:
        row["day"] = ""
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert "sub-001 L01       manifest row 2: day is empty" in summary.text
    assert pd.read_csv(tmp_path / "data" / "lesions.csv")["subject"].tolist() == ["sub-002", "sub-003", "sub-004"]


def test_an_image_of_two_subjects_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.rows[3]["image"] = bench.rows[0]["image"]
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert "one image is listed for several subjects" in summary.text
    assert summary.taken == 2


def test_subjects_that_differ_by_capitals_are_told(bench: Bench, tmp_path: Path) -> None:
    bench.rows[0]["subject"] = "MUSTERMANN0"
    text = bench.prepare(tmp_path / "data", folds=1).text
    assert "2 subjects differ only by capitals or spaces" in text


def test_a_faulty_dose_costs_no_lesion(bench: Bench, tmp_path: Path) -> None:
    save(bench.folder / "dose.nii.gz", -box(3).astype(np.float32))
    bench.rows[0]["dose"] = "dose.nii.gz"
    bench.rows[3]["dose"] = "none.nii.gz"
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert summary.taken == 4
    assert "dose: holds negative values" in summary.text
    assert "dose (manifest row 5): the file is missing" in summary.text


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_manifest_as_excel_saves_it(bench: Bench, tmp_path: Path, separator: str) -> None:
    bench.prepare(tmp_path / "data", folds=1)
    expected = (tmp_path / "data" / "lesions.csv").read_bytes()
    table = pd.read_csv(bench.folder / "manifest.csv", dtype=str, keep_default_na=False)
    table.columns = table.columns.str.upper()
    table.to_csv(bench.folder / "excel.csv", sep=separator, index=False, encoding="utf-16")
    prepare_cohort(read_manifest(bench.folder / "excel.csv"), tmp_path / "data", PrepareSettings(folds=1), workers=1)
    assert (tmp_path / "data" / "lesions.csv").read_bytes() == expected


def test_a_lesion_without_a_follow_up_row_is_not_taken_for_gone(bench: Bench, tmp_path: Path) -> None:
    bench.add("Mustermann0", "forgotten", "ses-01", 100, box(6, (24, 12, 6)))
    summary = bench.prepare(tmp_path / "data", folds=1)
    assert summary.taken == 4
    assert "no row for ses-03" in summary.text


def test_repeated_targets_are_listed_not_taken(bench: Bench, tmp_path: Path) -> None:
    name = "Mustermann0"
    other = box(6, (24, 12, 6))
    for session, day in (("ses-01", 100), ("ses-03", 190)):
        bench.add(name, "GTV occipital", session, day, other)
        bench.add(name, "copy", session, day, box(10))
        bench.add(name, "all targets", session, day, other | box(10))
        bench.add(name, "ring", session, day, box(6, (23, 12, 6)) | box(7, (24, 12, 6)) | box(6, (24, 14, 6)))
    summary = bench.prepare(tmp_path / "data", folds=1)
    table = pd.read_csv(tmp_path / "data" / "lesions.csv")
    assert len(table[table["subject"] == "sub-001"]) == 2
    for text in ("drawn twice", "a union of targets", "a margin (PTV) around a target"):
        assert text in summary.text


def test_a_failed_run_leaves_the_earlier_data_set(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "data"
    bench.prepare(out)
    before = (out / "dataset.json").read_bytes()
    with pytest.raises(DataProblem, match="so nothing can be learned"):
        bench.prepare(out, response_threshold=0.99)
    assert (out / "dataset.json").read_bytes() == before
    bench.prepare(out, seed=1)
    assert [path.name for path in tmp_path.iterdir() if "data" in path.name] == ["data"]


def test_a_folder_with_other_things_is_not_touched(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.docx").write_text("dear")
    with pytest.raises(DataProblem, match="holds no prepared data set"):
        bench.prepare(tmp_path / "data")
    assert (tmp_path / "data" / "thesis.docx").read_text() == "dear"


def test_same_bytes_twice_and_with_workers(bench: Bench, tmp_path: Path) -> None:
    bench.prepare(tmp_path / "first" / "data")
    cohort = read_manifest(bench.folder / "manifest.csv")
    prepare_cohort(cohort, tmp_path / "second" / "data", PrepareSettings(folds=2), workers=2)
    first, second = tmp_path / "first", tmp_path / "second"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)


@pytest.mark.parametrize("text", ["subject,lesion\na,b\n", ""], ids=["columns", "empty"])
def test_a_manifest_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataProblem, match="manifest"):
        read_manifest(tmp_path / "m.csv")
