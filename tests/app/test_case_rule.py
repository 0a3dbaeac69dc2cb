"""The rule beside a network: what criteria say of a patient in the PACS, or one sentence on why they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from monailabel.config import settings
from orthanc_server import OrthancServer
from outline_case import segmentation
from pacs_case import send
from phantom_case import head
from pulsar_app.prediction.case_rule import check_rule, rule_beside, rule_sentences
from pulsar_app.prediction.criteria_options import CriteriaOptions
from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore, open_datastore
from pydicom import dcmread
from response_case import DAYS, NOW, SEMI_MM, ellipsoid, write_patient
from treatment_response.cohort.layout import write_volume
from treatment_response.criteria.patient import CRITERIA_SETS
from treatment_response.dicom.write import PatientIds, StudyIds, WrittenInstance, WrittenSeries, write_series
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

EARLIER = min(SEMI_MM)
FAULTS = ("good", "not now", "only now", "other grid", "empty")


@pytest.fixture(scope="module")
def patients(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[PacsDatastore, dict[str, str]]:
    """Series of now by what is the matter with the patient's outlines."""
    folder = tmp_path_factory.mktemp("rule")
    outlined = {"good": tuple(SEMI_MM), "only now": (NOW,)}
    series = {}
    for number, name in enumerate(FAULTS):
        patient = PatientIds(f"SYN-RULE{number}", f"SYNTHETIC^RULE{number}", "19500103", "F")
        series[name] = write_patient(folder / name, f"rule {name}", patient, outlined.get(name, (EARLIER,)))[1]
        if name in ("other grid", "empty"):
            _write_segmentation(folder / name, name)
        if name == "good":
            series["beside it"] = _write_another_series(folder / name, patient, name)
        send(folder / name, orthanc.dicomweb)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(folder / "cache"))
        store = open_datastore(orthanc.dicomweb)
    assert isinstance(store, PacsDatastore)
    return store, series


def _write_another_series(folder: Path, patient: PatientIds, name: str) -> str:
    """A series of the study of now that nothing is outlined on; its UID."""
    study = StudyIds(derived_uid(f"rule {name}", NOW), NOW, "SYNTHETIC MR head")
    uids = {"series_uid": derived_uid(name, "another"), "frame_uid": derived_uid(name, "another frame")}
    return write_series(
        head(), folder / "another", patient=patient, study=study, description="FLAIR", **uids
    ).series_uid


def _write_segmentation(folder: Path, name: str) -> None:
    """A segmentation of the MR of now, on another grid than the MR, or without a voxel."""
    mask = ellipsoid(NOW)
    instances = [WrittenInstance("", np.zeros(3), path) for path in sorted((folder / NOW).iterdir())]
    series = WrittenSeries("", "", "", "", np.zeros(3), tuple(instances))
    seg = segmentation({"GTV 1": mask}, series, f"seg {name}")
    if name == "empty":
        seg.PixelData = bytes(len(seg.PixelData))
    else:
        seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["3", "3"]
    seg.save_as(folder / "seg.dcm", write_like_original=False)
    assert dcmread(folder / "seg.dcm").Modality == "SEG"


def beside(
    patients: tuple[PacsDatastore, dict[str, str]], name: str, decided: str = "PD", **options: float | str
) -> dict:
    store, series = patients
    return rule_beside(store, store.open_image(series[name]), "rano2", CriteriaOptions(**options), decided)


def test_the_rule_is_told_with_volumes_dates_and_its_words(patients) -> None:
    told = beside(patients, "good")
    assert [(one["criteria"], one["category"]) for one in told["criteria"]] == [
        ("RANO 2.0", "PR"),
        ("RANO 2.0, volumes", "PR"),
    ]
    volumes = [4 / 3 * np.pi * np.prod(SEMI_MM[day]) for day in (EARLIER, NOW)]
    earlier = told["earlier"]
    assert earlier["volume_mm3"] == pytest.approx(volumes[0], rel=0.05)
    assert earlier["volume_now_mm3"] == pytest.approx(volumes[1], rel=0.05)
    assert earlier["change_percent"] == pytest.approx(100 * (volumes[1] / volumes[0] - 1), abs=3)
    assert (earlier["date"], earlier["date_now"], earlier["days_before"]) == ("2020-01-02", "2020-04-02", DAYS)
    assert told["disagreement"] == (
        "Network and rule disagree: the network says PD, the rule says PR (RANO 2.0; RANO 2.0, volumes)."
    )
    assert beside(patients, "good", "PR")["disagreement"] == ""
    assert rule_sentences({"rule": told}) == [f"Rule beside it: {one['sentence']}." for one in told["criteria"]]
    another = beside(patients, "beside it")  # outlines of the whole study count
    assert (another["earlier"], another["sentences"]) == (earlier, told["sentences"])
    reset = beside(patients, "good", operation=30.0)
    assert {one["category"] for one in reset["criteria"]} == {"baseline"}
    assert reset["disagreement"] == ""  # nothing was judged
    known = beside(patients, "good", steroids_mg=0.0, baseline_steroids_mg=2.0, state="stable")
    assert (len(told["notes"]), known["notes"]) == (1, [])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("not now", {}, "nothing is outlined on it (store an RTSTRUCT or SEG of its lesions in the PACS)"),
        ("only now", {}, "the patient has no earlier study with outlines, so there is nothing to compare with"),
        ("other grid", {}, "lies on another grid than the MR"),
        ("empty", {}, "none of its outlines can be used"),
        ("good", {"operation": float(DAYS)}, "lies on the day of an operation"),
    ],
)
def test_a_rule_that_is_not_computed_says_why_in_one_sentence(patients, name, options, words) -> None:
    told = beside(patients, name, **options)
    assert told["computed"] is False
    assert told["why"].startswith("The rule was not computed: ")
    assert words in told["why"]
    assert "\n" not in told["why"]
    assert rule_sentences({"rule": told}) == [told["why"]]


def test_a_folder_has_no_dates_and_criteria_have_names(tmp_path: Path) -> None:
    write_volume(tmp_path / "head.nii.gz", Volume(np.zeros((9, 9, 9), np.int16) + np.arange(9), np.eye(4)))
    store = FolderDatastore(tmp_path)
    told = rule_beside(store, store.open_image("head"), "rano2", CriteriaOptions(), "SD")
    assert "only a PACS holds studies with their dates and outlines" in told["why"]
    check_rule(None)
    check_rule("rano2")
    with pytest.raises(DataProblem, match=f"'rule' is 'RANO', which is none; use one of {', '.join(CRITERIA_SETS)}"):
        check_rule("RANO")
    assert rule_sentences({}) == []
