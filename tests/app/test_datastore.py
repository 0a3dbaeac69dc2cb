"""The datastores: ids stay inside, the PACS's series are read by this package, nothing is said about persons."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicomweb_client import DICOMwebClient
from hypothesis import given, settings
from hypothesis import strategies as st
from monailabel.config import settings as server_settings
from orthanc_server import OrthancServer, free_port
from outline_case import PATIENT, ball, mr, place, write_mr
from pulsar_app.server.problems import NotFound, Unavailable
from pulsar_app.studies.datastore import FolderDatastore, PacsDatastore, open_datastore
from pydicom import dcmread
from pydicom.dataset import Dataset
from treatment_response.bands import band_names
from treatment_response.cohort.layout import read_volume, write_volume
from treatment_response.criteria.label_map import label_values
from treatment_response.dicom.series import read_series
from treatment_response.dicom.write import WrittenSeries
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import same_grid
from treatment_response.problems import DataProblem, Problem

NOT_IDS = [
    "",
    ".",
    "..",
    "../secret",
    "/etc/passwd",
    "a/b",
    "..\\secret",
    "secret\0",
    "1.2.3/../../secret",
    "link",
    "%2e%2e",
]


def send(orthanc: OrthancServer, folder: Path) -> None:
    DICOMwebClient(orthanc.dicomweb).store_instances([dcmread(path) for path in sorted(folder.rglob("*.dcm"))])


@pytest.fixture(scope="module")
def sent(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, WrittenSeries]:
    """An oblique MR in the PACS: its folder and what was written."""
    folder = tmp_path_factory.mktemp("datastore") / "mr"
    series = write_mr(mr("oblique"), folder, "datastore", description="T1 MPRAGE Gd")
    send(orthanc, folder)
    return folder, series


@pytest.fixture
def pacs(orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PacsDatastore:
    monkeypatch.setattr(server_settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    datastore = open_datastore(orthanc.dicomweb)
    assert isinstance(datastore, PacsDatastore)
    return datastore


def everything_under(folder: Path) -> str:
    """Names and texts of all files except DICOM's."""
    paths = [path for path in folder.rglob("*") if path.suffix != ".dcm"]
    return " ".join([*map(str, paths), *(path.read_bytes().decode("latin1") for path in paths if path.is_file())])


def test_a_series_becomes_the_volume_that_the_ingest_reads(
    pacs: PacsDatastore, sent: tuple[Path, WrittenSeries]
) -> None:
    folder, series = sent
    expected = read_series(folder)
    written = read_volume(Path(pacs.get_image_uri(series.series_uid)), "image")
    assert same_grid(written, expected)
    np.testing.assert_array_equal(written.array, expected.array)
    opened = pacs.open_image(series.series_uid)
    np.testing.assert_array_equal(opened.volume.affine, expected.affine)
    assert opened.source is not None
    assert opened.source.series_uid == series.series_uid


def test_mr_is_listed_and_results_and_ct_are_not(
    orthanc: OrthancServer, pacs: PacsDatastore, sent: tuple[Path, WrittenSeries], tmp_path: Path
) -> None:
    own = write_mr(mr(), tmp_path / "own", "own", series_uid=derived_uid("own"), description="RESEARCH ONLY CAM")
    ct = write_mr(
        mr(),
        tmp_path / "ct",
        "ct",
        series_uid=derived_uid("ct series"),
        changes=lambda _, ds: setattr(ds, "Modality", "CT"),
    )
    send(orthanc, tmp_path)
    listed = pacs.list_images()
    assert sent[1].series_uid in listed
    assert own.series_uid not in listed
    assert ct.series_uid not in listed
    with pytest.raises(DataProblem, match="the series is of modality CT, expected MR"):
        pacs.get_image_uri(ct.series_uid)
    with pytest.raises(DataProblem, match="a result of this software"):
        pacs.get_image_uri(own.series_uid)
    assert pacs.status()["total"] == len(listed)


def test_a_series_with_tilted_slices_is_refused(orthanc: OrthancServer, pacs: PacsDatastore, tmp_path: Path) -> None:
    def tilt(index: int, dataset: Dataset) -> None:
        along = np.array(dataset.ImageOrientationPatient[:3], float)
        moved = np.array(dataset.ImagePositionPatient, float) + (index - 1) * 0.5 * along
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in moved]

    write_mr(mr(), tmp_path, "tilted", series_uid=derived_uid("tilted series"), changes=tilt)
    send(orthanc, tmp_path)
    with pytest.raises(DataProblem, match="not perpendicular"):
        pacs.open_image(derived_uid("tilted series"))


