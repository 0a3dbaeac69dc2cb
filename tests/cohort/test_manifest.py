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
from treatment_response.cohort.pipeline import Summary, prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings
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
