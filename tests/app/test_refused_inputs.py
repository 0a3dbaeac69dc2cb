"""What RICE-NET's inputs in a PACS can lack: one sentence each, before anything is registered if it can be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from event_case import EVENT_DAY, Hospital, change, planned_dose
from monailabel.config import settings
from pacs_case import send
from pulsar_app.server.problems import Unavailable
from pulsar_app.studies.datastore import PacsDatastore, open_datastore
from pulsar_app.studies.inputs import FINDERS, LOOKS, find
from pulsar_app.studies.missing_inputs import MissingInputs
from pulsar_app.studies.search import Search
from pulsar_app.studies.sheets import check_sheet, filled_sheet
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import LEAST_REACHED
from treatment_response.inference.declared_inputs import declared_inputs
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms import RefuseElsewhered

OVERLAY = json.loads((Path(bundle_root()) / "configs" / "rice_net.json").read_text())
INPUTS = declared_inputs(OVERLAY["inputs"])
FLAT = Volume(np.full((12, 12, 12), 300, np.int16), np.diag([8.0, 8, 8, 1]))
UNLIKE = Volume(np.random.default_rng(7).random((12, 12, 12)) * 900, FLAT.affine)
FAR = Volume(planned_dose().array, planned_dose().affine + np.eye(4)[3] * [[2000], [0], [0], [0]])
CENTIGRAY = Volume(planned_dose().array * 100, planned_dose().affine)
FOLLOW_UP_DAY = 200
PATIENTS: dict[str, dict[str, Any]] = {
    "good": {"follow_up_day": FOLLOW_UP_DAY},
    "frame": {"dose_frame": "nowhere"},
    "cgy": {"dose": CENTIGRAY},
    "fractions": {"fractions": None},
    "later": {"event_day": 10},
    "plain": {"contrast": False},
    "silent": {"contrast": False},
    "unlike": {"event": UNLIKE},
    "far": {"dose": FAR, "dose_frame": "event"},
    "flat": {"event": FLAT},
}
QUICKLY = {
    "good": "",
    "frame": "input 'dose': dose: it lies in a frame of reference in which the patient has no MR; export the MR",
    "cgy": "input 'dose': dose: reaches 6237 Gy, expected at most 500 (are its values in cGy?); export it in Gy.",
    "fractions": "input 'dose': dose: the number of fractions is not known, so EQD2 cannot be computed; export the",
    "later": "input 'dose': dose: no course was over before this study (1 came later); export dose and plan",
    "plain": "input 'event': this contrast T1: the image's headers say that no contrast was given, and the model needs",
    "far": "",
    "silent": "",
}


def study(name: str) -> str:
    """UID of a patient's study of the event."""
    return derived_uid(f"SYN-{name}", "event")


