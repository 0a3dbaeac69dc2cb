"""A whole data set: parallel, cached, stopped and taken up again; bad lesions named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from toy_features import write_small_dataset
from treatment_response.cohort.layout import image_path, mask_path, read_volume, write_volume
from treatment_response.features.extraction import GROUPS, extract_dataset
from treatment_response.features.gradients import gradient_features
from treatment_response.features.intensity import scale_to_head
from treatment_response.features.workers import measure_all
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

BOTH = ("ses-01", "ses-02")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("features") / "dataset")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four lesions, for what takes a second per lesion."""
    return write_small_dataset(tmp_path_factory.mktemp("features") / "tiny", patients=2)


def test_rows_are_lesions_and_values_are_theirs(dataset: Path, tmp_path: Path) -> None:
    table = extract_dataset(dataset, BOTH, tmp_path, processes=1, groups=["gradient"])
    assert table.values.shape == (4 * 2 * 2, 90)
    assert list(table.values.index.names) == ["subject", "lesion", "session"]
    key = ("sub-002", "L02", "ses-02")
    image = scale_to_head(read_volume(dataset / image_path("sub-002", "ses-02"), "case"), "case")
    mask = read_volume(dataset / mask_path("sub-002", "ses-02", "L02"), "case").array
    assert table.values.loc[key].to_dict() == gradient_features(image, mask)


def test_processes_and_cache_change_no_number(tiny: Path, tmp_path: Path) -> None:
    groups = ["dose", "gradient"]
    first = extract_dataset(tiny, ["ses-01"], tmp_path / "one", processes=1, groups=groups)
    second = extract_dataset(tiny, ["ses-01"], tmp_path / "two", processes=2, groups=groups)
    again = extract_dataset(tiny, ["ses-01"], tmp_path / "two", processes=1, groups=groups)
    pd.testing.assert_frame_equal(first.values, second.values, check_exact=True)
    pd.testing.assert_frame_equal(first.values, again.values, check_exact=True)
    assert [feature.group for feature in first.features] == [
        feature.group for group in groups for feature in GROUPS[group].features
    ]


def test_only_what_changed_is_measured_again(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}

    table = extract_dataset(dataset, ["ses-01"], tmp_path, processes=1, groups=["gradient"])
    first = measured()
    assert len(first) == 8
    names = list(first)
    (tmp_path / names[0]).unlink()
    (tmp_path / names[1]).write_text('{"gradient.core')
    (tmp_path / names[2]).write_text("[1, 2]")
    again = extract_dataset(dataset, ["ses-01"], tmp_path, processes=1, groups=["gradient"])
    second = measured()
    assert {name for name in first if first[name] != second[name]} == set(names[:3])
    pd.testing.assert_frame_equal(table.values, again.values, check_exact=True)
    # Other settings are other values: nothing of the old ones may be taken.
    monkeypatch.setitem(GROUPS["gradient"].settings, "step_mm", 0.25)
    extract_dataset(dataset, ["ses-01"], tmp_path, processes=1, groups=["gradient"])
    assert len(measured()) == 16


def test_another_image_or_mask_is_another_entry(tmp_path: Path) -> None:
    dataset = write_small_dataset(tmp_path / "dataset", patients=2)
    before = extract_dataset(dataset, ["ses-01"], tmp_path / "cache", processes=1, groups=["gradient"])
    path = dataset / mask_path("sub-001", "ses-01", "L01")
    mask = read_volume(path, "case")
    smaller = mask.array.copy()
    smaller[np.argwhere(smaller)[:, 0].min()] = 0
    write_volume(path, Volume(smaller, mask.affine))
    after = extract_dataset(dataset, ["ses-01"], tmp_path / "cache", processes=1, groups=["gradient"])
    changed = (before.values != after.values).any(axis=1)
    assert list(changed[changed].index) == [("sub-001", "L01", "ses-01")]


def test_the_cache_holds_no_id_and_no_half_file(tiny: Path, tmp_path: Path) -> None:
    extract_dataset(tiny, ["ses-01"], tmp_path, processes=2, groups=["gradient"])
    files = list(tmp_path.iterdir())
    assert len(files) == 4
    for file in files:
        content = json.loads(file.read_text())
        assert set(content) == {feature.name for feature in GROUPS["gradient"].features}
        assert "sub-" not in file.name + file.read_text()


def test_a_session_without_dose_has_no_dose_features(tiny: Path, tmp_path: Path) -> None:
    table = extract_dataset(tiny, BOTH, tmp_path, processes=1, groups=["dose"]).values
    assert table.xs("ses-01", level="session").notna().all(axis=None)
    assert table.xs("ses-02", level="session").isna().all(axis=None)
    with pytest.raises(DataProblem, match="no session of ses-02 has a dose"):
        extract_dataset(tiny, ["ses-02"], tmp_path, groups=["dose"])