@pytest.mark.parametrize("image_id", [*NOT_IDS, "1.2.840.99.99", "1" * 65])
def test_an_id_that_the_pacs_does_not_know_is_not_found(pacs: PacsDatastore, image_id: str) -> None:
    for ask in (pacs.get_image_uri, pacs.get_image_info, pacs.open_image, pacs.remove_image, pacs.get_image):
        with pytest.raises(NotFound):
            ask(image_id)
    with pytest.raises(NotFound):
        pacs.get_label_uri(image_id, "final")


@pytest.mark.parametrize("tag", ["../..", "a/b", "", "/tmp", "x" * 40])
def test_a_tag_is_a_plain_name(pacs: PacsDatastore, sent: tuple[Path, WrittenSeries], tag: str) -> None:
    for ask in (pacs.get_label_uri, pacs.get_label_info, pacs.remove_label):
        with pytest.raises(DataProblem, match="its tag is no plain name"):
            ask(sent[1].series_uid, tag)


def test_eight_requests_at_once_download_once_and_read_the_same(
    pacs: PacsDatastore, sent: tuple[Path, WrittenSeries], monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = []
    retrieve = pacs._pacs.retrieve
    monkeypatch.setattr(pacs._pacs, "retrieve", lambda facts: (downloads.append(facts), retrieve(facts))[1])
    start = threading.Barrier(8)

    def request(number: int) -> bytes:
        start.wait()
        if number % 2:
            pacs.open_image(sent[1].series_uid)
        return Path(pacs.get_image_uri(sent[1].series_uid)).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(request, range(8)))
    assert len(set(answers)) == 1
    assert len(downloads) == 1
    assert not [path for path in pacs._root.iterdir() if "part" in path.name]


def test_what_a_killed_server_left_half_written_is_no_image(pacs: PacsDatastore) -> None:
    (pacs._root / ".partial-1-1.2.3.nii.gz").write_bytes(b"half")
    pacs.refresh()
    assert not pacs._datastore.objects


def test_an_interrupted_download_leaves_nothing_that_looks_complete(
    pacs: PacsDatastore, sent: tuple[Path, WrittenSeries], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = sent[1].series_uid
    retrieve = pacs._pacs.retrieve

    def broken(facts: object) -> Iterator[object]:
        yield from retrieve(facts)[:5]  # type: ignore[arg-type]
        raise Unavailable(Problem("PACS", "went away", "try again"))

    with monkeypatch.context() as patch:
        patch.setattr(pacs._pacs, "retrieve", broken)
        with pytest.raises(Unavailable):
            pacs.get_image_uri(uid)
    assert not (pacs._root / uid).exists()
    assert Path(pacs.get_image_uri(uid)).is_file()


def test_a_series_that_grows_in_the_pacs_is_read_again(
    orthanc: OrthancServer, pacs: PacsDatastore, tmp_path: Path
) -> None:
    series = write_mr(mr(), tmp_path / "mr", "grows")
    last = series.instances[-1].path
    held = tmp_path / "held"
    shutil.move(last, held)
    send(orthanc, tmp_path / "mr")
    before = pacs.open_image(series.series_uid)
    short = read_volume(Path(pacs.get_image_uri(series.series_uid)), "image")
    shutil.move(held, last)
    send(orthanc, tmp_path / "mr")
    after = pacs.open_image(series.series_uid)
    assert after.volume.array.shape[2] == before.volume.array.shape[2] + 1 == len(series.instances)
    assert after.key != before.key
    long = read_volume(Path(pacs.get_image_uri(series.series_uid)), "image")
    assert (short.array.shape[2], long.array.shape[2]) == (len(series.instances) - 1, len(series.instances))


def test_a_series_that_left_the_pacs_is_not_found_although_it_is_cached(
    orthanc: OrthancServer, pacs: PacsDatastore, tmp_path: Path
) -> None:
    series = write_mr(mr(), tmp_path / "mr", "leaves")
    send(orthanc, tmp_path)
    pacs.get_image_uri(series.series_uid)
    found = orthanc.get("/series")
    here = next(
        one for one in found if orthanc.get(f"/series/{one}")["MainDicomTags"]["SeriesInstanceUID"] == series.series_uid
    )
    DICOMwebClient(orthanc.dicomweb)._session.delete(f"{orthanc.url}/series/{here}").raise_for_status()
    with pytest.raises(NotFound):
        pacs.open_image(series.series_uid)


def test_nothing_about_the_person_is_kept_or_logged(
    pacs: PacsDatastore, sent: tuple[Path, WrittenSeries], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pacs.open_image(sent[1].series_uid)
    pacs.get_image_uri(sent[1].series_uid)
    pacs.list_images()
    told = (
        caplog.text
        + everything_under(pacs._root)
        + json.dumps(pacs.json())
        + json.dumps(pacs.get_image_info(sent[1].series_uid))
    )
    for secret in (PATIENT.patient_id, "Roe", "Richard", PATIENT.birth_date):
        assert secret not in told
    assert not any(secret in repr(pacs._pacs.study_of(sent[1].series_uid)) for secret in (PATIENT.patient_id, "Roe"))


def test_a_pacs_that_is_down_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))
    datastore = open_datastore(f"http://127.0.0.1:{free_port()}/dicom-web")
    for ask in (datastore.list_images, lambda: datastore.open_image("1.2.3")):
        with pytest.raises(Unavailable, match="it does not answer"):
            ask()


