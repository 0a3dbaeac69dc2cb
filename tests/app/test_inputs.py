"""The volumes that a model declares: found around an image in a PACS and in a folder, or told to be missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monailabel.config import settings
from pacs_case import send, write_study
from patient_case import DAYS, FRACTIONS, PATIENT, PEAK_GY, SPOT_MM, marked_head, motion, write_patient
from phantom_case import affine, head
from planted_head import planted_head
from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore, open_datastore
from pulsar_app.studies.inputs import FINDERS, check_finders, find_inputs
from pulsar_app.studies.search import Search
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry import Volume
from treatment_response.inference.declared_inputs import DeclaredInput, declared_inputs
from treatment_response.problems import DataProblem
from treatment_response.progress import told_to

INPUTS = {
    "now": DeclaredInput("this series"),
    "before": DeclaredInput("earlier contrast T1"),
    "dose": DeclaredInput("dose of finished courses"),
    "eqd2": DeclaredInput("EQD2 of finished courses"),
}
ALONE = PatientIds("SYN-072", "SYNTHETIC^072", "19500103", "M")


@pytest.fixture(scope="module")
def pacs(orthanc, tmp_path_factory: pytest.TempPathFactory) -> tuple[PacsDatastore, dict[str, str]]:
    folder = tmp_path_factory.mktemp("patient")
    images = {"now": write_patient(folder / "many")[1], "alone": write_study(folder / "one", "alone", ALONE, ())[1]}
    send(folder, orthanc.dicomweb)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(folder / "cache"))
        store = open_datastore(orthanc.dicomweb)
    assert isinstance(store, PacsDatastore)
    return store, images


def search(store: PacsDatastore | FolderDatastore, image: str, cache: Path) -> Search:
    return Search(store, store.open_image(image), cache)


def middle(volume: Volume, above: float) -> np.ndarray:
    """Centre of mass in RAS mm of what is above a value."""
    weights = np.where(volume.array > above, volume.array, 0)
    index = np.argwhere(weights > 0)
    return np.average(volume.to_world(index), axis=0, weights=weights[tuple(index.T)])


def test_the_earlier_mr_and_the_finished_dose_come_onto_the_image_in_millimetres(pacs, tmp_path):
    store, images = pacs
    stages: list[str] = []
    with told_to(lambda stage, share: stages.append(stage)):
        found = find_inputs(search(store, images["now"], tmp_path), INPUTS)
    assert [one.told for one in found.values()] == [
        "this series",
        f"contrast T1 of {DAYS} days before, registered",
        "physical dose of 1 finished course",
        "EQD2 (alpha/beta 2 Gy) of 1 finished course",
    ]
    assert {one.volume.array.shape for one in found.values()} == {head().array.shape}
    np.testing.assert_allclose(found["dose"].volume.affine, affine(), atol=1e-3)
    dose = found["dose"].volume
    assert dose.array.max() == pytest.approx(PEAK_GY, rel=0.05)
    np.testing.assert_allclose(middle(dose, PEAK_GY / 2), SPOT_MM, atol=0.7)
    equivalent = PEAK_GY * (PEAK_GY / FRACTIONS + 2) / 4
    assert found["eqd2"].volume.array.max() == pytest.approx(equivalent, rel=0.08)
    assert any("there are no treatment records" in warning for warning in found["eqd2"].warnings)
    unmoved = middle(Volume(marked_head(3), motion() @ affine()), 700)
    assert np.linalg.norm(unmoved - middle(head(), 700)) > 5  # the head lay elsewhere
    np.testing.assert_allclose(middle(found["before"].volume, 700), middle(head(), 700), atol=0.7)
    assert "registering" in stages
    assert len(list(tmp_path.glob("*.json"))) == 1  # one pair of images, registered once for MR and dose


def test_every_input_that_is_missing_is_named_with_what_to_do(pacs, tmp_path):
    store, images = pacs
    with pytest.raises(DataProblem) as raised:
        find_inputs(search(store, images["alone"], tmp_path), INPUTS)
    before, dose, _ = str(raised.value).splitlines()
    assert before.startswith("input 'before': study: none of 0 earlier studies has exactly one series")
    assert dose.startswith("input 'dose': dose: no course was over before this study; export dose and plan")
    assert PATIENT.patient_id not in str(raised.value)


def test_a_folder_has_the_session_before_and_no_doses(tmp_path):
    for session in (1, 2, 3):
        write_volume(tmp_path / f"sub-001_ses-0{session}_ce-gadolinium_T1w.nii.gz", head(session))
    write_volume(tmp_path / "sub-002_ses-01_ce-gadolinium_T1w.nii.gz", head(9))
    store = FolderDatastore(tmp_path)
    cache = tmp_path / "registrations"
    earlier, session = store.earlier_contrast_t1("sub-001_ses-03_ce-gadolinium_T1w")
    assert session == "ses-02"
    np.testing.assert_array_equal(earlier.array, head(2).array)
    for image, wanted, words in (
        ("sub-002_ses-01_ce-gadolinium_T1w", "before", "no earlier session of the subject has a contrast image"),
        ("sub-002_ses-01_ce-gadolinium_T1w", "dose", "doses are found in a PACS or in a prepared data set only"),
    ):
        with pytest.raises(DataProblem, match=words):
            find_inputs(search(store, image, cache), {wanted: INPUTS[wanted]})


def test_the_brain_of_an_image_is_found_once(tmp_path):
    image, truth = planted_head()
    write_volume(tmp_path / "head.nii.gz", image)
    wanted = {"brain": DeclaredInput("brain of this series")}
    times = set()
    for _ in range(2):
        found = find_inputs(search(FolderDatastore(tmp_path), "head", tmp_path / "cache"), wanted)["brain"]
        mask = found.volume.array > 0
        assert 2 * (mask & (truth.array > 0)).sum() > 0.975 * (mask.sum() + truth.array.sum())
        assert (found.told, found.warnings) == ("brain by the brain template", ())
        (file,) = (tmp_path / "cache").iterdir()
        times.add(file.stat().st_mtime_ns)
    assert len(times) == 1


def test_an_image_of_a_prepared_data_set_brings_the_images_of_its_case(tmp_path):
    name = "sub-001_ses-01_ce-gadolinium_T1w"
    images = {"now": f"sub-001/ses-01/anat/{name}.nii.gz", "dose": "derivatives/dose/sub-001/ses-01/dose.nii.gz"}
    for seed, path in enumerate(images.values()):
        write_volume(tmp_path / path, head(seed))
    case = {"subject": "sub-001", "case": "c1", "label": 0, "fold": 0, "images": images}
    outside = {**case, "images": {"now": images["now"], "dose": "../dose.nii.gz"}}
    for listed, told in (([case], "the prepared data set"), ([outside], None)):
        (tmp_path / "dataset.json").write_text(json.dumps({"name": "x", "synthetic": True, "training": listed}))
        asked = search(FolderDatastore(tmp_path), name, tmp_path)
        if told is None:  # the list is a file from outside
            with pytest.raises(DataProblem, match="doses are found in a PACS or in a prepared data set only"):
                find_inputs(asked, {"dose": INPUTS["dose"]})
            continue
        found = find_inputs(asked, {one: INPUTS[one] for one in images})
        assert {one.told for one in found.values()} == {told}
        np.testing.assert_array_equal(found["dose"].volume.array, head(1).array)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "'inputs' names no volume"),
        ({"t1": "this series"}, "'inputs' says of t1 not how to find it"),
        ({"T 1": {"find": "this series"}}, "'inputs' has the name 'T 1'"),
        ({"t1": {"find": "somewhere"}}, "'inputs' finds t1 by 'somewhere', which is none; use 'this series' or"),
    ],
)
def test_a_wrong_declaration_is_one_sentence(given, words):
    with pytest.raises(DataProblem, match=words):
        check_finders(declared_inputs(given), FINDERS)