def test_every_bad_lesion_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    dataset = write_small_dataset(tmp_path / "dataset", patients=3)
    empty = dataset / mask_path("sub-001", "ses-01", "L02")
    mask = read_volume(empty, "case")
    write_volume(empty, Volume(np.zeros_like(mask.array), mask.affine))
    moved = dataset / mask_path("sub-002", "ses-01", "L01")
    affine = mask.affine.copy()
    affine[:3, 3] += 5
    write_volume(moved, Volume(read_volume(moved, "case").array, affine))
    (dataset / mask_path("sub-003", "ses-01", "L01")).unlink()
    with pytest.raises(DataProblem) as caught:
        extract_dataset(dataset, ["ses-01"], tmp_path / "cache", processes=2, groups=["gradient"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("sub-001 ses-01 L02: the mask is empty")
    assert lines[1].startswith("sub-002 ses-01 L01: the mask does not lie on the image's grid")
    assert lines[2].startswith("sub-003 ses-01 L01: sub-003_ses-01_label-L01_mask.nii.gz is missing")
    assert len(list((tmp_path / "cache").glob("*.json"))) == 3


def test_nan_and_constant_images_are_named(tmp_path: Path) -> None:
    dataset = write_small_dataset(tmp_path / "dataset", patients=2)
    for subject, value in (("sub-001", np.nan), ("sub-002", 7.0)):
        path = dataset / image_path(subject, "ses-01")
        image = read_volume(path, "case")
        array = np.full(image.array.shape, 7.0)
        array[3, 3, 3] = value
        write_volume(path, Volume(array + (0.5 if value == 7.0 else 0), image.affine))
    with pytest.raises(DataProblem) as caught:
        extract_dataset(dataset, ["ses-01"], tmp_path / "cache", processes=1, groups=["gradient"])
    text = str(caught.value)
    assert "sub-001 ses-01: the image holds NaN or infinite values" in text
    assert "sub-002 ses-01: the image is constant" in text


@pytest.mark.parametrize(
    ("sessions", "groups", "message"),
    [
        (["ses-03"], ["gradient"], "ses-03 comes after the outcome"),
        (["ses-01"], ["radiomic"], "unknown feature group radiomic; choose from gradient, radiomics, dose"),
        (["ses-01"], [], "no feature group was chosen"),
    ],
)
def test_what_cannot_be_asked_for(
    dataset: Path, tmp_path: Path, sessions: list[str], groups: list[str], message: str
) -> None:
    with pytest.raises(DataProblem, match=message):
        extract_dataset(dataset, sessions, tmp_path, groups=groups)


def test_a_cache_that_cannot_be_made_is_told_at_once(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataProblem, match="feature cache: the folder cannot be made"):
        extract_dataset(dataset, ["ses-01"], tmp_path / "file", groups=["gradient"])


def test_progress_counts_lesions(dataset: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=100, force_terminal=True)
    extract_dataset(dataset, ["ses-01"], tmp_path, processes=1, groups=["gradient"], console=console)
    assert "8/8" in console.export_text()


STOPPABLE = """
import sys
from treatment_response.features.extraction import extract_dataset
from treatment_response.stopping import stop_on_terminate
if __name__ == "__main__":
    stop_on_terminate()
    extract_dataset(sys.argv[1], ["ses-01"], sys.argv[2], processes=2, groups=sys.argv[3:])
"""


def ends(group: int) -> bool:
    """Whether no process of a group is left, within seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_stopped_and_taken_up_again_it_gives_the_same_table(tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "run.py").write_text(STOPPABLE)
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(tiny), str(cache), "radiomics"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 240
        while not list(cache.glob("*.json")) and time.monotonic() < end:
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        _, error = run.communicate(timeout=20)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert "KeyboardInterrupt" in error
    assert ends(run.pid)
    kept = {file.name: file.stat().st_mtime_ns for file in cache.glob("*.json")}
    assert 1 <= len(kept) < 4
    resumed = extract_dataset(tiny, ["ses-01"], cache, processes=2, groups=["radiomics"])
    whole = extract_dataset(tiny, ["ses-01"], tmp_path / "other", processes=2, groups=["radiomics"])
    pd.testing.assert_frame_equal(resumed.values, whole.values, check_exact=True)
    assert all((cache / name).stat().st_mtime_ns == time_written for name, time_written in kept.items())


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(DataProblem, match="--workers: a process that measures lesions was killed; start fewer"):
        measure_all(os._exit, [(1,), (1,)], 2, "measuring", 2, None)


def test_killed_it_leaves_no_worker_behind(dataset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "run.py").write_text(STOPPABLE)
    command = [sys.executable, str(tmp_path / "run.py"), str(dataset), str(cache), "gradient"]
    run = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 240
        while not list(cache.glob("*.json")) and time.monotonic() < end:
            time.sleep(0.01)
        assert run.poll() is None
        run.kill()
        run.wait()
        assert ends(run.pid)
    finally:
        if not ends(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
    assert 1 <= len(list(cache.glob("*.json"))) < 8
