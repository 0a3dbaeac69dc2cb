"""Training, batch inference and the next sample on a real PACS: patients are told apart and never named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from learning_case import write_table
from monailabel.config import settings
from orthanc_server import OrthancServer
from pacs_case import send, write_study
from pulsar_app.learning.batch import BatchInference
from pulsar_app.learning.random_sample import RandomSample
from pulsar_app.learning.selection import image_hash
from pulsar_app.learning.strategy import Uncertainty
from pulsar_app.learning.training import Training
from pulsar_app.studies.datastore import PacsDatastore, open_datastore
from pulsar_app.studies.first_mri import NotFirst
from treatment_response.dicom.write import PatientIds, StudyIds, write_plan
from treatment_response.dicom.write.base import derived_uid
from treatment_response.problems import DataProblem

MODEL = {"sha256": "0123456789abcdef", "training_data": None, "calibrated": False, "synthetic": None}
PATIENTS = [PatientIds(f"SECRET-{n}", f"Hidden^Person{n}", f"194001{n:02d}", "F") for n in range(1, 5)]
TREATED = PatientIds("SECRET-5", "Hidden^Person5", "19400105", "F")
PERSONAL = [text for one in [*PATIENTS, TREATED] for text in (one.patient_id, one.name, one.birth_date)]


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
def follow_ups(orthanc: OrthancServer, images, tmp_path_factory) -> dict[str, NotFirst]:
    """MRs with GTVs that are no MRI 1, and why: one of a patient of `images`, and one after a plan."""
    folder = tmp_path_factory.mktemp("follow-ups")
    later = write_study(folder / "later", "learning later", PATIENTS[1], date="20200207")[1]
    treated = write_study(folder / "treated", "learning treated", TREATED, date="20200430")[1]
    plan = StudyIds(derived_uid("learning plan"), "20200228", "CT head")
    write_plan(
        folder / "plan.dcm",
        prescription_gy=24.0,
        structure_set_uid=derived_uid("learning structures"),
        frame_uid=derived_uid("learning frame"),
        patient=TREATED,
        study=plan,
    )
    send(folder, orthanc.dicomweb)
    return {later: NotFirst.LATER, treated: NotFirst.TREATED}


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


def test_training_learns_from_first_mris_says_so_and_names_nobody(pacs, images, follow_ups, tmp_path, capfd):
    table = write_table(tmp_path / "responses.csv", rows([*images[:4], *follow_ups]))
    result = Training(tmp_path, None, table)({"max_epochs": 2, "folds": 2}, pacs)
    assert (result["lesions"], result["patients"], result["responses"]) == (8, 4, 4)
    assert "own data (real)" in result["notice"]
    told = "".join(capfd.readouterr())
    written = "".join(
        f"{path} {path.read_bytes().decode('latin1')}" for path in (tmp_path / "model").rglob("*") if path.is_file()
    )
    assert "epoch 2 of 2" in told
    selection = json.loads(next((tmp_path / "model" / "runs").glob("*/provenance.json")).read_text())["selection"]
    parts = [selection["trained_on"], selection["held_out"]]
    assert sorted(parts[0]["images"] + parts[1]["images"]) == sorted(map(image_hash, images[:4]))
    assert [(part["patients"], part["lesions"], part["responses"]) for part in parts] == [(2, 4, 2)] * 2
    assert selection["left_out"] == {reason: [image_hash(image)] for image, reason in follow_ups.items()}
    for kind, part in (("trained on", parts[0]), ("held out", parts[1])):
        numbers = "4 lesions of 2 patients, 2 of them responses"
        assert f"{kind}: {numbers}; images {' '.join(part['images'])}" in told
    for image, reason in follow_ups.items():
        assert f"left out: 1 image(s) {reason}: {image_hash(image)}" in told
    assert not [text for text in PERSONAL if text in told + written]
    assert not [image for image in [*images, *follow_ups] if image in written]  # UIDs lead to patients


def test_a_follow_up_is_never_the_next_sample(pacs, images, follow_ups, tmp_path):
    assert {
        image: reason for image, reason in pacs.not_first().items() if image in [*images, *follow_ups]
    } == follow_ups
    strategy = Uncertainty(
        tmp_path, lambda: MODEL["sha256"], lambda store, image: [0.5 if image in follow_ups else 0.9]
    )
    sample = strategy({"strategy": "uncertainty"}, pacs)
    assert sample["uncertainty"] < 1
    assert all(sample["left_out"][reason] >= 1 for reason in follow_ups.values())


@pytest.mark.parametrize(("patient", "offered"), [(1, [1]), (4, [])], ids=["followed up", "treated"])
def test_a_random_sample_is_no_follow_up(pacs, images, follow_ups, tmp_path, patient, offered):
    one_patient = {"Modality": "MR", "PatientID": f"SECRET-{patient + 1}"}
    store = PacsDatastore(pacs._client, one_patient, tmp_path)
    assert len(store.list_images()) == len(offered) + 1
    samples = [RandomSample()({"strategy": "random"}, store) for _ in range(5)]
    assert {sample.get("id") for sample in samples} == ({images[number] for number in offered} or {None})
    assert all(
        sample["message"].endswith(f"Left out: 1 {list(follow_ups.values())[not offered]}.") for sample in samples
    )


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

    result = BatchInference(tmp_path, {"pulsar_response": lambda: MODEL})(
        {"model": "pulsar_response", "images": images}, pacs, infer
    )
    assert result["without_target"] == sorted(images)
    said = f"{sample} {result} {pacs.get_image_info(images[2])}"
    said += "".join(path.read_text() for path in tmp_path.rglob("*.*") if path.is_file())
    assert not [text for text in PERSONAL if text in said]
