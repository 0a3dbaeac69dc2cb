"""Active learning: the image that the model is least sure of comes first, those without a target last."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_case import write_folder
from pulsar_app.learning.random_sample import RandomSample
from pulsar_app.learning.scores import LesionScores
from pulsar_app.learning.strategy import Uncertainty, entropy
from pulsar_app.studies.datastore import FolderDatastore
from treatment_response.problems import DataProblem, Problem

MODEL = "0123456789abcdef"
# Mean entropies: 0.47, 1.0, 0.72, no target, unreadable.
PLANTED = {"sub-001": [0.9], "sub-002": [0.5, 0.5], "sub-003": [0.2], "sub-004": [], "sub-005": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clinic") / "studies"
    write_folder(root, patients=5)
    store = FolderDatastore(root)
    for image in store.list_images():
        store.remove_label(image, "final")
    return root


@pytest.fixture
def store(folder, tmp_path) -> FolderDatastore:
    return FolderDatastore(Path(shutil.copytree(folder, tmp_path / "studies")))


class Planted:
    """Scores that are known, and which images were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, datastore: FolderDatastore, image_id: str) -> list[float]:
        self.asked.append(image_id[:7])
        scores = PLANTED[image_id[:7]]
        if scores is None:
            raise DataProblem(Problem("image", "the file is damaged", "export it again"))
        return scores


def served(store: FolderDatastore, strategy: Uncertainty) -> dict:
    """Ask, and note what was given out, as the server does."""
    sample = strategy({"strategy": "uncertainty", "client_id": "me"}, store)
    store.update_image_info(sample["id"], {"strategy": {"uncertainty": {"ts": int(time.time())}}})
    return sample


def test_the_least_sure_image_comes_first(store, tmp_path):
    strategy = Uncertainty(tmp_path, lambda: MODEL, Planted())
    sample = strategy({"strategy": "uncertainty"}, store)
    assert sample["id"].startswith("sub-002")
    assert sample["uncertainty"] == 1.0
    assert (sample["lesions"], sample["scored"], sample["images"]) == (2, 3, 5)


def rename(store: FolderDatastore, subject: str, session: str) -> None:
    """Give the subject's only image another session."""
    (path,) = (Path(store.get_image_uri(image)) for image in store.list_images() if image.startswith(subject))
    path.rename(path.with_name(path.name.replace("_ses-01", session)))
    store.refresh()


def test_a_later_session_is_never_chosen_and_counted(store, tmp_path):
    for subject in ("sub-001", "sub-002", "sub-003", "sub-004"):
        rename(store, subject, "_ses-03")
    planted = Planted()
    for strategy in (Uncertainty(tmp_path, lambda: MODEL, planted), RandomSample()):
        sample = strategy({}, store)
        assert sample["id"].startswith("sub-005")
        assert sample["left_out"] == {"of a later session by name": 4}
        assert "Left out: 4 of a later session by name." in sample["message"]
    assert planted.asked == ["sub-005"]
    rename(store, "sub-005", "_ses-2")
    for strategy in (Uncertainty(tmp_path, lambda: MODEL, planted), RandomSample()):
        sample = strategy({}, store)
        assert "id" not in sample
        assert "5 of a later session" in sample["message"]


def test_a_random_sample_is_any_image_that_can_be_read_and_has_no_label(store, tmp_path):
    images = store.list_images()
    Path(store.get_image_uri(images[0])).write_bytes(b"damaged")
    label = tmp_path / "label.nii.gz"
    shutil.copy2(store.get_image_uri(images[1]), label)
    write_zeros(label)
    store.save_label(images[1], str(label), "final", {})
    strategy, found = RandomSample(), []
    for _ in range(3):
        sample = strategy({"strategy": "random", "client_id": "me"}, store)
        found.append(sample["id"])
        store.update_image_info(sample["id"], {"strategy": {"random": {"ts": int(time.time()) + len(found)}}})
    assert sorted(found) == images[2:]
    assert strategy({"strategy": "random"}, store)["id"] == found[0]  # the one that was given out longest ago
    with pytest.raises(DataProblem, match="seconds"):
        strategy({"seconds": 3}, store)


def test_asking_again_leads_on_and_what_cannot_be_used_comes_last(store, tmp_path):
    strategy = Uncertainty(tmp_path, lambda: MODEL, Planted())
    samples = []
    for _ in range(5):
        sample = served(store, strategy)
        samples.append(sample)
        # Whoever saves a final label takes the image off the list.
        label = tmp_path / "label.nii.gz"
        shutil.copy2(store.get_image_uri(sample["id"]), label)
        write_zeros(label)
        store.save_label(sample["id"], str(label), "final", {})
    assert [sample["id"][:7] for sample in samples] == ["sub-002", "sub-003", "sub-001", "sub-004", "sub-005"]
    assert "draw the GTV" in samples[3]["message"]
    assert "the file is damaged" in samples[4]["message"]
    assert strategy({"strategy": "uncertainty"}, store) == {}


def write_zeros(path: Path) -> None:
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)


def test_without_an_answer_the_next_one_is_given(store, tmp_path):
    strategy = Uncertainty(tmp_path, lambda: MODEL, Planted())
    found = []
    for _ in range(3):
        found.append(served(store, strategy)["id"][:7])
    assert found == ["sub-002", "sub-003", "sub-001"]


def test_scores_are_kept_per_image_and_model(store, tmp_path):
    first = Planted()
    Uncertainty(tmp_path, lambda: MODEL, first)({}, store)
    assert len(first.asked) == 5
    again = Planted()
    Uncertainty(tmp_path, lambda: MODEL, again)({}, store)
    assert again.asked == ["sub-004", "sub-005"]  # what has no score is looked at again by a new server
    other = Planted()
    Uncertainty(tmp_path, lambda: "another model", other)({}, store)
    assert len(other.asked) == 5


def test_scores_of_batch_inference_are_used(store, tmp_path):
    scores = LesionScores(tmp_path, MODEL)
    for image in store.list_images():
        scores.put(image, "", [0.99 if image.startswith("sub-002") else 0.6])
    planted = Planted()
    sample = Uncertainty(tmp_path, lambda: MODEL, planted)({}, store)
    assert planted.asked == []
    assert not sample["id"].startswith("sub-002")


def test_a_request_scores_for_a_limited_time(store, tmp_path):
    def slow(datastore: FolderDatastore, image_id: str) -> list[float]:
        time.sleep(0.6)
        return [0.5]

    sample = Uncertainty(tmp_path, lambda: MODEL, slow)({"seconds": 1}, store)
    assert sample["scored"] == 2


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": "many"}, {"seconds": True}, {"k": 3}], ids=str)
def test_parameters_are_checked(wrong, store, tmp_path):
    with pytest.raises(DataProblem, match=next(iter(wrong))):
        Uncertainty(tmp_path, lambda: MODEL, Planted())(wrong, store)


@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_highest_at_a_half(p):
    assert 0 <= entropy(p) <= 1 + 1e-12
    assert math.isclose(entropy(p), entropy(1 - p), abs_tol=1e-9)
    assert entropy(p) <= entropy(0.5) == 1
