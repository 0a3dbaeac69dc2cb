"""What a comparison cannot use is told in a sentence by the command; what is odd and can be used has its fallback."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_dataset import write_toy_dataset
from treatment_response.cohort.layout import DATALIST, LESIONS, image_path, mask_path, read_volume, write_volume
from treatment_response.features.groups import GROUPS
from treatment_response.geometry import Volume


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("inputs") / "dataset", patients=5)


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


@pytest.fixture
def command(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The script's exit code, and what it says on stderr."""
    spec = importlib.util.spec_from_file_location("compare_script", repository / "scripts" / "compare.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("treatment_response.commands.stop_on_terminate", lambda: None)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["compare.py", "--workers", "1", "--icc", "0", *map(str, arguments)])
        code = script.main()
        return code, capsys.readouterr().err

    return run


def put(path: Path, change) -> None:
    volume = read_volume(path, "case")
    array = change(volume.array.astype(float))
    write_volume(path, Volume(array, volume.affine))


def change_list(root: Path, change) -> None:
    content = json.loads((root / DATALIST).read_text())
    change(content)
    (root / DATALIST).write_text(json.dumps(content))


def three_voxels(mask: np.ndarray) -> np.ndarray:
    small = np.zeros(mask.shape, np.uint8)
    small[tuple(np.argwhere(mask > 0).mean(axis=0).astype(int))] = 1
    x, y, z = np.argwhere(small)[0]
    small[x : x + 3, y, z] = 1
    return small


def test_a_lesion_of_three_voxels_is_compared_like_any_other(copy: Path, tmp_path: Path, command) -> None:
    for session in ("ses-01", "ses-02"):
        put(copy / mask_path("sub-001", session, "L01"), three_voxels)
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", "gradient")
    assert code == 0, said
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    tiny = predictions[(predictions["subject"] == "sub-001") & (predictions["lesion"] == "L01")]
    assert len(tiny) == 4 + 1 + 1
    assert tiny["p_response"].between(0, 1, inclusive="neither").all()


def test_features_that_are_all_the_same_give_the_prevalence_and_a_note(copy: Path, tmp_path: Path, command) -> None:
    # All toy lesions have one volume.
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", "size")
    assert code == 0, said
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    for _, trial in predictions.groupby("model"):
        trained = trial[trial["role"] == "train_mri2"]
        assert np.allclose(trial["p_response"], trained["label"].mean())
    note = "# size, 5 of 5 trials: no feature was left: every lesion gets the training prevalence."
    assert note in (tmp_path / "out" / "table.csv").read_text()
    assert (tmp_path / "out" / "importances.csv").read_text().startswith("method,feature,group,chosen,weight\n#")


@pytest.mark.parametrize("method", ["gradient", "cnn"])
def test_a_missing_mask_is_named(copy: Path, tmp_path: Path, command, method: str) -> None:
    (copy / mask_path("sub-002", "ses-01", "L01")).unlink()
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", method, "--epochs", 1)
    assert code == 2
    assert "sub-002" in said
    assert "missing" in said
    assert not (tmp_path / "out" / "table.csv").exists()


@pytest.mark.parametrize("method", ["gradient", "cnn"])
def test_nan_in_an_image_is_named(copy: Path, tmp_path: Path, command, method: str) -> None:
    def with_nan(image: np.ndarray) -> np.ndarray:
        image[3, 3, 3] = np.nan
        return image

    put(copy / image_path("sub-003", "ses-01"), with_nan)
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", method, "--epochs", 1)
    assert code == 2
    assert "sub-003" in said
    assert "NaN" in said
    assert not (tmp_path / "out" / "table.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--methods", "magic"], "--methods: 'magic' is no method; choose from size, clinical, radiomics"),
        (["--methods", "size", "size"], "name at least one method, each once"),
        (["--threshold", "0.3", "0.65"], "--threshold 0.65: all 10 lesions are of one class"),
        (["--threshold", "0.3", "0.3"], "--threshold: one is named twice"),
        (["--seed", "-1"], "--seed: -1 was asked for; use one from 0 to 858992"),
        (["--seed", "858993"], "--seed: 858993 was asked for"),
        (["--shuffle-labels", "-1"], "--shuffle-labels: -1 was asked for; use 0 or more"),
        (["--threshold", "20"], "20 is no loss of volume between 0 and 1"),
        (["--icc", "1.5"], "--icc: 1.5 is no ICC"),
        (["--epochs", "0"], "--epochs: 0 was asked for; use 1 or more"),
        (["--shuffle-labels", "2", "--shuffle-epochs", "0"], "--shuffle-epochs: 0 was asked for"),
        (["--overlay", "none.json", "--methods", "cnn"], "--overlay: none.json is no config"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_written(
    dataset: Path, tmp_path: Path, command, arguments: list[str], sentence: str
) -> None:
    methods = [] if "--methods" in arguments else ["--methods", "size"]
    code, said = command(dataset, "--out", tmp_path / "out", "--trials", 5, *methods, *arguments)
    assert code == 2
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_few_patients_and_one_class_are_told(dataset: Path, tmp_path: Path, command) -> None:
    few = write_toy_dataset(tmp_path / "few", patients=3)
    code, said = command(few, "--out", tmp_path / "out", "--methods", "size")
    assert (code, said) == (
        2,
        "data set: 3 patient(s) are too few, each of 5 folds needs at least one; "
        "bring more patients, or use --protocol A.\n",
    )
    assert not (tmp_path / "out").exists()
    code, said = command(few, "--out", tmp_path / "a", "--methods", "size", "--protocol", "A", "--trials", 2)
    assert code == 0, said


def twice(content: dict) -> None:
    content["training"].append(content["training"][0])


def with_two_labels(content: dict) -> None:
    content["training"][0]["label"] = 1 - content["training"][0]["label"]


def without_label(content: dict) -> None:
    del content["training"][0]["label"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (twice, "sub-001 L01 ses-01: is listed twice"),
        (with_two_labels, "sub-001 L01: has two labels"),
        (without_label, "sample 1 of dataset.json: 'label' is missing"),
    ],
)
def test_a_list_with_a_fault_is_refused_without_any_network(
    copy: Path, tmp_path: Path, command, change, sentence: str
) -> None:
    change_list(copy, change)
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", "size")
    assert code == 2
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_another_threshold_for_rated_lesions_is_refused(copy: Path, tmp_path: Path, command) -> None:
    # A rating comes without a change of volume, which is below no threshold: all would count as non-response.
    def rated(content: dict) -> None:
        for sample in content["training"]:
            if sample["subject"] == "sub-001":
                sample["volume_change"] = None

    change_list(copy, rated)
    code, said = command(copy, "--out", tmp_path / "out", "--methods", "size", "--threshold", 0.3)
    assert code == 2
    assert said.startswith("--threshold: 2 lesions have a rating as their label and no change of volume; leave it out")
    assert command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", "size")[0] == 0


