"""One MR of the datastore with its targets: where they come from, where they lie, and what is warned of."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dicomweb_client import DICOMwebClient
from monailabel.config import settings as server_settings
from orthanc_server import OrthancServer
from outline_case import PATIENT, ball, circles, mr, place, segmentation, structure_set, study, write_mr
from pulsar_app.server.problems import NotFound, Unavailable
from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore, open_datastore
from pulsar_app.studies.found_targets import FoundTargets, kept_targets
from pulsar_app.studies.pacs import Recent, SeriesFacts
from pulsar_app.studies.study import Study, find
from pydicom import dcmread
from treatment_response.cohort.layout import image_path, mask_path, write_volume
from treatment_response.dicom.write import PatientIds, StudyIds, WrittenSeries, write_enhanced_series, write_plan
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

FIRST, SECOND = (9.0, -7.0, 4.0), (-10.0, 9.0, -8.0)


class Sent:
    """Studies of one test in the PACS."""

    def __init__(self, orthanc: OrthancServer, folder: Path) -> None:
        self.client, self.folder, self.orthanc = DICOMwebClient(orthanc.dicomweb), folder, orthanc
        self.datastore = open_datastore(orthanc.dicomweb)
        assert isinstance(self.datastore, PacsDatastore)

    def mr(self, name: str, orientation: str = "oblique", **options: object) -> WrittenSeries:
        folder = self.folder / name
        series = write_mr(mr(orientation), folder, name, **{"description": "T1 Gd", **options})  # type: ignore[arg-type]
        self.store(*(dcmread(path) for path in sorted(folder.iterdir())))
        return series

    def store(self, *objects: object) -> None:
        self.client.store_instances(list(objects))

    def objects(self, series: WrittenSeries, modality: str) -> list[Any]:
        """What the study of a series holds of a modality."""
        found = self.client.search_for_series(series.study_uid, search_filters={"Modality": modality})
        uids = [one["0020000E"]["Value"][0] for one in found]
        return [one for uid in uids for one in self.client.retrieve_series(series.study_uid, uid)]

    def delete(self, series_uid: str) -> None:
        """Remove a series from the PACS."""
        for one in self.orthanc.get("/series"):
            if self.orthanc.get(f"/series/{one}")["MainDicomTags"]["SeriesInstanceUID"] == series_uid:
                self.client._session.delete(f"{self.orthanc.url}/series/{one}").raise_for_status()

    def find(self, series: WrittenSeries, **options: object) -> Study:
        return find(self.datastore, series.series_uid, **options)  # type: ignore[arg-type]


@pytest.fixture
def sent(orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sent:
    monkeypatch.setattr(server_settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    return Sent(orthanc, tmp_path)


def patient(name: str) -> dict[str, PatientIds]:
    """A patient of a test's own, so that other tests' studies are not his history."""
    return {"patient": PatientIds(f"ID-{name}", PATIENT.name, PATIENT.birth_date, PATIENT.sex)}


def predicted(found: Study) -> list[str]:
    return [target.name for target in found.targets if not target.listed_because]


def middle(found: Study, name: str) -> np.ndarray:
    mask = next(target.mask for target in found.targets if target.name == name)
    return found.volume.to_world(np.argwhere(mask)).mean(axis=0)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
def test_structure_set_and_segmentation_are_found_in_the_pacs_at_their_place(sent: Sent, orientation: str) -> None:
    name, image = f"place {orientation}", mr(orientation)
    series = sent.mr(name, orientation, **patient(name))
    assert sent.find(series).targets == ()
    rois = {"GTV 1": circles(image, place(image, *FIRST), 6)}
    sent.store(structure_set(rois, sent.folder, name, series, **patient(name)))
    sent.store(segmentation({"GTV 2": ball(image, place(image, *SECOND), 6)}, series, name))
    found = sent.find(series)
    assert predicted(found) == ["GTV 1", "GTV 2"]
    assert [target.source for target in found.targets] == ["RTSTRUCT", "SEG"]
    np.testing.assert_allclose(middle(found, "GTV 1"), place(image, *FIRST), atol=0.4)
    np.testing.assert_allclose(middle(found, "GTV 2"), place(image, *SECOND), atol=0.4)
    assert found.source is not None
    assert found.source.series_uid == series.series_uid
    assert found.warnings == ()


def test_an_enhanced_multi_frame_mr_is_found_with_its_structures(sent: Sent) -> None:
    image, name = mr("oblique"), "enhanced"
    path = sent.folder / "enhanced.dcm"
    series = write_enhanced_series(
        image,
        path,
        study=study(name),
        series_uid=derived_uid(name),
        frame_uid=derived_uid(name, "frame"),
        **patient(name),
    )
    sent.store(dcmread(path))
    rois = {"GTV 1": circles(image, place(image, *FIRST), 6)}
    sent.store(structure_set(rois, sent.folder, name, series, **patient(name)))
    found = sent.find(series)
    assert predicted(found) == ["GTV 1"]
    np.testing.assert_array_equal(found.volume.array, image.array)
    np.testing.assert_allclose(middle(found, "GTV 1"), place(image, *FIRST), atol=0.4)


def test_a_damaged_series_is_told_and_stops_nothing(sent: Sent) -> None:
    folder = sent.folder / "damaged"
    series = write_mr(mr(), folder, "damaged", **patient("damaged"))
    slices = [dcmread(path) for path in sorted(folder.iterdir())]
    del slices[10]
    sent.store(*slices)
    with pytest.raises(DataProblem, match="misses 1 slice of 24"):
        sent.find(series)
    with pytest.raises(DataProblem, match="misses 1 slice of 24"):
        sent.datastore.get_image_uri(series.series_uid)
    good = sent.mr("good", **patient("damaged"))
    assert sent.find(good).volume.array.shape == mr().array.shape


def test_the_users_pick_turns_what_is_listed_into_targets_and_limits_to_it(sent: Sent) -> None:
    image, series = mr(), sent.mr("pick", **patient("pick"))
    rois = {
        "GTV 1": circles(image, place(image, *FIRST), 5),
        "PTV 1": circles(image, place(image, *FIRST), 7),
        "Brainstem": circles(image, place(image, *SECOND), 6),
    }
    sent.store(structure_set(rois, sent.folder, "pick", series, **patient("pick")))
    assert predicted(sent.find(series)) == ["GTV 1"]
    assert predicted(sent.find(series, rois=["ptv 1"])) == ["PTV 1"]
    assert predicted(sent.find(series, rois=["Brainstem", "GTV 1"])) == ["GTV 1", "Brainstem"]
    listed = {target.name: target.listed_because for target in sent.find(series, rois=["PTV 1"]).targets}
    assert listed["GTV 1"] == "not chosen in this request"
    with pytest.raises(DataProblem, match=r"has no target 'GTV 9'; choose among its targets: 'GTV 1', 'PTV 1'"):
        sent.find(series, rois=["GTV 9"])


def test_a_sent_label_counts_where_there_is_no_other_outline_and_each_value_is_a_lesion(sent: Sent) -> None:
    image, series = mr("sagittal"), sent.mr("label", "sagittal", **patient("label"))
    values = 1 * ball(image, place(image, *FIRST), 5) + 3 * ball(image, place(image, *SECOND), 5)
    path = sent.folder / "label.nii.gz"
    write_volume(path, Volume(values.astype(np.uint8), image.affine))
    found = sent.find(series, label=path)
    assert predicted(found) == ["label 1", "label 3"]
    np.testing.assert_allclose(middle(found, "label 3"), place(image, *SECOND), atol=0.4)
    rois = {"GTV": circles(image, place(image, 0, 0, 0), 5)}
    sent.store(structure_set(rois, sent.folder, "label", series, **patient("label")))
    found = sent.find(series, label=path)
    assert predicted(found) == ["GTV"]
    assert {target.listed_because for target in found.targets[1:]} == {"it was sent along, and the image has outlines"}
    assert predicted(sent.find(series, label=path, rois=["label 3"])) == ["label 3"]


def test_nrrd_labels_lie_where_nifti_ones_do(sent: Sent) -> None:
    image, series = mr("oblique"), sent.mr("nrrd", **patient("nrrd"))
    mask = ball(image, place(image, *FIRST), 5).astype(np.uint8)
    nifti, nrrd = sent.folder / "label.nii.gz", sent.folder / "label.nrrd"
    write_volume(nifti, Volume(mask, image.affine))
    sitk.WriteImage(sitk.ReadImage(str(nifti)), str(nrrd))
    for path in (nifti, nrrd):
        np.testing.assert_array_equal(sent.find(series, label=path).targets[0].mask, mask > 0)


@pytest.mark.parametrize("fault", ["shifted", "flipped", "smaller", "fractions", "text"])
def test_a_label_that_does_not_fit_is_refused(sent: Sent, fault: str) -> None:
    image, series = mr(), sent.mr("fault", **patient("fault"))
    mask, affine = ball(image, place(image, *FIRST), 5).astype(np.float32), image.affine.copy()
    if fault == "shifted":
        affine[:3, 3] += 0.5
    elif fault == "flipped":
        affine[:3, 0] *= -1
    elif fault == "smaller":
        mask = mask[1:]
    elif fault == "fractions":
        mask = mask * 0.5
    path = sent.folder / "label.nii.gz"
    write_volume(path, Volume(mask, affine))
    if fault == "text":
        path.write_text("no image")
    expected = {"fractions": "is no label map", "text": "cannot be read as NIfTI"}
    with pytest.raises(DataProblem, match=expected.get(fault, "lies on another grid than the MR")):
        sent.find(series, label=path)


def test_a_label_that_the_user_saves_is_stored_in_the_pacs_and_found_there_once(sent: Sent) -> None:
    image, series = mr("oblique"), sent.mr("saved", **patient("saved"))
    mask = ball(image, place(image, *FIRST), 6)
    path = sent.folder / "label.nii.gz"
    write_volume(path, Volume(mask.astype(np.uint8), image.affine))
    sent.datastore.save_label(series.series_uid, str(path), "original", {})
    assert sent.find(series).targets == ()  # only the tag final counts
    info = {"label_info": [{"name": "GTV left", "color": "red"}], "user": "jdoe", "sop_instance_uid": "1.2.3"}
    sent.datastore.save_label(series.series_uid, str(path), "final", info)
    (stored,) = sent.find(series).targets
    assert (stored.name, stored.source, stored.by_hand, stored.listed_because) == ("GTV left", "SEG", True, "")
    np.testing.assert_array_equal(stored.mask, mask)
    assert sent.datastore.get_labeled_images() == [series.series_uid]
    (written,) = sent.objects(series, "SEG")
    assert written.ContentCreatorName == "jdoe"
    assert written.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    sent.delete(written.SeriesInstanceUID)  # whoever removes it from the PACS does not want it to count
    found = sent.find(series)
    assert found.targets == ()
    assert found.notes == ("The saved label was left out: the PACS no longer holds it; save it again if it is right.",)


def test_outlines_of_another_study_count_if_they_refer_to_the_series(sent: Sent) -> None:
    image, series = mr(), sent.mr("elsewhere", **patient("elsewhere"))
    other = sent.mr("elsewhere too", **patient("elsewhere"))
    assert sent.find(series).targets == ()
    away = {"study": later("elsewhere", "20200205"), **patient("elsewhere")}
    for name, of, label in (("GTV mine", series, "MINE"), ("GTV other", other, "OTHER")):
        rois = {name: circles(image, place(image, *FIRST), 6)}
        sent.store(structure_set(rois, sent.folder, "elsewhere", of, label, **away))
    assert predicted(sent.find(series)) == ["GTV mine"]
    rois = {"GTV mine": circles(image, place(image, *FIRST), 5)}
    sent.store(structure_set(rois, sent.folder, "elsewhere", series, "AGAIN", **away))
    versions = [target.superseded_by for target in sent.find(series).targets]
    assert versions == [(), ("GTV mine",)]


def test_another_study_that_cannot_be_read_is_told_and_listed(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    image, series = mr(), sent.mr("broken", **patient("broken"))
    rois = {"GTV": circles(image, place(image, *FIRST), 6)}
    away = {"study": later("broken", "20200205"), **patient("broken")}
    sent.store(structure_set(rois, sent.folder, "broken", series, **patient("broken")))
    sent.store(structure_set(rois, sent.folder, "broken", series, "AWAY", **away))
    pacs = sent.datastore._pacs
    retrieve = pacs.retrieve

    def failing(facts: SeriesFacts) -> list[object]:
        if facts.study_uid == series.study_uid:
            return retrieve(facts)
        raise Unavailable(Problem("PACS", "it answered with 500", "look at its log"))

    monkeypatch.setattr(pacs, "retrieve", failing)
    found = sent.find(series)
    assert predicted(found) == ["GTV"]
    listed = {target.name: target.listed_because for target in found.targets if target.listed_because}
    assert list(listed) == ["outlines of another study"]
    assert "500" in listed["outlines of another study"]
    with pytest.raises(DataProblem, match="cannot be predicted: they could not be fetched"):
        sent.find(series, rois=["outlines of another study"])


def later(name: str, days: str) -> StudyIds:
    return StudyIds(derived_uid("outline", name, days), days, "other")


@pytest.mark.parametrize(
    ("date", "kind", "warned"),
    [
        ("20200110", "plan", "a treatment plan 21 days older"),
        ("20200131", "plan", ""),
        ("20200210", "plan", ""),
        ("20200110", "structures", "a structure set 21 days older"),
        ("20200125", "structures", ""),
    ],
)
def test_an_mr_from_after_treatment_is_warned_of(sent: Sent, date: str, kind: str, warned: str) -> None:
    name = f"after {kind} {date}"
    series = sent.mr(name, **patient(name))
    path = sent.folder / "rt.dcm"
    if kind == "plan":
        write_plan(
            path,
            prescription_gy=24.0,
            structure_set_uid=derived_uid("s", name),
            frame_uid=series.frame_uid,
            study=later(name, date),
            **patient(name),
        )
        sent.store(dcmread(path))
    else:
        sent.store(structure_set({}, sent.folder, name, series, "OTHER", study=later(name, date), **patient(name)))
    warnings = sent.find(series).warnings
    if warned:
        assert len(warnings) == 1
        assert warnings[0].endswith(f"the patient has {warned}.")
    else:
        assert warnings == ()


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"contrast": False, "description": "T1 native"}, "no contrast was given"),
        ({"contrast": False, "description": "T1"}, "nothing about contrast"),
        ({"description": "T2 Gd"}, "that it is no T1"),
    ],
)
def test_a_wrong_sequence_is_warned_of(sent: Sent, options: dict[str, object], warned: str) -> None:
    series = sent.mr(f"sequence {warned}", **patient(warned), **options)
    assert [warning for warning in sent.find(series).warnings if warned in warning]


def test_a_warm_request_asks_what_there_is_fetches_nothing_and_draws_nothing_again(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, series = mr(), sent.mr("warm", **patient("warm"))
    rois = {"GTV": circles(image, place(image, *FIRST), 5)}
    sent.store(structure_set(rois, sent.folder, "warm", series, **patient("warm")))
    cold = sent.find(series)
    session = sent.datastore._client._session
    asked: list[str] = []
    send = session.send
    monkeypatch.setattr(session, "send", lambda request, **more: (asked.append(request.url), send(request, **more))[1])
    warm = sent.find(series)
    assert len(asked) == 3  # for the study's series, the objects of the one with outlines, the patient's other studies
    assert all("includefield" in url for url in asked)
    assert warm.targets[0].mask is cold.targets[0].mask
    assert not warm.targets[0].mask.flags.writeable
    sent.delete(series.series_uid)
    with pytest.raises(NotFound):
        sent.find(series)


@pytest.mark.parametrize("away", [False, True], ids=["in the study", "in another study"])
def test_an_object_that_takes_the_place_of_another_one_in_its_series_is_seen_at_once(sent: Sent, away: bool) -> None:
    name = f"replaced {away}"
    image, series = mr(), sent.mr(name, **patient(name))
    options = {**({"study": later(name, "20200205")} if away else {}), **patient(name)}

    def replace(roi: str, sop_uid: str, time: str) -> None:
        made = structure_set({roi: circles(image, place(image, *FIRST), 5)}, sent.folder, name, series, **options)
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = sop_uid
        made.InstanceCreationDate, made.InstanceCreationTime = "20200206", time
        sent.delete(made.SeriesInstanceUID)
        sent.store(made)

    for roi, uid, time in (("GTV a", "a", "100000"), ("GTV b", "b", "100000"), ("GTV same UID", "b", "110000")):
        replace(roi, derived_uid(name, uid), time)
        assert predicted(sent.find(series)) == [roi]


def test_eight_requests_at_once_find_the_same(sent: Sent) -> None:
    image, series = mr(), sent.mr("eight", **patient("eight"))
    rois = {"GTV": circles(image, place(image, *FIRST), 5)}
    sent.store(structure_set(rois, sent.folder, "eight", series, **patient("eight")))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: sent.find(series), range(8)))
    for one in found:
        np.testing.assert_array_equal(one.targets[0].mask, found[0].targets[0].mask)
        assert one.key == found[0].key


# --- a folder


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., FolderDatastore]:
    """A prepared data set of one MR with masks, as scripts/prepare_dicom.py lays it out."""

    def make(session: str = "ses-01", extra: str = "") -> FolderDatastore:
        image = mr("sagittal")
        write_volume(tmp_path / image_path("sub-001", session), image)
        for lesion, offset in (("L01", FIRST), ("L02", SECOND)):
            mask = ball(image, place(image, *offset), 5).astype(np.uint8)
            write_volume(tmp_path / mask_path("sub-001", session, lesion), Volume(mask, image.affine))
        (tmp_path / "dataset.json").write_text("{}")
        return FolderDatastore(tmp_path)

    return make


def test_the_masks_of_a_prepared_data_set_are_its_targets(dataset: Callable[..., FolderDatastore]) -> None:
    datastore = dataset()
    image_id = "sub-001_ses-01_ce-gadolinium_T1w"
    assert datastore.list_images() == [image_id]
    found = find(datastore, image_id)
    assert [(target.name, target.source) for target in found.targets] == [
        ("L01", "saved label"),
        ("L02", "saved label"),
    ]
    assert predicted(found) == ["L01", "L02"]
    np.testing.assert_allclose(middle(found, "L02"), place(mr("sagittal"), *SECOND), atol=0.4)
    assert (found.source, found.warnings) == (None, ())


def test_a_later_session_of_a_data_set_is_warned_of(dataset: Callable[..., FolderDatastore]) -> None:
    found = find(dataset("ses-03"), "sub-001_ses-03_T1w")
    assert found.warnings[0] == "The MR is not from before treatment (MRI 1), which the model predicts from."


def test_a_file_whose_name_does_not_tell_of_contrast_is_warned_of(dataset: Callable[..., FolderDatastore]) -> None:
    (*_, warning) = find(dataset("ses-03"), "sub-001_ses-03_T1w").warnings
    assert warning == "The file's name does not say that the MR is a T1 with contrast, which the model needs."


def test_a_saved_label_replaces_the_masks_and_one_value_is_split_into_far_parts(
    dataset: Callable[..., FolderDatastore], tmp_path: Path
) -> None:
    datastore, image = dataset(), mr("sagittal")
    image_id = datastore.list_images()[0]
    near = ball(image, place(image, 12, 0, 0), 4) | ball(image, place(image, 3, 0, 0), 3)
    far = ball(image, place(image, -14, 0, 0), 3)
    write_volume(tmp_path / "label.nii.gz", Volume((near | far).astype(np.uint8), image.affine))
    datastore.save_label(image_id, str(tmp_path / "label.nii.gz"), "final", {})
    (tmp_path / "label.nii.gz").unlink()
    found = find(datastore, image_id)
    assert predicted(found) == ["label 1 part 1", "label 1 part 2"]
    np.testing.assert_array_equal(found.targets[0].mask, near)
    np.testing.assert_array_equal(found.targets[1].mask, far)


def test_a_file_that_has_not_changed_is_read_once_and_one_that_has_at_once(
    dataset: Callable[..., FolderDatastore], tmp_path: Path
) -> None:
    datastore, image = dataset(), mr("sagittal")
    image_id = datastore.list_images()[0]
    first, again = find(datastore, image_id), find(datastore, image_id)
    assert [one.mask is other.mask for one, other in zip(first.targets, again.targets, strict=True)] == [True, True]
    # Written in place, with the size and the time that it had.
    path, other = (tmp_path / mask_path("sub-001", "ses-01", lesion) for lesion in ("L01", "L02"))
    before, (content, moved) = path.stat(), (path.read_bytes(), other.read_bytes())
    size = max(len(content), len(moved))
    path.write_bytes(content.ljust(size, b"\0"))
    find(datastore, image_id)
    path.write_bytes(moved.ljust(size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    np.testing.assert_allclose(middle(find(datastore, image_id), "L01"), place(image, *SECOND), atol=0.4)
    # Saved, and saved again.
    for radius in (3, 4):
        mask = ball(image, place(image, *FIRST), radius)
        write_volume(tmp_path / "label.nii.gz", Volume(mask.astype(np.uint8), image.affine))
        datastore.save_label(image_id, str(tmp_path / "label.nii.gz"), "final", {})
        (tmp_path / "label.nii.gz").unlink()
        np.testing.assert_array_equal(find(datastore, image_id).targets[0].mask, mask)


def test_what_is_kept_is_bounded_by_what_it_weighs() -> None:
    kept: Recent[str] = Recent(5, len)
    for word in ("one", "four", "no", "longer"):
        assert kept.get(word, lambda word=word: word) == word
    assert [kept.get(word, lambda: "again") for word in ("one", "longer")] == ["again", "again"]
    kept = Recent(5, len)
    assert [kept.get(word, lambda word=word: word) for word in ("no", "one", "no")] == ["no", "one", "no"]
    assert [kept.get(word, lambda: "again") for word in ("no", "one")] == ["no", "one"]
    targets, nothing, other = kept_targets(), FoundTargets(()), FoundTargets(())
    for image in range(300):
        targets.get(image, lambda: nothing)
    assert [targets.get(image, lambda: other) is nothing for image in (299, 0)] == [True, False]


def test_an_mr_without_any_outline_is_a_study_without_targets(tmp_path: Path) -> None:
    write_volume(tmp_path / "bare.nii.gz", mr())
    found = find(FolderDatastore(tmp_path), "bare")
    assert found.targets == ()
    with pytest.raises(DataProblem, match="choose among its targets: none"):
        find(FolderDatastore(tmp_path), "bare", rois=["GTV"])


def test_the_key_changes_with_the_image(tmp_path: Path) -> None:
    write_volume(tmp_path / "case.nii.gz", mr())
    datastore = FolderDatastore(tmp_path)
    before = find(datastore, "case")
    write_volume(tmp_path / "case.nii.gz", mr("axial", (40, 40, 20)))
    after = find(datastore, "case")
    assert before.key != after.key
    assert after.volume.array.shape == (40, 40, 20)
