"""A lesion whose fate is not known gets no label, stays in the data set, and is put before a person who decides."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from ingest_bench import BACK, FRONT, Case, Visit, turned, write_case
from PIL import Image
from treatment_response.cohort.check import check_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_dicom.py"
Command = Callable[..., int]
NAMES = ("found", "alone", "stated", "empty", "covered", "retreated")


def case(name: str) -> Case:
    """Lesion 1 is drawn again wherever there are two; lesion 2 (or the only one) is what the case is about."""
    first, last = {"GTV 1": FRONT, "GTV 2": BACK}, {"GTV 1": (FRONT[0], 7.0)}
    organs = {"Skull": ((0.0, 0.0, 0.0), 60.0)}
    empty: tuple[str, ...] = ()
    if name in ("alone", "stated", "empty", "retreated"):
        first, last = {"GTV 1": BACK}, {}
    if name == "empty":
        empty = ("GTV 1",)
    if name == "covered":
        organs["PTV 2"] = (BACK[0], BACK[1] + 1)
        last = {"GTV 1": (FRONT[0], 10.0)}
    if name == "retreated":
        last = {"GTV 2": FRONT}
    visits = [
        Visit(0, dict(first), {"Skull": ((0.0, 0.0, 0.0), 60.0)}),
        Visit(91, dict(last), organs, pose=turned(5, (3, -4, 2)), contrast=False, empty_rois=empty),
    ]
    return Case(f"HN{NAMES.index(name)}", visits, seed=NAMES.index(name))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("review") / "export"
    for name in NAMES:
        write_case(root, case(name))
    rows = "patient_id,roi_name,follow_up\nHN2,GTV 1,resolved\n"
    (root.parent / "clinical.csv").write_text(rows)
    return root


@pytest.fixture(scope="module")
def command(hospital: Path) -> Command:
    spec = importlib.util.spec_from_file_location("prepare_dicom_review", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fixed = (hospital, "--clinical", hospital.parent / "clinical.csv", "--folds", "2", "--workers", "1")
    return lambda *more: module.main([str(argument) for argument in (*fixed, *more)])


@pytest.fixture(scope="module")
def dataset(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "data"
    assert command("--out", out) == 0
    return out


def lesions(dataset: Path) -> dict[str, tuple[int, str]]:
    """``HN0 L01`` → label and status."""
    table = pd.read_csv(dataset / "lesions.csv")
    subjects = table["subject"].str[-1].astype(int) - 1
    keys = [f"{NAMES[number]} {lesion}" for number, lesion in zip(subjects, table["lesion"], strict=True)]
    return dict(zip(keys, zip(table["label"], table["status_ses-03"], strict=True), strict=True))


def reviewed(dataset: Path) -> dict[str, dict[str, str]]:
    with (dataset / "review.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {f"{NAMES[int(row['subject'][-1]) - 1]} {row['lesion']}": row for row in rows}


def decide(dataset: Path, out: Path, decisions: dict[str, str], **changes: str) -> Path:
    """A copy of the data set's review with decisions filled in."""
    rows = [{**row, "decision": decisions.get(name, ""), **changes} for name, row in reviewed(dataset).items()]
    pd.DataFrame(rows).to_csv(out, index=False)
    return out


def test_labels_only_where_the_fate_is_known(dataset: Path) -> None:
    assert lesions(dataset) == {
        "found L01": (1, "present"),
        "found L02": (1, "resolved"),  # another lesion was found again and did not grow
        "stated L01": (1, "resolved"),  # the clinical table says so
        "empty L01": (1, "resolved"),  # an ROI of its name is there without contours
        "covered L01": (0, "present"),
    }
    reasons = {name: row["reason"] for name, row in reviewed(dataset).items()}
    assert set(reasons) == {"alone L01", "covered L02", "retreated L01"}
    assert "a structure lies at its place" in reasons["covered L02"]
    assert "nothing says that anybody looked" in reasons["alone L01"]
    text = (dataset / "ingest_report.txt").read_text()
    assert "Doubtful lesions: 3 of 8 lesions of MRI 1 (37.5%) have no label" in text
    assert "1 lesion per patient 2 of 4, 2: 1 of 4." in text
    assert text.count("in doubt at follow-up") == 3


def test_doubtful_lesions_stay_in_the_data_set_without_a_label(dataset: Path) -> None:
    content = json.loads((dataset / "dataset.json").read_text())
    entries = content["unlabelled"]
    assert {(entry["subject"], entry["lesion"], entry["session"]) for entry in entries} == {
        ("sub-002", "L01", "ses-01"),
        ("sub-005", "L02", "ses-01"),
        ("sub-006", "L01", "ses-01"),
    }
    folds = {entry["subject"]: entry["fold"] for entry in content["training"]}
    for entry in entries:
        assert "label" not in entry
        assert entry["fold"] == folds.get(entry["subject"], entry["fold"])
        mask = nibabel.load(dataset / entry["mask"])
        assert mask.shape == nibabel.load(dataset / entry["image"]).shape
        inside = np.argwhere(np.asarray(mask.dataobj) > 0)
        centre = nibabel.affines.apply_affine(mask.affine, inside).mean(axis=0)
        assert np.linalg.norm(centre - np.array(BACK[0])) < 1.5
    assert check_dataset(dataset) == []