def test_without_any_mri_2_protocol_a_has_nothing_to_score(copy: Path, tmp_path: Path, command) -> None:
    def first_only(content: dict) -> None:
        content["training"] = [sample for sample in content["training"] if sample["session"] == "ses-01"]

    change_list(copy, first_only)
    arguments = ("--trials", 5, "--methods", "size")
    code, said = command(copy, "--out", tmp_path / "a", "--protocol", "A", *arguments)
    assert code == 2
    assert said == "data set: protocol A scores MRI 2, and no lesion has one; use --protocol B, or prepare MRI 2.\n"
    assert command(copy, "--out", tmp_path / "b", *arguments)[0] == 0
    assert set(pd.read_csv(tmp_path / "b" / "predictions.csv")["role"]) == {"heldout_mri1"}


def test_a_folder_of_other_feature_settings_is_refused(
    dataset: Path, tmp_path: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (dataset, "--out", tmp_path / "out", "--trials", 5, "--methods", "gradient")
    assert command(*arguments)[0] == 0
    group = GROUPS["gradient"]
    monkeypatch.setitem(GROUPS, "gradient", replace(group, settings={**group.settings, "step_mm": 1.0}))
    code, said = command(*arguments)
    assert code == 2
    assert said == "--out: the folder was made with another feature setting; name a new folder, or remove it.\n"


def test_a_folder_of_another_data_set_is_refused(dataset: Path, copy: Path, tmp_path: Path, command) -> None:
    assert command(dataset, "--out", tmp_path / "out", "--trials", 5, "--methods", "size")[0] == 0
    before = (tmp_path / "out" / "table.csv").read_bytes()
    lesions = pd.read_csv(copy / LESIONS)
    lesions.assign(**{"volume_ses-01_mm3": 1.0}).to_csv(copy / LESIONS, index=False)
    code, said = command(copy, "--out", tmp_path / "out", "--trials", 5, "--methods", "size")
    assert code == 2
    assert said == "--out: the folder was made with another dataset; name a new folder, or remove it.\n"
    assert (tmp_path / "out" / "table.csv").read_bytes() == before
