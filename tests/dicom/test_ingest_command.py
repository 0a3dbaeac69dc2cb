"""The command line: exit states, the key, a folder that is never written to, the same result each time."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ingest_bench import shrinking, write_case
from treatment_response.cohort.check import check_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_dicom.py"
Command = Callable[..., int]


@pytest.fixture(scope="module")
def command() -> Command:
    spec = importlib.util.spec_from_file_location("prepare_dicom_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hospital") / "export"
    for number, final in enumerate((0.5, 1.1)):
        write_case(root, shrinking(f"HN{number}", final, number))
    table = [("HN0", "GTV 1 L frontal", 20.0), ("HN1", "", 18.0), ("HN7", "", 18.0)]
    pd.DataFrame(table, columns=["patient_id", "roi_name", "prescription_gy"]).to_csv(
        root.parent / "clinical.csv", index=False
    )
    return root


def digest(root: Path) -> dict[str, tuple[str, float]]:
    """Content and time of change of everything under a folder."""
    return {
        str(path.relative_to(root)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.stat().st_mtime,
        )
        for path in [root, *root.rglob("*")]
    }


def test_the_folder_is_never_written_to(command: Command, hospital: Path, tmp_path: Path) -> None:
    before = digest(hospital)
    paths = [hospital, *hospital.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert command(hospital, "--out", tmp_path / "data", "--folds", 2, "--workers", 1, "--strict") == 0
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert digest(hospital) == before
    assert check_dataset(tmp_path / "data") == []


def test_key_prescriptions_and_exit_state(
    command: Command, hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, out = tmp_path / "key.csv", tmp_path / "data"
    arguments = (hospital, "--out", out, "--folds", 1, "--workers", 1, "--clinical", hospital.parent / "clinical.csv")
    assert command(*arguments, "--key", key) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    rows = pd.read_csv(key, keep_default_na=False).values.tolist()
    assert ["sub-002", "", "HN1", ""] in rows
    assert ["sub-001", "L02", "HN0", "GTV_02 R occipital"] in rows
    table = pd.read_csv(out / "lesions.csv")
    assert table["prescription_gy"].fillna(0).tolist() == [20, 0, 18, 18]
    text = capsys.readouterr().out
    assert "names 1 patient(s) that are not among the files" in text
    assert "HN" not in text
    assert command(*arguments, "--strict") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--response-threshold", 20), "--response-threshold"),
        (("--contouring-sd", -1), "--contouring-sd"),
        (("--max-gradient-index", 1), "--max-gradient-index"),
        (("--layout", "proteas"), "PROTEAS: the layout holds no dates"),
        (("--roi", "("), "is no regular expression"),
        (("--prescription", -3), "is no dose in Gy"),
        (("--follow-up-days", 90, 60), "--follow-up-days"),
        (("--clinical", "nowhere.csv"), "clinical table: cannot be read"),
        (("--roi", "no such name", "--folds", 1), "no lesion is left"),
    ],
)
def test_input_that_cannot_be_used(
    command: Command,
    hospital: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    text: str,
) -> None:
    assert command(hospital, "--out", tmp_path / "data", "--workers", 1, *arguments) == 2
    message = capsys.readouterr().err
    assert text in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_two_patients_are_prepared_with_two_folds(
    command: Command, hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(hospital, "--out", tmp_path / "data", "--workers", 1) == 0
    assert "2 patient(s) with a label cannot fill 5 folds; prepared with 2" in capsys.readouterr().out
    assert sorted(set(pd.read_csv(tmp_path / "data" / "lesions.csv")["fold"])) == [0, 1]
    assert check_dataset(tmp_path / "data") == []


def test_a_disk_that_is_too_small_is_told_before_the_work(
    command: Command,
    hospital: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert command(hospital, "--out", tmp_path / "data", "--workers", 1) == 2
    assert "GB are free" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_dicom(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", "--out", tmp_path / "data") == 2
    assert command(tmp_path / "nowhere", "--out", tmp_path / "data") == 2
    message = capsys.readouterr().err
    assert "holds no MR series" in message
    assert "is no folder" in message


def test_the_key_stays_outside_the_data_set(
    command: Command, hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(hospital, "--out", tmp_path / "data", "--key", tmp_path / "data" / "key.csv") == 2
    assert "--key" in capsys.readouterr().err


def test_other_names_by_the_users_rule(command: Command, hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    assert command(hospital, "--out", out, "--folds", 1, "--workers", 1, "--roi", "occipital") == 0
    assert pd.read_csv(out / "lesions.csv")["label"].tolist() == [0, 0]


def test_same_bytes_with_workers_and_without(command: Command, hospital: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        assert command(hospital, "--out", tmp_path / str(workers) / "data", "--folds", 2, "--workers", workers) == 0
    one, two = digest(tmp_path / "1" / "data"), digest(tmp_path / "2" / "data")
    assert {path: value[0] for path, value in one.items()} == {path: value[0] for path, value in two.items()}
