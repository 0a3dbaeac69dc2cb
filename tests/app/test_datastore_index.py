"""The datastore's index: whole at any moment, and two processes on one folder lose nothing of each other's."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

import pytest
from phantom_case import head, masks, write_label
from pulsar_app import app as app_module
from pulsar_app.prediction import infers, label_map_file
from pulsar_app.prediction.predictor import Predictor
from pulsar_app.studies.datastore import FolderDatastore
from pulsar_app.studies.study import find
from treatment_response.cohort.layout import write_volume

IMAGES = ("first", "second")
NAMES = [{"name": "GTV frontal", "idx": 1}, {"name": "edema", "idx": 2}]


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed, name in enumerate(IMAGES):
        write_volume(tmp_path / "studies" / f"{name}.nii.gz", head(seed))
    return tmp_path / "studies"


@pytest.fixture
def label(tmp_path) -> str:
    return str(write_label(tmp_path / "label.nii.gz", *masks()))


def read(folder: Path) -> dict:
    return json.loads((folder / "datastore_v2.json").read_text())["objects"]


def test_whoever_reads_the_index_finds_all_of_it(folder):
    datastore = FolderDatastore(folder)
    datastore.update_image_info("first", {"note": "x" * 300_000})
    done, faults = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            try:
                read(folder)
            except ValueError as error:
                faults.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(150):
            datastore.update_image_info("first", {"number": number})
    finally:
        done.set()
        reader.join()
    assert not faults
    assert read(folder)["first"]["image"]["info"]["number"] == 149
    assert not list(folder.glob(".partial-*"))


def test_a_second_process_keeps_what_the_first_has_saved(folder, label):
    server, batch = FolderDatastore(folder), FolderDatastore(folder)
    server.save_label("first", label, "final", {"label_info": NAMES})
    batch.save_label("second", label, "original", {"model": "pulsar_response"})
    server.update_image_info("second", {"note": "seen"})
    found = read(folder)
    assert [one["name"] for one in found["first"]["labels"]["final"]["info"]["label_info"]] == ["GTV frontal", "edema"]
    assert found["second"]["labels"]["original"]["info"]["model"] == "pulsar_response"
    assert found["second"]["image"]["info"]["note"] == "seen"


def test_a_change_is_one_step_for_other_processes(folder, label, monkeypatch):
    server, batch = FolderDatastore(folder), FolderDatastore(folder)
    write = batch._update_datastore_file
    saving = threading.Thread(target=server.save_label, args=("first", label, "final", {"label_info": NAMES}))

    def write_late() -> None:
        saving.start()
        saving.join(timeout=1)
        write()

    monkeypatch.setattr(batch, "_update_datastore_file", write_late)
    batch.update_image_info("second", {"note": "seen"})
    saving.join()
    found = read(folder)
    assert "final" in found["first"]["labels"]
    assert found["second"]["image"]["info"]["note"] == "seen"


def test_the_earlier_label_is_there_until_the_new_one_is(folder, label, monkeypatch):
    datastore = FolderDatastore(folder)
    datastore.save_label("first", label, "final", {"label_info": NAMES})
    saved = Path(datastore.get_label_uri("first", "final"))
    before = saved.read_bytes()

    def killed(source: Path | str, target: Path | str, *_: object, **__: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        datastore.save_label("first", label, "final", {"label_info": NAMES[:1]})
    again = FolderDatastore(folder)
    kept = again.open_image("first").label
    assert kept is not None
    assert kept.names == ("GTV frontal", "edema")
    assert kept.path.read_bytes() == before


def test_new_outlines_never_go_by_the_names_of_the_earlier_ones(folder, label, tmp_path, monkeypatch):
    datastore = FolderDatastore(folder)
    datastore.save_label("first", label, "final", {"label_info": NAMES})
    other = str(write_label(tmp_path / "other.nii.gz", masks()[1]))

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datastore, "_update_datastore_file", killed)
    with pytest.raises(KeyboardInterrupt):
        datastore.save_label("first", other, "final", {"label_info": [{"name": "met", "idx": 1}]})
    again = FolderDatastore(folder)
    study = find(again, "first")
    assert not study.targets
    assert any("save it again" in note for note in study.notes)
    again.save_label("first", other, "final", {"label_info": [{"name": "met", "idx": 1}]})
    assert [target.name for target in find(again, "first").targets] == ["met"]


def test_what_a_client_was_told_of_an_earlier_label_does_no_harm_to_the_new_one(folder, label, tmp_path):
    datastore = FolderDatastore(folder)
    datastore.save_label("first", label, "final", {"label_info": NAMES})
    told = datastore.get_label_info("first", "final")
    datastore.save_label("first", str(write_label(tmp_path / "other.nii.gz", masks()[1])), "final", {})
    datastore.update_label_info("first", "final", {**told, "label_info": [{"name": "met", "idx": 1}]})
    assert [target.name for target in find(datastore, "first").targets] == ["met"]


def test_labels_keep_their_names_while_the_folder_is_listed(folder, label):
    datastore, other = FolderDatastore(folder), FolderDatastore(folder)
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            other.update_image_info("second", {"note": "changed by another process"})
            datastore.refresh()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(8):
            datastore.save_label("first", label, "final", {"label_info": NAMES})
            saved = datastore.open_image("first").label
            assert saved is not None
            assert saved.names == ("GTV frontal", "edema")
    finally:
        done.set()
        thread.join()


def test_a_map_that_cannot_be_written_or_kept_leaves_no_file(folder, label, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    datastore = FolderDatastore(folder)
    task = infers.ResponseTask("pulsar_response", Predictor())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(label_map_file, "write_label_map", full)
    with pytest.raises(OSError, match="No space"):
        task({"image": "first", "datastore": datastore, "label": label})
    assert not list(temporary.iterdir())
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(datastore, "save_label", full)
    monkeypatch.setattr(app_module, "sent_image", lambda app, image: None)
    app = app_module.PulsarResponse.__new__(app_module.PulsarResponse)
    app._infers, app.answers = {"pulsar_response": task}, app_module.LastAnswers()
    with pytest.raises(OSError, match="No space"):
        app.infer({"model": "pulsar_response", "image": "first", "label": label, "save_label": True}, datastore)
    assert not list(temporary.iterdir())
