"""What RICE-NET's inputs in a PACS can lack: one sentence each, before anything is registered if it can be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from event_case import EVENT_DAY, Hospital, change, planned_dose
from monailabel.config import settings
from pacs_case import send
from pulsar_app.studies.datastore import PacsDatastore, open_datastore
from pulsar_app.studies.inputs import FINDERS, LOOKS, find, missing_inputs
from pulsar_app.studies.search import Search
from pulsar_app.studies.sheets import check_sheet, filled_sheet
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.inference.declared_inputs import declared_inputs
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem
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
    told = [str(problem) for problem in missing_inputs(archive.search(name), INPUTS)]
    if not QUICKLY[name]:
        assert told == []
        return
    assert any(one.startswith(QUICKLY[name]) for one in told), told
    assert not any("SYN-" in one for one in told)
    assert not archive.cache.exists() or not list(archive.cache.glob("*.json"))


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
    assert [(one["keys"], one["mask_key"]) for one in declared] == [("dose", "brain")]