class _Page(BaseHTTPRequestHandler):
    """A web server that is no PACS."""

    def do_GET(self) -> None:
        self.send_response(200 if "/dicom-web" in self.path else 500)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>Welcome</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("root", "told"), [("dicom-web", "cannot be read as DICOMweb"), ("else", "answered with 500")])
def test_a_server_that_is_no_pacs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, told: str
) -> None:
    monkeypatch.setattr(server_settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        datastore = open_datastore(f"http://127.0.0.1:{server.server_port}/{root}")
        for ask in (datastore.list_images, lambda: datastore.open_image("1.2.3")):
            with pytest.raises(Unavailable, match=told):
                ask()
        server.shutdown()


class _OddAnswer(BaseHTTPRequestHandler):
    """JSON, but not that of DICOMweb."""

    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("text", [b"[1, 2]", b'"x"', b"[null]", b'[{"0020000D": "1.2", "0020000E": {"Value": {}}}]'])
def test_json_that_is_not_dicomwebs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(server_settings, "MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))
    handler = type("Odd", (_OddAnswer,), {"text": text})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        datastore = open_datastore(f"http://127.0.0.1:{server.server_port}/dicom-web")
        for ask in (datastore.list_images, lambda: datastore.open_image("1.2.3")):
            with pytest.raises(Unavailable, match="cannot be read as DICOMweb"):
                ask()
        server.shutdown()


# --- a folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "studies"
    write_volume(root / "case-1.nii.gz", mr("sagittal"))
    write_volume(tmp_path / "secret.nii.gz", mr("axial"))
    (root / "link.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    (root / "gone.nii.gz").symlink_to(tmp_path / "nothing.nii.gz")
    (root / "text.txt").write_text("no image")
    return root


def test_images_of_a_folder_are_listed_and_links_out_of_it_are_not(folder: Path) -> None:
    datastore = FolderDatastore(folder)
    assert datastore.list_images() == ["case-1"]
    write_volume(folder / "case-2.nii.gz", mr("axial"))
    assert datastore.list_images() == ["case-1", "case-2"]
    opened = datastore.open_image("case-1")
    assert same_grid(opened.volume, mr("sagittal"))
    (folder / "case-1.nii.gz").unlink()
    assert datastore.list_images() == ["case-2"]
    with pytest.raises(NotFound):
        datastore.open_image("case-1")


@pytest.mark.parametrize("image_id", NOT_IDS)
def test_an_id_that_the_folder_does_not_know_is_not_found(folder: Path, image_id: str) -> None:
    datastore = FolderDatastore(folder)
    for ask in (datastore.get_image_uri, datastore.get_image_info, datastore.open_image, datastore.remove_image):
        with pytest.raises(NotFound):
            ask(image_id)
    with pytest.raises(NotFound):
        datastore.save_label(image_id, str(folder / "case-1.nii.gz"), "final", {})


@settings(max_examples=60, deadline=None)
@given(image_id=st.text(max_size=30))
def test_no_text_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, image_id: str) -> None:
    datastore = FolderDatastore(tmp_path_factory.mktemp("ids"))
    with pytest.raises(NotFound):
        datastore.get_image_uri(image_id)
    source = datastore._root.parent / "x.nii.gz"
    if not source.is_file():
        write_volume(source, Volume(np.zeros((2, 2, 2), np.int16), np.eye(4)))
    try:
        name = datastore.add_image(image_id, str(source), {})
    except DataProblem:
        return
    assert Path(datastore.get_image_uri(name)).parent == datastore._root


def test_an_image_that_cannot_be_read_stops_nothing(folder: Path) -> None:
    (folder / "broken.nii.gz").write_bytes(b"no nifti")
    datastore = FolderDatastore(folder)
    assert datastore.list_images() == ["broken", "case-1"]
    with pytest.raises(DataProblem, match="cannot be read as NIfTI"):
        datastore.open_image("broken")
    assert datastore.open_image("case-1").volume.array.shape == mr().array.shape


def test_a_damaged_index_and_a_missing_folder_are_told(folder: Path) -> None:
    (folder / "datastore_v2.json").write_text("{")
    with pytest.raises(DataProblem, match=r"datastore_v2\.json is damaged"):
        FolderDatastore(folder)
    with pytest.raises(DataProblem, match="is no folder"):
        open_datastore(str(folder / "nowhere"))


def test_a_label_is_kept_if_it_lies_on_the_image(folder: Path, tmp_path: Path) -> None:
    datastore, image = FolderDatastore(folder), mr("sagittal")
    mask = ball(image, place(image, 3, 4, 5), 6).astype(np.uint8)
    write_volume(tmp_path / "mask.nii.gz", Volume(mask, image.affine))
    datastore.save_label("case-1", str(tmp_path / "mask.nii.gz"), "final", {"label_info": [{"name": "Met"}]})
    label = datastore.open_image("case-1").label
    assert label is not None
    assert label.names == ("Met",)
    assert datastore.get_labeled_images() == ["case-1"]
    assert datastore.datalist() == [
        {"image": str(folder / "case-1.nii.gz"), "label": str(folder / "labels/final/case-1.nii.gz")}
    ]
    shifted = image.affine.copy()
    shifted[:3, 3] += [1, 0, 0]
    write_volume(tmp_path / "shifted.nii.gz", Volume(mask, shifted))
    with pytest.raises(DataProblem, match="lies on another grid than the MR"):
        datastore.save_label("case-1", str(tmp_path / "shifted.nii.gz"), "final", {})
    # OHIF sends bare bytes in Fortran order.
    (tmp_path / "label.bin").write_bytes(mask.tobytes(order="F"))
    datastore.save_label("case-1", str(tmp_path / "label.bin"), "final", {})
    kept = datastore.open_image("case-1").label
    assert kept is not None
    np.testing.assert_array_equal(read_volume(kept.path, "label").array, mask)
    (tmp_path / "short.bin").write_bytes(mask.tobytes()[:-1])
    with pytest.raises(DataProblem, match="the MR has"):
        datastore.save_label("case-1", str(tmp_path / "short.bin"), "final", {})


def test_an_image_that_is_being_read_holds_up_no_other(folder: Path) -> None:
    datastore = FolderDatastore(folder)
    locks = [datastore._lock(f"case-{number}") for number in range(100)]
    assert len({id(lock) for lock in locks}) == 100
    assert datastore._lock("case-7") is locks[7]


def test_a_label_in_another_format_replaces_the_earlier_one(folder: Path, tmp_path: Path) -> None:
    datastore, image = FolderDatastore(folder), mr("sagittal")
    write_volume(
        tmp_path / "label.nii.gz", Volume(ball(image, place(image, 0, 0, 0), 5).astype(np.uint8), image.affine)
    )
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "label.nii.gz")), str(tmp_path / "label.nrrd"))
    for name in ("label.nii.gz", "label.nrrd"):
        datastore.save_label("case-1", str(tmp_path / name), "final", {})
    assert [path.name for path in (folder / "labels" / "final").iterdir()] == ["case-1.nrrd"]
    datastore.remove_label("case-1", "final")
    assert datastore.get_labeled_images() == []
    with pytest.raises(NotFound):
        datastore.get_label_uri("case-1", "final")


