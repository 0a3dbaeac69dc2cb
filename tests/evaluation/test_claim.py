"""A folder keeps what it was made with: it may grow by a method, and nothing in it may change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from treatment_response.configs import config_files, fingerprints, planned_epochs
from treatment_response.evaluation.claim import claim
from treatment_response.problems import DataProblem


def test_a_folder_may_grow_and_not_change(tmp_path: Path) -> None:
    record = tmp_path / "out" / "made.json"
    claim(record, {"seed": 0, "networks": {"cnn": {"epochs": 5}}})
    claim(record, {"seed": 0, "networks": {"improved": {"epochs": 7}}})
    claim(record, {"seed": 0, "networks": {}})
    assert json.loads(record.read_text()) == {
        "seed": 0,
        "networks": {"cnn": {"epochs": 5}, "improved": {"epochs": 7}},
    }
    before = record.read_bytes()
    for made, named in (
        ({"seed": 1, "networks": {}}, "another seed;"),
        ({"seed": 0, "networks": {"cnn": {"epochs": 6}}}, "another networks;"),
        ({"seed": 0, "networks": {}, "threshold": 0.3}, "another threshold;"),
    ):
        with pytest.raises(DataProblem, match=named):
            claim(record, made)
    assert record.read_bytes() == before


def test_a_mapping_may_be_new_in_an_older_record(tmp_path: Path) -> None:
    record = tmp_path / "made.json"
    claim(record, {"seed": 0})
    claim(record, {"seed": 0, "features": {"gradient": "a"}})
    with pytest.raises(DataProblem, match="another features;"):
        claim(record, {"seed": 0, "features": {"gradient": "b"}})


def test_an_out_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(DataProblem, match=r"--out: the folder cannot be used \(.*\); name another folder"):
            claim(out / "made.json", {"seed": 0})


def test_a_record_that_is_something_else_is_refused(tmp_path: Path) -> None:
    for content in ("{", "[]"):
        (tmp_path / "made.json").write_text(content)
        with pytest.raises(DataProblem, match=r"made\.json there cannot be read"):
            claim(tmp_path / "made.json", {"seed": 0})


def test_overlays_are_the_bundle_s_or_files(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"max_epochs": 7}')
    assert config_files(["sequential.json", str(mine)])[1] == mine
    assert [planned_epochs(names) for names in ([], ["sequential.json"], [str(mine)])] == [150, 300, 7]
    before = fingerprints([str(mine)])
    mine.write_text('{"max_epochs": 8}')
    assert list(before) == ["mine.json"]
    assert fingerprints([str(mine)]) != before
    shadow = tmp_path / "sequential.json"
    shadow.write_text("{}")
    one, other = (fingerprints(["sequential.json", str(shadow)]), fingerprints([str(shadow)]))
    assert list(one.items())[1] == (str(shadow), other["sequential.json"])  # none stands for both
    with pytest.raises(DataProblem, match=r"--overlay: none\.json is no config of this bundle"):
        config_files(["none.json"])
    with pytest.raises(DataProblem, match=r"--methods improved: .*none\.json is no config;"):
        config_files([str(tmp_path / "none.json")], "--methods improved")


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_an_overlay_that_holds_no_config_is_told(tmp_path: Path, content: str) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(content)
    with pytest.raises(DataProblem, match=r"--overlay: mine\.json holds no config; write it as JSON"):
        config_files([str(mine)])


def test_epochs_that_are_no_number_are_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text('{"max_epochs": "many"}')
    with pytest.raises(DataProblem, match="--overlay: max_epochs is 'many', no whole number"):
        planned_epochs([str(mine)])
