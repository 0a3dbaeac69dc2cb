"""What the answer's message says of boost regions, of a label that was sent, and of how to give a GTV."""

from __future__ import annotations

import pytest
from phantom_case import LESIONS, ball, head, write_label
from pulsar_app.prediction.answer import _message
from pulsar_app.prediction.case_answer import input_warnings
from pulsar_app.studies.folder_datastore import FolderDatastore
from pulsar_app.studies.search import FoundInput
from pulsar_app.studies.study import find
from treatment_response.cohort.layout import write_volume

LESION = {"roi": "GTV 1", "p_response": 0.2, "class": "non-response", "certainty": {"calibrated": False}}


@pytest.fixture
def datastore(tmp_path):
    write_volume(tmp_path / "studies" / "mr_ce-gadolinium_T1w.nii.gz", head())
    return FolderDatastore(tmp_path / "studies")


def saved(datastore, path):
    datastore.save_label("mr_ce-gadolinium_T1w", str(path), "final", {})


def test_a_drawing_that_is_only_listed_is_said_and_how_to_use_it(datastore, tmp_path):
    one, two = (ball(*LESIONS[name]) for name in ("GTV_1", "GTV_2"))
    saved(datastore, write_label(tmp_path / "saved.nii.gz", one))
    sent = write_label(tmp_path / "sent.nii.gz", one & False, two)
    study = find(datastore, "mr_ce-gadolinium_T1w", sent)
    assert "was not used" in _message(study, [LESION], [], [])
    assert "rois: 'label 2'" in _message(study, [LESION], [], [])
    assert find(datastore, "mr_ce-gadolinium_T1w", sent, ["label 2"]).sent == ""
    assert find(datastore, "mr_ce-gadolinium_T1w").sent == ""


def test_an_empty_label_is_said_and_one_that_is_predicted_is_not(datastore, tmp_path):
    one = ball(*LESIONS["GTV_1"])
    empty = find(datastore, "mr_ce-gadolinium_T1w", write_label(tmp_path / "empty.nii.gz", one & False))
    assert "label that was sent is empty" in _message(empty, [], [], [])
    assert find(datastore, "mr_ce-gadolinium_T1w", write_label(tmp_path / "sent.nii.gz", one)).sent == ""


def test_a_folder_of_files_is_not_asked_for_dicom_objects(datastore):
    message = _message(find(datastore, "mr_ce-gadolinium_T1w"), [], [], [])
    assert message.startswith("There is no GTV for this MR: give one: save a label")
    assert "RTSTRUCT" not in message


def test_a_calibrated_answer_tells_its_set(datastore):
    study = find(datastore, "mr_ce-gadolinium_T1w")
    certainty = {"calibrated": True, "set_text": "undecided", "level": 0.9}
    assert "(non-response, undecided at 90 %)" in _message(study, [{**LESION, "certainty": certainty}], [], [])
    assert "(non-response)" in _message(study, [LESION], [], [])


@pytest.mark.parametrize(("volume", "said"), [(0.0, "boost region empty"), (12.5, "boost region 12.5 mm³")])
def test_each_boost_regions_volume_is_said(datastore, volume, said):
    study = find(datastore, "mr_ce-gadolinium_T1w")
    assert said in _message(study, [{**LESION, "boost_mm3": volume}], [], [])
    assert "boost" not in _message(study, [LESION], [], [])


def test_what_is_wrong_with_several_inputs_is_said_once():
    """Both studies of a pair are put on the atlas together, so each of its sequences brings all warnings of both."""
    inputs = {
        "T1": FoundInput(head(), "T1", ("the earlier study is doubtful", "T1 is doubtful")),
        "FLAIR": FoundInput(head(), "FLAIR", ("the earlier study is doubtful", "FLAIR is doubtful")),
    }
    assert input_warnings(inputs) == ["the earlier study is doubtful", "T1 is doubtful", "FLAIR is doubtful"]