class Questions:
    """How often an archive's server was asked for objects, for headers, and what there is."""

    def __init__(self, store: PacsDatastore) -> None:
        self.objects = self.headers = self.searches = 0
        store._pacs.client._session.hooks["response"].append(self._count)

    def _count(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        if answer.headers["Content-Type"].startswith("multipart"):
            self.objects += 1
        elif answer.url.endswith("/metadata"):
            self.headers += 1
        else:
            self.searches += 1


@dataclass(frozen=True)
class Archive:
    store: PacsDatastore
    cache: Path

    def search(self, name: str) -> Search:
        return Search(self.store, self.store.open_image(derived_uid(f"SYN-{name}", "event", "series")), self.cache)


@pytest.fixture(scope="module")
def archive(orthanc, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("refused")
    hospital = Hospital(folder / "dicom")
    for name, faults in PATIENTS.items():
        written = hospital.patient(name, images=False, **faults)
        if name == "plain":
            for file in (written / "event").glob("*.dcm"):
                change(file, lambda image: setattr(image, "ContrastBolusAgent", "NONE"))
    send(folder / "dicom", orthanc.dicomweb)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(folder / "cache"))
        store = open_datastore(orthanc.dicomweb)
    return Archive(store, folder / "registrations")


@pytest.mark.parametrize("name", QUICKLY)
def test_what_is_missing_is_told_in_a_sentence_without_registering(archive: Archive, name: str) -> None:
    told = MissingInputs(archive.cache).of_study(archive.store, study(name), {"rice_net": INPUTS})["rice_net"]
    assert QUICKLY[name] in told
    assert bool(told) == bool(QUICKLY[name])
    assert "SYN-" not in told
    assert not archive.cache.exists() or not list(archive.cache.glob("*.json"))


def test_a_study_is_looked_through_once_for_all_models_until_the_patient_has_another_series(
    orthanc, archive: Archive, tmp_path: Path
) -> None:
    written = Hospital(tmp_path).patient("grows", images=False)
    treatment = tmp_path / "treatment"
    treatment.mkdir()
    for file in written.glob("plan*.dcm"):
        file.rename(treatment / file.name)
    send(written, orthanc.dicomweb)
    missing, asked = MissingInputs(archive.cache), Questions(archive.store)

    def told(*names: str) -> list[str]:
        asked.objects = asked.headers = asked.searches = 0
        return list(missing.of_study(archive.store, study("grows"), dict.fromkeys(names, INPUTS)).values())

    (first,) = told("one")
    assert "no course was over before this study" in first
    assert (asked.objects, asked.headers) == (2, 1)  # the event's MR and outlines; whether it is a contrast T1
    assert told("one", "another") == [first, first]
    assert (asked.objects, asked.headers, asked.searches) == (0, 0, 3)  # both studies, and that there is no third
    send(treatment, orthanc.dicomweb)
    assert told("one", "another") == ["", ""]
    assert asked.objects > 1
    assert told("another", "one") == ["", ""]
    assert (asked.objects, asked.headers) == (0, 0)


def test_an_archive_that_did_not_answer_is_asked_again(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any) -> None:
        raise Unavailable(Problem("PACS", "it does not answer", "try again"))

    missing = MissingInputs(archive.cache)
    with monkeypatch.context() as patch:
        patch.setattr(archive.store, "courses", unavailable)
        assert "it does not answer" in missing.of_study(archive.store, study("good"), {"one": INPUTS})["one"]
    assert missing.of_study(archive.store, study("good"), {"one": INPUTS}) == {"one": ""}
    assert missing.of_study(archive.store, derived_uid("of nobody"), {"one": INPUTS}) == {}


def test_a_follow_up_after_radiotherapy_is_not_the_mr_before_it(archive: Archive) -> None:
    found = archive.search("good")
    assert find(found, "earlier contrast T1").days_before == EVENT_DAY - FOLLOW_UP_DAY
    assert find(found, "contrast T1 before radiotherapy").days_before == EVENT_DAY
    assert find(found, "contrast T1 before radiotherapy") is find(found, "contrast T1 before radiotherapy")


def test_what_only_the_images_show_is_told_too(archive: Archive) -> None:
    with pytest.raises(DataProblem, match="holds the value 300 only, expected an image; export it again"):
        archive.search("flat")
    with pytest.raises(DataProblem, match=r"it misses the image: it reaches 63\.\d Gy, and 0\.0 Gy inside the image"):
        find(archive.search("far"), "EQD2 of finished courses")
    (silent,) = find(archive.search("silent"), "this contrast T1").warnings
    assert silent == "The image's headers say nothing about contrast; a T1 with contrast is needed."
    moved = find(archive.search("unlike"), "contrast T1 before radiotherapy")
    assert moved.days_before == EVENT_DAY
    assert all(one.startswith("The registration of the earlier image is doubtful: ") for one in moved.warnings)
    assert moved.warnings


def test_a_sheet_that_cannot_be_filled_says_why_in_its_only_line(archive: Archive) -> None:
    told = filled_sheet(archive.search("later"), "tumour board")
    (line,) = told["sheet"]
    assert told["dose_volume"] is None
    assert (line["name"], line["value"]) == ("tumour board", None)
    assert "no course was over before this study (1 came later)" in line["note"]
    with pytest.raises(DataProblem, match="'sheet' names 'board', which is none; use 'tumour board'"):
        check_sheet("board")
    assert set(LOOKS) <= set(FINDERS)


def test_a_dose_that_misses_the_brain_is_refused() -> None:
    brain = torch.zeros(1, 6, 6, 6)
    brain[:, :3] = 1
    dose = torch.full((1, 6, 6, 6), 60.0)
    dose[:, :3] = 31.0
    refuse = RefuseElsewhered("dose", "brain")
    assert refuse({"dose": dose, "brain": brain})["dose"] is dose
    dose[:, :3] = 29.0
    with pytest.raises(DataProblem, match="sub-9: 'dose' misses 'brain': it reaches 60, and 29 inside"):
        refuse({"dose": dose, "brain": brain, "subject": "sub-9"})
    declared = [one for one in OVERLAY["image_transforms"] if one["_target_"].endswith("RefuseElsewhered")]
    assert [(one["keys"], one["mask_key"], one["share"]) for one in declared] == [("dose", "brain", LEAST_REACHED)]