def test_bands_are_not_saved_as_final_outlines(folder: Path, tmp_path: Path) -> None:
    datastore, image = FolderDatastore(folder), mr("sagittal")
    write_volume(tmp_path / "cam.nii.gz", Volume(np.ones(image.array.shape, np.uint8), image.affine))
    answer = {"model": "pulsar_response", "params": {}}
    bands = {"label_info": [{"name": band_names(5, "response")[0]}]}
    measured = {"label_info": [{"name": list(label_values())[-1]}]}
    for info, told in ((answer, "it is a model's answer"), (bands, "a CAM's bands"), (measured, "measured lesions")):
        with pytest.raises(DataProblem, match=told):
            datastore.save_label("case-1", str(tmp_path / "cam.nii.gz"), "final", info)
        datastore.save_label("case-1", str(tmp_path / "cam.nii.gz"), "original", info)
    assert datastore.open_image("case-1").label is None


def test_many_readers_and_writers_do_not_disturb_each_other(folder: Path) -> None:
    datastore = FolderDatastore(folder)

    def work(number: int) -> list[str]:
        if number % 4 == 0:
            shutil.copy(folder / "case-1.nii.gz", folder / f"new-{number}.nii.gz")
        datastore.get_labeled_images()
        return datastore.list_images()

    with ThreadPoolExecutor(8) as pool:
        assert all("case-1" in listed for listed in pool.map(work, range(40)))
    assert len(datastore.list_images()) == 11