def test_the_picture_shows_the_lesion_and_its_place_at_follow_up(dataset: Path) -> None:
    """The outline on MRI 1 is in the middle, anterior on top; the ring at follow-up is in the middle too."""
    row = reviewed(dataset)["alone L01"]
    pixels = np.asarray(Image.open(dataset / row["thumbnail"]).convert("RGB")).astype(int)
    side = pixels.shape[0]
    yellow = np.argwhere(np.abs(pixels - [255, 209, 0]).sum(axis=2) < 40)
    blue = np.argwhere(np.abs(pixels - [0, 200, 255]).sum(axis=2) < 40)
    assert np.abs(yellow.mean(axis=0) - side / 2).max() < 6
    assert np.abs(blue.mean(axis=0) - [side / 2, 1.5 * side]).max() < 3
    # 80 mm field: the lesion's radius of 8 mm is a tenth of it.
    assert abs(np.ptp(blue[:, 0]) / 2 - 0.1 * side) < 4


def test_a_review_decides(command: Command, dataset: Path, tmp_path: Path) -> None:
    review = decide(
        dataset, tmp_path / "r.csv", {"alone L01": "Resolved", "covered L02": "present", "retreated L01": "resected"}
    )
    out = tmp_path / "data"
    assert command("--out", out, "--review", review) == 0
    assert lesions(out)["alone L01"] == (1, "resolved")
    assert set(lesions(out)) == {*lesions(dataset), "alone L01"}
    rows = reviewed(out)
    assert rows["covered L02"]["decision"] == "present"
    assert "waiting for an outline" in rows["covered L02"]["reason"]
    assert rows["alone L01"]["decision"] == "resolved"  # what was decided is kept for the next run
    assert rows["retreated L01"]["decision"] == "resected"
    assert "resected, by the review" in (out / "ingest_report.txt").read_text()
    # The next run finds the same decisions in what this one wrote.
    assert command("--out", out, "--review", out / "review.csv") == 0
    assert lesions(out)["alone L01"] == (1, "resolved")
    assert {name: row["decision"] for name, row in reviewed(out).items()} == {
        name: row["decision"] for name, row in rows.items()
    }


def test_decisions_are_not_lost(
    command: Command, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    assert command("--out", out) == 0
    decide(out, out / "review.csv", {"alone L01": "resolved"})
    before = (out / "review.csv").read_bytes()
    assert command("--out", out) == 2
    assert "holds 1 decision(s) that this run would lose" in capsys.readouterr().err
    assert (out / "review.csv").read_bytes() == before


def test_a_decision_is_about_one_outline(command: Command, dataset: Path, tmp_path: Path) -> None:
    """A decision that is about another outline or follow-up is told, not used."""
    review = decide(dataset, tmp_path / "r.csv", {"alone L01": "resolved"}, check="0123456789ab")
    assert command("--out", tmp_path / "data", "--review", review) == 0
    assert "alone L01" not in lesions(tmp_path / "data")
    report = (tmp_path / "data" / "ingest_report.txt").read_text()
    assert "1 decision(s) are about no lesion in doubt as it is now" in report


def test_a_decision_follows_its_lesion_when_subjects_are_numbered_anew(
    command: Command, dataset: Path, hospital: Path, tmp_path: Path
) -> None:
    review = decide(dataset, tmp_path / "r.csv", {"alone L01": "resolved"}, subject="sub-777")
    assert command("--out", tmp_path / "data", "--review", review) == 0
    assert lesions(tmp_path / "data")["alone L01"] == (1, "resolved")


def test_an_unknown_decision_is_refused(
    command: Command, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    review = decide(dataset, tmp_path / "r.csv", {"alone L01": "resolvd"})
    assert command("--out", tmp_path / "data", "--review", review) == 2
    message = capsys.readouterr().err
    assert "review row" in message
    assert "decision is 'resolvd', which is not known; write one of resolved, resected, present, not imaged" in message
    assert not (tmp_path / "data").exists()


def test_a_dry_run_tells_the_same_and_writes_nothing(
    command: Command, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--out", tmp_path / "data", "--dry-run", "--key", tmp_path / "key.csv") == 0
    captured = capsys.readouterr()
    report = (dataset / "ingest_report.txt").read_text()
    assert report in captured.out
    assert "nothing was written" in captured.out
    assert "6 patients" in captured.err
    assert list(tmp_path.iterdir()) == []
