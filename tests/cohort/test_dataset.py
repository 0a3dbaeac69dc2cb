"""What is wrong with a prepared data set is told, all of it at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.check import check_dataset
from treatment_response.cohort.dataset import load_datalist, write_tables, written_whole
from treatment_response.cohort.layout import image_path, mask_path, read_volume, write_volume
from treatment_response.cohort.lesion import DoseFacts, LesionRecord, Status
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

AFFINE = np.diag([0.9, 0.9, 2.0, 1.0])


def make_dataset(out: Path, patients: int = 6, folds: int = 3) -> None:
    """A data set of one lesion per patient; every second one responds."""
    with written_whole(out) as root:
        records = []
        for number in range(patients):
            subject = f"sub-{number + 1:03d}"
            mask = np.zeros((12, 12, 6), np.uint8)
            mask[3:7, 3:7, 2:4] = 1
            for session in ("ses-01", "ses-02"):
                write_volume(root / image_path(subject, session), Volume(np.full(mask.shape, 7.0), AFFINE))
                write_volume(root / mask_path(subject, session, "L01"), Volume(mask, AFFINE))
            volumes = {"ses-01": 50.0, "ses-02": 48.0, "ses-03": 20.0 if number % 2 else 55.0}
            days = {"ses-01": 0, "ses-02": 21, "ses-03": 90}
            areas = dict.fromkeys(volumes, 60.0)
            records.append(
                LesionRecord(subject, "L01", volumes, areas, days, Status.PRESENT, DoseFacts(30.0, 18.0, 2.8))
            )
        write_tables(root, records, name="test", folds=folds)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "data")
    return tmp_path / "data"


def test_columns_and_fields_of_the_contract(dataset: Path) -> None:
    table = pd.read_csv(dataset / "lesions.csv")
    assert table.columns.tolist() == [
        *("subject", "lesion", "fold", "volume_ses-01_mm3", "volume_ses-02_mm3", "volume_ses-03_mm3", "volume_change"),
        *("label", "p_response", "days_ses-02", "days_ses-03", "status_ses-03", "max_dose_gy", "prescription_gy"),
        *("gradient_index", "site", "diameter_mm", "synthetic"),
    ]
    content = json.loads((dataset / "dataset.json").read_text())
    assert content["labels"] == {"0": "non-response", "1": "response"}
    assert (content["synthetic"], content["folds"], content["response_threshold"]) == (False, 3, 0.2)
    assert content["training"][0] == {
        "image": "sub-001/ses-01/anat/sub-001_ses-01_ce-gadolinium_T1w.nii.gz",
        "mask": "derivatives/masks/sub-001/ses-01/sub-001_ses-01_label-L01_mask.nii.gz",
        "label": 0,
        "subject": "sub-001",
        "lesion": "L01",
        "session": "ses-01",
        "fold": content["training"][0]["fold"],
        "volume_change": 0.1,
    }
    assert check_dataset(dataset) == []


def _edit(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[Path], None]:
    def apply(dataset: Path) -> None:
        content = json.loads((dataset / "dataset.json").read_text())
        change(content["training"])
        (dataset / "dataset.json").write_text(json.dumps(content))

    return apply


def _mask(array: np.ndarray, affine: np.ndarray = AFFINE) -> Callable[[Path], None]:
    return lambda dataset: write_volume(dataset / mask_path("sub-002", "ses-01", "L01"), Volume(array, affine))


def _image(array: np.ndarray) -> Callable[[Path], None]:
    return lambda dataset: write_volume(dataset / image_path("sub-002", "ses-01"), Volume(array, AFFINE))


ONES = np.ones((12, 12, 6), np.uint8)
FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no-list": (lambda d: (d / "dataset.json").unlink(), "is missing"),
    "no-json": (lambda d: (d / "dataset.json").write_text("{"), "is no JSON"),
    "no-training": (lambda d: (d / "dataset.json").write_text("{}"), "has no list 'training'"),
    "missing-file": (lambda d: (d / mask_path("sub-002", "ses-01", "L01")).unlink(), "the file is missing"),
    "cut-file": (lambda d: (d / image_path("sub-002", "ses-01")).write_bytes(b"\x1f\x8b\x08"), "cannot be read"),
    "empty-mask": (_mask(ONES * 0), "has no voxel in it"),
    "labels-in-mask": (_mask(ONES * 2), "has values other than 0 and 1"),
    "shape": (_mask(ONES[:-1]), "lies on another grid"),
    "shifted-grid": (_mask(ONES, AFFINE + np.eye(4, k=3) * 0.5), "lies on another grid"),
    "nan": (_image(np.full(ONES.shape, np.nan)), "NaN"),
    "twice": (_edit(lambda s: s.append(s[0])), "is listed twice"),
    "two-folds": (_edit(lambda s: s[0].update(fold=(s[1]["fold"] + 1) % 3)), "a patient belongs in one"),
    "fold-out-of-range": (_edit(lambda s: [x.update(fold=8) for x in s[:2]]), "is not within 0 to 2"),
    "two-labels": (_edit(lambda s: s[0].update(label=1)), "has two labels"),
    "unknown-label": (_edit(lambda s: s[4].update(label=3)), "label 3 is unknown"),
    "unknown-session": (_edit(lambda s: s[0].update(session="ses-03")), "session ses-03 is unknown"),
    "missing-field": (_edit(lambda s: s[0].pop("mask")), "'mask' is missing"),
    "no-dictionary": (_edit(lambda s: s.append("x")), "is not a dictionary"),
    "one-class": (_edit(lambda s: [x.update(label=1) for x in s]), "all 6 lesions are response"),
    "few-patients": (_edit(lambda s: s.__delitem__(slice(4, None))), "cannot be split into 3 folds"),
    "nothing": (_edit(lambda s: s.clear()), "no lesion is left"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(dataset: Path, fault: str) -> None:
    spoil, text = FAULTS[fault]
    spoil(dataset)
    problems = check_dataset(dataset)
    assert any(text in str(problem) for problem in problems), problems


def test_all_faults_come_at_once(dataset: Path) -> None:
    for fault in ("missing-file", "twice", "two-folds", "unknown-label"):
        FAULTS[fault][0](dataset)
    text = "\n".join(map(str, check_dataset(dataset)))
    for fault in ("missing-file", "twice", "two-folds", "unknown-label"):
        assert FAULTS[fault][1] in text


def test_nothing_half_written(tmp_path: Path) -> None:
    def fail() -> None:
        with written_whole(tmp_path / "data") as root:
            (root / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_sheared_affine_survives(tmp_path: Path) -> None:
    affine = np.array([[0.8, 0.1, 0, -3], [0, 0.9, 0.2, 4], [0.1, 0, 1.7, 5], [0, 0, 0, 1]], dtype=float)
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    write_volume(tmp_path / "a.nii.gz", Volume(values, affine))
    back = read_volume(tmp_path / "a.nii.gz", "a")
    np.testing.assert_allclose(back.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(back.array, values)


def test_paths_are_absolute_wherever_one_stands(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(dataset.parent)
    sample = load_datalist("data")[0]
    monkeypatch.chdir("/")
    assert Path(sample["image"]).is_file()
    assert Path(sample["mask"]).is_file()


def test_an_unknown_folder_is_a_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="is missing"):
        load_datalist(tmp_path / "nowhere")
