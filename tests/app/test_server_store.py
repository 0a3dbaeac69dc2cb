"""The real server on a real PACS: it finds the GTVs, and stores results only when asked, whole, and where allowed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from app_server import AppServer
from dicom_content import content
from dicomweb_client.api import DICOMwebClient
from golden_values import Golden
from highdicom.seg import segread
from pacs_case import REAL, retrieve, send, series_of, write_study
from phantom_case import LESIONS, SHAPE, ball, masks, write_label
from pydicom import dcmread, dcmwrite
from treatment_response.bands import band_names, to_bands, to_labels
from treatment_response.dicom.write import PatientIds
from treatment_response.dicom.write.base import derived_uid

CORRECTED = PatientIds("SYN-042", "SYNTHETIC^042", "19520304", "M")
MODEL, CLICK = "pulsar_response", "pulsar_response_click"


@pytest.fixture(scope="module")
def studies(orthanc, tmp_path_factory) -> dict:
    """Study and series UID of synthetic patients' studies, one without contours, a real patient's, and one to correct.

    The folder of the last one is there too.
    """
    found = {}
    for name, settings in (
        ("synthetic", {}),
        ("again", {}),
        ("golden", {}),
        ("bare", {"rois": ()}),
        ("real", {"patient": REAL}),
        ("corrected", {"patient": CORRECTED}),
    ):
        folder = tmp_path_factory.mktemp(name)
        found[name] = write_study(folder, name, **settings)
        if name == "corrected":
            found["folder"] = folder
            approve(folder / "rtstruct.dcm")
        send(folder, orthanc.dicomweb)
    return found


def approve(path: Path) -> None:
    """Approve a structure set."""
    dataset = dcmread(path)
    dataset.ApprovalStatus = "APPROVED"
    dataset.save_as(path)


@pytest.fixture(scope="module")
def server(orthanc, studies, tmp_path_factory):
    filters = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": "MR"})}
    folder = tmp_path_factory.mktemp("server")
    with AppServer(orthanc.dicomweb, folder, ready="/info/", environment=filters) as running:
        yield running


def test_the_gtvs_of_the_study_are_found_and_nothing_is_stored_unasked(server, orthanc, studies):
    study, series = studies["synthetic"]
    before = series_of(orthanc.dicomweb, study)
    response = server.infer(MODEL, series)
    assert response.status_code == 200, response.text
    told = response.json()
    assert [(one["roi"], one["source"]) for one in told["lesions"]] == [("GTV_1", "RTSTRUCT"), ("GTV_2", "RTSTRUCT")]
    assert told["stored"] == []
    assert series_of(orthanc.dicomweb, study) == before
    picked = server.infer(MODEL, series, {"rois": "GTV_2"}).json()
    assert [one["roi"] for one in picked["lesions"]] == ["GTV_2"]
    assert [one["roi"] for one in picked["listed"]] == ["GTV_1"]


def test_a_study_without_contours_says_how_to_give_them_and_takes_a_click(server, studies):
    _, series = studies["bare"]
    told = server.infer(MODEL, series).json()
    assert told["lesions"] == []
    assert "RTSTRUCT" in told["message"]
    (lesion,) = server.infer(CLICK, series, {"foreground": [[40, 44, 15]]}).json()["lesions"]
    assert lesion["source"] == "click"


def test_results_are_stored_when_asked_and_say_what_was_answered(server, orthanc, studies, tmp_path):
    study, series = studies["synthetic"]
    before = series_of(orthanc.dicomweb, study)
    response = server.infer(MODEL, series, {"store": True, "boost": True, "shown": "response"})
    assert response.status_code == 200, response.text
    told = response.json()
    after = series_of(orthanc.dicomweb, study)
    new = {uid for uids in after.values() for uid in uids} - {uid for uids in before.values() for uid in uids}
    stored = {one["kind"]: one["series_uid"] for one in told["stored"]}
    assert set(stored) == {"parametric map", "bands", "outlines", "pictures", "report", "boost regions"}
    assert set(stored.values()) == new
    objects = {kind: retrieve(orthanc.dicomweb, study, uid) for kind, uid in stored.items()}
    for kind, made in objects.items():
        assert len(made) == (2 if kind == "pictures" else 1)  # one for each lesion
        assert all(one.SeriesDescription.startswith("RESEARCH ONLY") for one in made)
    # The map of the archive is the map that was banded for the viewer.
    (parametric,) = objects["parametric map"]
    cam = np.frombuffer(parametric.FloatPixelData, np.float32).reshape(SHAPE[::-1]).transpose(2, 1, 0)
    drawn = server.infer(MODEL, series, {"shown": "response", "result_extension": ".nrrd"}, output="image")
    (tmp_path / "map.nrrd").write_bytes(drawn.content)
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "map.nrrd"))).transpose(2, 1, 0)
    assert shown.any()
    np.testing.assert_array_equal(to_labels(to_bands(cam, 5), 5, "response"), shown)
    assert not cam[~np.any(masks(), axis=0)].any()
    bands = [*band_names(5, "non-response"), *band_names(5, "response")]
    for kind, names in (("bands", bands), ("outlines", ["GTV_1", "GTV_2"])):
        path = tmp_path / f"{kind}.dcm"
        dcmwrite(path, objects[kind][0])
        assert [item.SegmentLabel for item in segread(path).SegmentSequence] == names
    (report,) = objects["report"]
    assert report.VerificationFlag == "UNVERIFIED"
    (regions,) = objects["boost regions"]
    assert all(roi.ROIName.startswith("zCAM_NR_") for roi in regions.StructureSetROISequence)


def test_stored_objects_are_as_recorded(server, orthanc, studies, golden: Golden):
    study, series = studies["golden"]
    params = {"store": True, "boost": True, "cam": "gradcampp", "shown": "non-response"}
    answer = server.infer(MODEL, series, params).json()
    values, arrays = {"answer": answer}, {}
    for stored in answer["stored"]:
        for number, made in enumerate(retrieve(orthanc.dicomweb, study, stored["series_uid"]), start=1):
            name = f"{stored['kind']} {number}"
            values[name], coordinates = content(made)
            if stored["kind"] == "boost regions":  # two contours of a slice come in either order, as the processor is
                points = coordinates.reshape(-1, 3)
                coordinates = points[np.lexsort(points.round(4).T)]
            arrays[f"{name}, coordinates"] = coordinates
            if stored["kind"] not in ("report", "boost regions"):
                every = 8 if stored["kind"] == "pictures" else 1  # whole pictures would be the largest file here
                arrays[f"{name}, frames"] = made.pixel_array[::every, ::every]
    assert len(values) == 8
    golden.check("stored_objects", values)
    golden.check_arrays("stored_objects", arrays)


def test_sets_that_are_stored_again_are_told_apart(server, orthanc, studies):
    study, series = studies["again"]
    with ThreadPoolExecutor(2) as both:  # at the same time
        asked = [both.submit(server.infer, MODEL, series, {"store": True, "boost": True}) for _ in range(2)]
    answers, sets = [answer.result().json()["stored"] for answer in asked], []
    stored_classes = [one["class"] for one in answers[0] if "class" in one]
    for stored in answers:
        made = [retrieve(orthanc.dicomweb, study, one["series_uid"])[0] for one in stored]
        sets.append(made)
    sets.sort(key=lambda made: int(made[0].SeriesNumber))
    for number, made in enumerate(sets, start=1):
        maps = [8] if stored_classes == ["response"] else [1, 8][: len(stored_classes)]
        kinds = [*maps, 2, 3, 7, 5, 4]
        assert [int(one.SeriesNumber) for one in made] == [9000 + 10 * (number - 1) + kind for kind in kinds]
        for one in made:
            assert one.SeriesDescription.startswith(f"RESEARCH ONLY #{number} ")
            assert len(one.SeriesDescription) <= 64
        assert made[-1].StructureSetLabel == f"RESEARCH ONLY#{number}"
    assert len(series_of(orthanc.dicomweb, study)["SEG"]) == 4
    descriptions = [str(one.SeriesDescription) for made in sets for one in made]
    assert len(set(descriptions)) == len(descriptions) == 2 * (5 + len(stored_classes))
    assert {one["description"] for stored in answers for one in stored} == set(descriptions)


def test_what_was_stored_is_no_gtv_for_the_next_request(server, studies):
    _, series = studies["synthetic"]
    assert server.infer(MODEL, series, {"store": True, "boost": True}).status_code == 200
    told = server.infer(MODEL, series).json()
    assert [(one["roi"], one["source"]) for one in told["lesions"]] == [("GTV_1", "RTSTRUCT"), ("GTV_2", "RTSTRUCT")]
    assert not [one for one in told["listed"] if "zCAM" in one["roi"] or one["roi"].startswith("CAM")]


def test_a_click_can_be_stored_too(server, orthanc, studies):
    study, series = studies["bare"]
    response = server.infer(CLICK, series, {"foreground": [[40, 44, 15]], "store": True})
    assert response.status_code == 200, response.text
    kinds = {one["kind"] for one in response.json()["stored"]}
    assert kinds == {"parametric map", "bands", "outlines", "pictures", "report"}
    assert set(series_of(orthanc.dicomweb, study)) == {"MR", "OT", "SEG", "SR"}


def test_a_corrected_outline_counts_until_a_newer_structure_set_comes(server, orthanc, studies, tmp_path):
    """An approved structure set, a person's correction that encloses it, then a newer structure set."""
    study, series = studies["corrected"]
    correction = write_label(tmp_path / "label.nii.gz", ball(LESIONS["GTV_1"][0], 10.0))
    saved = server.save_label(series, correction, {"label_info": [{"name": "GTV_1", "idx": 1}]})
    assert saved.status_code == 200, saved.text
    told = server.infer(MODEL, series, {"store": True}).json()
    used = {one["roi"]: one for one in told["lesions"]}
    assert {roi: one["source"] for roi, one in used.items()} == {"GTV_1": "SEG", "GTV_2": "RTSTRUCT"}
    assert used["GTV_1"]["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.05)
    assert used["GTV_1"]["outline"].startswith("submitted by a person through the server, 2")
    assert used["GTV_1"]["supersedes"] == ["GTV_1 #2"]
    (listed,) = told["listed"]
    assert (listed["roi"], listed["superseded_by"]) == ("GTV_1 #2", ["GTV_1"])
    assert "structure set of 2020-01-31 12:00:00, approved" in listed["why"]
    stored = {one["kind"]: retrieve(orthanc.dicomweb, study, one["series_uid"])[0] for one in told["stored"]}
    assert stored["report"].CompletionFlag == "COMPLETE"
    assert [one.SegmentAlgorithmType for one in stored["outlines"].SegmentSequence] == ["MANUAL", "MANUAL"]
    newer = dcmread(studies["folder"] / "rtstruct.dcm")
    newer.StructureSetDate, newer.ApprovalStatus = "20991231", "UNAPPROVED"
    newer.SOPInstanceUID = newer.file_meta.MediaStorageSOPInstanceUID = derived_uid("newer structure set")
    newer.SeriesInstanceUID = derived_uid("newer structure set", "series")
    DICOMwebClient(orthanc.dicomweb).store_instances([newer])
    told = server.infer(MODEL, series).json()
    assert {one["roi"]: one["outline"] for one in told["lesions"]} == {
        "GTV_1": "structure set of 2099-12-31 12:00:00",
        "GTV_2": "structure set of 2020-01-31 12:00:00, approved",  # nobody corrected it
    }
    superseded = {one["roi"]: one["superseded_by"] for one in told["listed"]}
    assert sorted(superseded.values()) == [["GTV_1"], ["GTV_1"], ["GTV_2"]]


def test_weights_of_synthetic_data_are_never_stored_with_a_real_patient(server, orthanc, studies):
    study, series = studies["real"]
    response = server.infer(MODEL, series, {"store": True})
    assert response.status_code == 400
    assert "synthetic" in response.json()["detail"]
    assert set(series_of(orthanc.dicomweb, study)) == {"MR", "RTSTRUCT"}
    assert len(server.infer(MODEL, series).json()["lesions"]) == 2


def test_no_patient_is_named_in_answers_or_log(server, studies):
    for name in ("synthetic", "bare", "real"):
        _, series = studies[name]
        assert "Roe" not in server.infer(MODEL, series).text
    for secret in ("Roe", "Richard", "ID-4712", "19510203", "SYN-041", "19500102", "SYN-042", "GTV_1"):
        assert secret not in server.log
