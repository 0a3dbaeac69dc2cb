"""Training on the datastore: what is learned from, what is refused, and what is left alone."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from learning_case import BUNDLE, Rows, served_weights, write_folder, write_table
from pulsar_app.conf import NETWORKS, read_settings
from pulsar_app.learning.publish_model import provenance_of, publish_model
from pulsar_app.learning.responses import TO_FILL_IN, Answer, known_responses, read_table
from pulsar_app.learning.selection import image_hash
from pulsar_app.learning.training import Training, parse_options
from pulsar_app.learning.training_data import gather, patient_key
from pulsar_app.server.problems import Busy
from pulsar_app.studies.datastore import FolderDatastore
from pulsar_app.studies.first_mri import NotFirst
from pulsar_app.studies.study import Study
from toy_dataset import write_toy_dataset
from treatment_response.dicom.source import read_mr_source
from treatment_response.dicom.write import PatientIds, StudyIds, write_series
from treatment_response.geometry import Volume
from treatment_response.inference.lesions.explainer import Explainer
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.problems import DataProblem
from treatment_response.weights import write_pair

EPOCHS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> tuple[Path, Rows]:
    root = tmp_path_factory.mktemp("clinic") / "studies"
    return root, write_folder(root)


@pytest.fixture(scope="module")
def store(folder) -> FolderDatastore:
    return FolderDatastore(folder[0])


@pytest.fixture
def own_store(folder, tmp_path) -> FolderDatastore:
    """One that a test may change."""
    return FolderDatastore(Path(shutil.copytree(folder[0], tmp_path / "own_studies")))


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def trained(folder, store, app_dir, tmp_path_factory) -> tuple[Training, dict, Path]:
    """A training in this process, its result, and the weights that were served meanwhile."""
    served = served_weights(tmp_path_factory.mktemp("served"))
    table = write_table(app_dir / "given.csv", folder[1])
    training = Training(app_dir, served, table)
    request = {"model": "pulsar_response", "client_id": "me", "max_epochs": str(EPOCHS), "folds": 3, "synthetic": True}
    hook = sys.excepthook
    result = training(request, store)
    assert sys.excepthook is hook, "a training inside the server replaced the server's own way to tell faults"
    return training, result, served


def test_the_model_learns_what_the_responses_say(trained):
    _, result, _ = trained
    assert (result["lesions"], result["patients"]) == (24, 12)
    assert result["held_out"]["auc"] > 0.9
    assert result["held_out"]["n"] == 2 * result["held_out"]["patients"] == 8
    assert result["notice"].startswith("RESEARCH ONLY")
    assert "synthetic" in result["notice"]
    assert (result["trained_on"]["patients"], result["trained_on"]["lesions"]) == (8, 16)
    assert result["trained_on"]["responses"] + result["held_out"]["responses"] == result["responses"]


def test_labels_are_those_of_the_table(trained, folder, app_dir):
    _, result, _ = trained
    found = pd.read_csv(app_dir / "model" / "runs" / result["run"] / "lesions.csv")
    rows = sorted(folder[1], key=lambda row: (row["image"], row["roi"]))
    assert found["label"].tolist() == [int(row["response"] == "response") for row in rows]
    assert (found.groupby("subject")["fold"].nunique() == 1).all()


def test_the_run_is_complete_and_nothing_else_is_left(trained, app_dir):
    training, result, _ = trained
    runs = app_dir / "model" / "runs"
    names = {path.name for path in (runs / result["run"]).iterdir()}
    assert {"provenance.json", "metrics.json", "predictions.csv", "history.csv", "lesions.csv", "models"} <= names
    assert sorted(path.name for path in runs.iterdir()) == [".lock", result["run"], "last.json"]
    assert not list(app_dir.rglob("*.nii.gz"))
    Explainer(model_path=runs / result["run"] / "models" / "model.pt")  # fits what serves, strictly
    stats = training.stats()
    assert stats["status"] == "done"
    assert stats["epoch"] == stats["total_epochs"] == EPOCHS
    assert stats["best_metric"] == result["held_out"]["accuracy"]


def test_the_served_weights_are_left_alone(trained):
    _, result, served = trained
    assert not result["published"]
    models = BUNDLE / "models"
    assert {path.name for path in served.parent.iterdir()} == {path.name for path in models.iterdir()}
    assert served.read_bytes() == (BUNDLE / "models" / "model.pt").read_bytes()


def test_publishing_keeps_the_old_weights_beside_the_new(trained, app_dir, tmp_path):
    _, result, _ = trained
    served = served_weights(tmp_path)
    before = served.read_bytes()
    run = app_dir / "model" / "runs" / result["run"]
    kept = publish_model(run, served)
    assert kept is not None
    assert kept.read_bytes() == before
    assert served.read_bytes() == (run / "models" / "model.pt").read_bytes()
    assert Explainer(model_path=served).model["training_data"] == "own data"
    selection = json.loads(provenance_of(served).read_text())["selection"]
    table = pd.read_csv(run / "lesions.csv")
    for name, part in (("trained_on", table[table["fold"] != 0]), ("held_out", table[table["fold"] == 0])):
        # The toy patients' numbers are those of their images.
        images = [image_hash(f"{subject}_ses-01_ce-gadolinium_T1w") for subject in sorted(set(part["subject"]))]
        assert selection[name] == {
            "patients": len(images),
            "lesions": len(part),
            "responses": part["label"].sum(),
            "images": images,
        }
    assert "niches" in Explainer(model_path=kept).model["training_data"]
    assert list(served.parent.glob("provenance_*.json"))
    # Fold models belong to the weights that they were trained with, wherever these are kept.
    assert not Explainer(model_path=served).model["calibrated"]
    assert Explainer(model_path=kept).model["calibrated"]


def test_the_stronger_network_is_trained_and_served(folder, store, tmp_path):
    served = served_weights(tmp_path)  # the paper's, until the training is published
    serving = read_settings({"network": "improved", "model": str(served)}).serving("improved")
    table = write_table(tmp_path / "given.csv", folder[1])
    training = Training(tmp_path / "app", served, table, serving, NETWORKS["improved"].training)
    improved = json.loads((BUNDLE / "configs" / "improved.json").read_text())
    assert training.config()["max_epochs"] == improved["max_epochs"]
    result = training({"max_epochs": 3, "folds": 3, "synthetic": True, "publish": True}, store)
    run = tmp_path / "app" / "model" / "runs" / result["run"]
    assert "CellVoteClassifier" in (run / "provenance.json").read_text()
    assert result["held_out"]["n"] == 8
    assert Explainer(serving, served).score is LesionScore.ALL
    with pytest.raises(DataProblem, match="do not fit"):
        Explainer(model_path=served)  # the paper's network does not take them
    assert provenance_of(BUNDLE / "models" / "improved.pt").name == "provenance_improved.json"


def test_weights_that_do_not_fit_are_never_published(trained, app_dir, tmp_path):
    _, result, _ = trained
    run = tmp_path / "run"
    shutil.copytree(app_dir / "model" / "runs" / result["run"], run)
    path = run / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    del state[next(iter(state))]
    torch.save(state, path)
    served = served_weights(tmp_path)
    before = [file.read_bytes() for file in (served, served.with_suffix(".json"))]
    with pytest.raises(DataProblem, match="written for other weights"):
        publish_model(run, served)
    write_pair(path, path.read_bytes(), json.loads(path.with_suffix(".json").read_text()))
    with pytest.raises(DataProblem, match="do not fit"):
        publish_model(run, served)
    assert [file.read_bytes() for file in (served, served.with_suffix(".json"))] == before


def test_a_server_that_trains_in_itself_keeps_its_logging(trained):
    # The training of the fixture ran in this process; the bundle's logging.conf would have silenced it.
    handlers = [type(handler).__name__ for handler in logging.getLogger().handlers]
    assert any("Capture" in name for name in handlers)


def test_masks_lie_where_they_were_drawn(folder, store, tmp_path):
    rows = [row for row in folder[1] if row["image"].startswith("sub-003")]
    image = rows[0]["image"]
    known = {image: read_table(write_table(tmp_path / "t.csv", rows))[image]}
    found = gather(tmp_path / "data", store, known, lambda line: None)
    assert [record.given_label for record in found.records] == [int(row["response"] == "response") for row in rows]
    drawn = nibabel.load(store.get_label_uri(image, "final"))
    for number in (1, 2):
        (path,) = (tmp_path / "data").rglob(f"*label-L{number:02d}_mask.nii.gz")
        mask = nibabel.load(path)
        assert centre(mask, 1) == pytest.approx(centre(drawn, number), abs=1e-3)
        assert np.asarray(mask.dataobj).sum() == (np.asarray(drawn.dataobj) == number).sum()
    (written,) = (tmp_path / "data").rglob("*T1w.nii.gz")
    np.testing.assert_array_equal(nibabel.load(written).dataobj, nibabel.load(store.get_image_uri(image)).dataobj)


def centre(image: nibabel.Nifti1Image, value: int) -> np.ndarray:
    """Centre of a label in RAS mm."""
    index = np.argwhere(np.asarray(image.dataobj) == value).mean(axis=0)
    return nibabel.affines.apply_affine(image.affine, index)


def test_missing_responses_are_named_and_can_be_filled_in(folder, store, tmp_path):
    rows = [dict(row) for row in folder[1]]
    lost = rows.pop(3)
    training = Training(tmp_path, None, write_table(tmp_path / "t.csv", rows))
    with pytest.raises(DataProblem) as error:
        training({"folds": 3}, store)
    text = str(error.value)
    assert lost["roi"] in text
    assert lost["image"] in text
    assert f"model/{TO_FILL_IN}" in text
    assert training.stats() == {"status": "refused", "problem": text}
    to_fill_in = pd.read_csv(tmp_path / "model" / TO_FILL_IN, dtype=str)
    assert to_fill_in[["image", "roi"]].values.tolist() == [[lost["image"], lost["roi"]]]
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_without_any_response_all_lesions_of_the_first_mri_are_listed(tmp_path):
    root = write_toy_dataset(tmp_path / "prepared", patients=2, folds=2)
    with pytest.raises(DataProblem, match=r"the response of 4 lesion\(s\) is missing"):
        Training(tmp_path)({}, FolderDatastore(root))
    table = pd.read_csv(tmp_path / "model" / TO_FILL_IN, dtype=str, keep_default_na=False)
    images = [f"sub-00{number}_ses-01_ce-gadolinium_T1w" for number in (1, 2)]
    assert table[["image", "roi"]].values.tolist() == [[image, roi] for image in images for roi in ("L01", "L02")]
    assert (table["response"] == "").all()


def test_without_any_target_there_is_nothing_to_fill_in(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataProblem, match="there is no image with a target"):
        Training(tmp_path)({}, FolderDatastore(tmp_path / "empty"))


def test_a_filled_in_table_is_found_without_a_setting(folder, store, tmp_path):
    (tmp_path / "model").mkdir()
    write_table(tmp_path / "model" / "responses.csv", [{**row, "response": "1"} for row in folder[1]])
    with pytest.raises(DataProblem, match="all 24 lesions are response"):
        Training(tmp_path)({"folds": 3}, store)


def test_responses_saved_with_the_label_do_as_well(own_store, folder, tmp_path):
    for image in own_store.list_images():
        given = {row["roi"]: row["response"] for row in folder[1] if row["image"] == image}
        own_store.update_label_info(image, "final", {"responses": given})
    known = known_responses(own_store, None)
    assert len(known) == 12
    row = folder[1][5]
    assert known[row["image"]].responses[row["roi"]] == row["response"]
    table = write_table(tmp_path / "t.csv", [{**row, "response": "exclude"}])
    with pytest.raises(DataProblem, match="say different things about 1 of its lesions") as error:
        known_responses(own_store, table)
    own_store.update_label_info(row["image"], "final", {"responses": {"Doe Jane": "maybe", "GTV_1": "1"}})
    with pytest.raises(DataProblem, match="of its 2 responses number 1 is not one that is known") as other:
        known_responses(own_store, None)
    assert not [name for name in ("GTV", "Doe") if name in f"{error.value} {other.value}"]  # names can be persons'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [{**row, "response": "response"} for row in rows], "all 24 lesions are response"),
        (lambda rows: [{**row, "response": "exclude"} for row in rows], "no lesion with a response is left"),
        (lambda rows: [*rows, {"image": "sub-99", "roi": "GTV_1", "response": "1"}], "not in the datastore"),
        (lambda rows: [*rows, {**rows[0], "roi": "GTV_9"}], "a response is given for 'GTV_9'"),
        (lambda rows: [*rows, {**rows[0]}], "listed twice"),
        (lambda rows: [*rows[1:], {**rows[0], "response": "maybe"}], "not one that is known"),
        (lambda rows: [{"image": row["image"], "roi": row["roi"]} for row in rows], "has no column response"),
    ],
    ids=["one-class", "all-excluded", "unknown-image", "unknown-roi", "twice", "unknown-word", "no-column"],
)
def test_a_table_that_cannot_be_learned_from_is_refused(folder, store, tmp_path, change, message):
    training = Training(tmp_path, None, write_table(tmp_path / "t.csv", change([dict(row) for row in folder[1]])))
    with pytest.raises(DataProblem, match=message):
        training({"folds": 3}, store)
    assert not (tmp_path / "model" / "runs" / ".work").exists()


def test_fewer_patients_than_folds_are_refused(folder, store, tmp_path):
    rows = [{**row, "response": row["response"] if row["image"][:7] <= "sub-004" else "exclude"} for row in folder[1]]
    with pytest.raises(DataProblem, match="4 patient"):
        Training(tmp_path, None, write_table(tmp_path / "t.csv", rows))({"folds": 5}, store)


def test_a_later_session_is_left_out_and_told(own_store, folder, tmp_path, capsys):
    image = next(name for name in own_store.list_images() if name.startswith("sub-005"))
    path = Path(own_store.get_image_uri(image))
    path.rename(path.with_name(path.name.replace("_ses-01", "_ses-03")))
    later = image.replace("_ses-01", "_ses-03")
    own_store.refresh()
    rows = [{**row, "image": later} if row["image"] == image else {**row, "response": "exclude"} for row in folder[1]]
    known = {later: read_table(write_table(tmp_path / "t.csv", rows))[later]}
    gathered = gather(tmp_path / "data", own_store, known, print)
    assert (gathered.records, gathered.left_out) == ([], {later: NotFirst.NAMED})
    assert "left out: 1 image(s) of a later session by name" in capsys.readouterr().out
    with pytest.raises(
        DataProblem, match=r"no lesion .* is left \(left out: 1 image\(s\) of a later session by name\)"
    ):
        Training(tmp_path, None, tmp_path / "t.csv")({"folds": 2}, own_store)


def test_two_images_of_one_patient_are_refused(own_store, folder, tmp_path):
    rows = [{**row, "subject": "one" if row["image"][:7] < "sub-003" else row["image"]} for row in folder[1]]
    with pytest.raises(DataProblem, match="same patient as image sub-001"):
        Training(tmp_path, None, write_table(tmp_path / "t.csv", rows))({"folds": 3}, own_store)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_epochs": 0},
        {"max_epochs": True},
        {"max_epochs": "many"},
        {"max_epochs": 3.5},
        {"folds": 1},
        {"fold": 5},
        {"seed": -1},
        {"publish": "perhaps"},
        {"name": ""},
        {"name": "a" * 65},
        {"name": {"a": 1}},
        {"epochs": 3},
        {"dataset_dir": "elsewhere"},
        {"train#trainer#max_epochs": 1},
    ],
    ids=str,
)
def test_parameters_are_checked(wrong, store, tmp_path):
    with pytest.raises(DataProblem, match=next(iter(wrong))):
        parse_options(wrong)
    with pytest.raises(DataProblem):
        Training(tmp_path)({"model": "pulsar_response", **wrong}, store)
    assert not list(tmp_path.iterdir())


def test_the_defaults_are_the_configs():
    train = json.loads((BUNDLE / "configs" / "train.json").read_text())
    assert parse_options({"model": "pulsar_response", "device": "cuda"}).max_epochs == train["max_epochs"]
    assert parse_options(Training(Path()).config()) == parse_options({})  # Slicer sends back what it was shown


def test_a_second_training_waits(folder, store, tmp_path):
    training = Training(tmp_path, None, write_table(tmp_path / "t.csv", folder[1]))
    (tmp_path / "model" / "runs" / ".work").mkdir(parents=True)
    with FileLock(tmp_path / "model" / "runs" / ".lock"):
        with pytest.raises(Busy):
            training.check({})
        with pytest.raises(Busy):
            training({}, store)
    training.check({})


def test_what_a_killed_training_left_is_removed(tmp_path):
    work = tmp_path / "model" / "runs" / ".work" / "dataset"
    work.mkdir(parents=True)
    (work / "image.nii.gz").write_bytes(b"of a patient")
    note = tmp_path / "model" / "runs" / "last.json"
    note.write_text('{"status": "running", "epoch": 0, "total_epochs": 9}')
    with FileLock(tmp_path / "model" / "runs" / ".lock"):
        assert Training(tmp_path).stats()["status"] == "running"  # it is still at work
        assert work.exists()
    assert Training(tmp_path).stats() == {"status": "stopped", "total_epochs": 9}
    assert not work.exists()


# --- patients ---


def test_patients_of_dicom_are_told_apart_without_being_named(tmp_path, capsys):
    sources = {}
    for uid, patient in (("1", "SECRET-1"), ("2", "SECRET-2"), ("3", "SECRET-1")):
        image = Volume(np.arange(600, dtype=np.float32).reshape(10, 12, 5), np.diag([1.0, 1.0, 2.0, 1.0]))
        study = StudyIds(f"1.2.3.{uid}", "20200131", "MR head")
        write_series(
            image,
            tmp_path / uid,
            patient=PatientIds(patient, "Doe^Jane", "19500102", "F"),
            study=study,
            series_uid=f"1.2.3.4.{uid}",
            frame_uid="1.2.3.5",
        )
        source = read_mr_source(tmp_path / uid)
        sources[uid] = Study(f"1.2.3.4.{uid}", source.volume, source, (), (), (), uid)
    keys = {uid: patient_key(study, "") for uid, study in sources.items()}
    assert keys["1"] == keys["3"] != keys["2"]
    assert "SECRET" not in "".join(keys.values())
    assert patient_key(sources["1"], "A") != keys["1"]


@pytest.mark.parametrize(
    ("image", "key"), [("sub-007_T1w", "BIDS 007"), ("sub-A1_ses-01_T1w", "BIDS A1"), ("scan_12", None)]
)
def test_patients_of_nifti_are_told_apart_by_their_bids_name(image, key):
    study = Study(image, Volume(np.zeros((2, 2, 2)), np.eye(4)), None, (), (), (), image)
    if key:
        assert patient_key(study, "") == key
    else:
        with pytest.raises(DataProblem, match="give the column 'subject'"):
            patient_key(study, "")


def test_answers_of_a_table(tmp_path):
    text = "image,roi,response,note\na.nii.gz,GTV_1,1,x\na,GTV_2, Non-Response ,\nb,,exclude,\nb,GTV_3,,\n"
    (tmp_path / "t.csv").write_text(text)
    known = read_table(tmp_path / "t.csv")
    assert known["a"].responses == {"GTV_1": Answer.RESPONSE, "GTV_2": Answer.NON_RESPONSE}
    assert known["b"].of("anything", only_one=True) is Answer.EXCLUDE
    assert known["b"].of("anything", only_one=False) is None
