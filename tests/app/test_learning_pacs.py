"""Training, batch inference and the next sample on a real PACS: patients are told apart and never named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from learning_case import write_table
from monailabel.config import settings
from orthanc_server import OrthancServer
from pacs_case import send, write_study
from pulsar_app.learning.batch import BatchInference
from pulsar_app.learning.strategy import Uncertainty
from pulsar_app.learning.training import Training
from pulsar_app.studies.datastore import PacsDatastore, open_datastore
from treatment_response.dicom.write import PatientIds
from treatment_response.problems import DataProblem

MODEL = {"sha256": "0123456789abcdef", "training_data": None, "calibrated": False}
PATIENTS = [PatientIds(f"SECRET-{n}", f"Hidden^Person{n}", f"194001{n:02d}", "F") for n in range(1, 5)]
PERSONAL = [text for one in PATIENTS for text in (one.patient_id, one.name, one.birth_date)]


@pytest.fixture(scope="module")
def images(orthanc: OrthancServer, tmp_path_factory) -> list[str]:
    """One MR with two GTVs per patient, and as the last image a second one of the first patient."""
    folder = tmp_path_factory.mktemp("learning")
    found = []
    for number, patient in enumerate([*PATIENTS, PATIENTS[0]], start=1):
        found.append(write_study(folder / str(number), f"learning {number}", patient)[1])
    send(folder, orthanc.dicomweb)
    return found


@pytest.fixture(scope="module")
def pacs(orthanc: OrthancServer, images, tmp_path_factory) -> Iterator[PacsDatastore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path_factory.mktemp("cache")))
        yield open_datastore(orthanc.dicomweb)


def rows(images: list[str]) -> list[dict[str, str]]:
    return [
        {"image": image, "roi": roi, "response": str((number + (roi == "GTV_2")) % 2)}
        for number, image in enumerate(images)
        for roi in ("GTV_1", "GTV_2")
    ]


def test_training_learns_from_structure_sets_and_names_nobody(pacs, images, tmp_path, capfd):
    table = write_table(tmp_path / "responses.csv", rows(images[:4]))
    result = Training(tmp_path, None, table)({"max_epochs": 2, "folds": 2}, pacs)
    assert (result["lesions"], result["patients"], result["responses"]) == (8, 4, 4)
    assert "own data (real)" in result["notice"]
    told = "".join(capfd.readouterr())
    written = "".join(
        f"{path} {path.read_bytes().decode('latin1')}" for path in (tmp_path / "model").rglob("*") if path.is_file()
    )
    assert "epoch 2 of 2" in told
    assert not [text for text in PERSONAL if text in told + written]
    assert not [image for image in images if image in written]  # UIDs lead to patients


def test_a_second_mr_of_a_patient_is_refused(pacs, images, tmp_path):
    training = Training(tmp_path, None, write_table(tmp_path / "responses.csv", rows(images)))
    with pytest.raises(DataProblem, match=f"same patient as image ({images[0]}|{images[4]})") as error:
        training({"max_epochs": 2, "folds": 2}, pacs)
    assert not [text for text in PERSONAL if text in str(error.value)]


def test_the_next_sample_and_a_batch_name_nobody(pacs, images, tmp_path):
    strategy = Uncertainty(tmp_path, lambda: MODEL["sha256"], lambda store, image: [0.5 if image == images[2] else 0.9])
    sample = strategy({"strategy": "uncertainty"}, pacs)
    assert sample["id"] == images[2]

    def infer(request: dict, store: PacsDatastore) -> dict:
        assert store.open_image(request["image"])
        return {"label": "", "file": "", "params": {"lesions": [], "message": "none"}}

    result = BatchInference(tmp_path, lambda: MODEL)({"model": "pulsar_response", "images": images}, pacs, infer)
    assert result["without_target"] == sorted(images)
    said = f"{sample} {result} {pacs.get_image_info(images[2])}"
    said += "".join(path.read_text() for path in tmp_path.rglob("*.*") if path.is_file())
    assert not [text for text in PERSONAL if text in said]
