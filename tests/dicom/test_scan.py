"""A folder is understood by its headers alone, whatever it looks like, and is never written to."""

from __future__ import annotations

import dataclasses
import re
import shutil
import stat
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from dicom_case import MARKER, PATIENT, STUDY, assert_same_place, volume, write
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from treatment_response.dicom import scan
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.dicom.write import TransferSyntax, write_dose, write_plan, write_structure_set
from treatment_response.dicom.write.base import derived_uid


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Two patients' series scattered over folders, with a structure set, a plan and a dose of the first."""
    root = tmp_path / "hospital"
    image = volume()
    written = write(image, root / "x", file_names=lambda i: f"{'odd' if i % 2 else 'even'}_{i}")
    for path in (root / "x").glob("odd*"):
        path.rename(root / path.name)
    write(volume("sagittal"), root / "x", "other", patient=dataclasses.replace(PATIENT, patient_id="0815", name="Roe"))
    points = image.to_world(np.array([[1, 1, MARKER[2]], [6, 1, MARKER[2]], [6, 9, MARKER[2]]]))
    common = {"patient": PATIENT, "study": STUDY}
    structures = write_structure_set({"GTV 1": [points], "Skull": []}, root / "a.tmp", referenced=written, **common)
    frame = {"frame_uid": written.frame_uid, "structure_set_uid": structures}
    plan = write_plan(root / "deep/er/plan", prescription_gy=18.0, **frame, **common)
    write_dose(image, root / "deep/1", plan_uid=plan, **frame, **common)
    return root


def test_processes_read_the_same(hospital: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_GROUP", 2)
    monkeypatch.setattr(scan, "_WORTH_WORKERS", 1)
    steps: list[tuple[int, int]] = []
    index = scan_folder(hospital, lambda done, total: steps.append((done, total)), workers=2)
    assert steps == [(min(2 * group, 21), 21) for group in range(1, 12)]
    assert index == scan_folder(hospital)


def test_objects_are_found_and_linked_by_uid(hospital: Path) -> None:
    steps: list[tuple[int, int]] = []
    index = scan_folder(hospital, lambda done, total: steps.append((done, total)))
    assert steps == [(21, 21)]
    assert not index.problems
    first, second = sorted(index.series, key=lambda entry: entry.patient_id, reverse=True)
    assert (first.patient_id, second.patient_id) == ("ID-4711", "0815")
    assert first.person != second.person
    assert [len(entry.files) for entry in (first, second)] == [9, 9]
    assert (first.date, first.modality, first.contrast, first.t1) == (date(2020, 1, 31), "MR", True, True)
    assert first.scanner == "Synthetic Synthetic scanner"
    assert_same_place(read_series(first), volume())
    [structures], [dose], [plan] = index.structure_sets, index.doses, index.plans
    assert structures.referenced_series_uids == (first.series_uid,)
    assert structures.referenced_sop_uids == {uid for _, uid in first.files}
    assert structures.frame_uid == first.frame_uid == dose.frame_uid
    assert structures.roi_names == ("GTV 1", "Skull")
    assert structures.person == first.person
    assert (dose.structure_set_uid, dose.plan_uid, dose.units) == (structures.sop_uid, plan.sop_uid, "GY")
    assert (plan.prescription_gy, plan.structure_set_uid) == (18.0, structures.sop_uid)


def test_nothing_is_written(hospital: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in hospital.rglob("*")}
    folders = [hospital, *(path for path in before if path.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        index = scan_folder(hospital)
        for entry in index.series:
            read_series(entry)
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)
    assert {path: path.stat().st_mtime_ns for path in hospital.rglob("*")} == before


@pytest.mark.parametrize("syntax", list(TransferSyntax))
@pytest.mark.parametrize("keep", [0.1, 0.4, 0.95])
def test_truncated_images_are_noticed(syntax: TransferSyntax, keep: float, tmp_path: Path) -> None:
    write(volume(), tmp_path, transfer_syntax=syntax)
    path = tmp_path / "IM0002.dcm"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    index = scan_folder(tmp_path)
    [problem] = index.problems
    assert problem.where == "file IM0002.dcm"
    assert "truncated" in problem.what or "damaged" in problem.what
    assert len(index.series[0].files) == 8


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.tmp", "deep/er/plan", "deep/1"])
def test_truncated_radiotherapy_objects_are_noticed(hospital: Path, name: str, keep: float) -> None:
    path = hospital / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    index = scan_folder(hospital)
    assert [problem.where for problem in index.problems] == [f"file {name}"]
    assert len(index.structure_sets) + len(index.doses) + len(index.plans) == 2


def test_files_that_are_not_dicom(tmp_path: Path) -> None:
    write(volume(), tmp_path)
    (tmp_path / "clinical.csv").write_text("a,b\n")
    (tmp_path / "broken.dcm").write_bytes(b"\x00\xff" * 300)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "notes").write_text("not an image\n" * 50)
    index = scan_folder(tmp_path)
    assert [path.name for path in index.foreign] == ["clinical.csv"]
    assert [problem.where for problem in index.problems] == ["file broken.dcm", "file empty.dcm", "file notes"]
    assert all("DICOM" in problem.what and len(str(problem).splitlines()) == 1 for problem in index.problems)
    assert len(index.series[0].files) == 9


def test_problems_name_no_patient(tmp_path: Path) -> None:
    folder = tmp_path / "DOE_JANE" / "ID-4711" / "scan"
    write(volume(), folder)
    (folder / "broken.dcm").write_bytes(b"x" * 300)
    (folder / "jane.dcm").write_bytes(b"x" * 300)
    shutil.copy(folder / "IM0001.dcm", folder / "copy.dcm")
    index = scan_folder(tmp_path)
    text = "\n".join(map(str, [*index.problems, *index.copies, *index.notes])).lower()
    assert "file …/…/scan/broken.dcm" in text
    assert not re.search(r"\bdoe\b|jane|4711|1950", text)


def test_implicit_files_without_preamble_are_read(tmp_path: Path) -> None:
    image = volume()
    write(image, tmp_path)
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.is_implicit_VR = True
        dataset.save_as(path, write_like_original=False)
        data = path.read_bytes()
        length = 132 + 12 + dcmread(path).file_meta.FileMetaInformationGroupLength
        path.write_bytes(data[length:])
    index = scan_folder(tmp_path)
    assert not index.problems
    assert_same_place(read_series(index.series[0]), image)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [("StudyDate", 1), ("SeriesDate", 2), ("AcquisitionDate", 3), ("ContentDate", 4), (None, None)],
)
def test_missing_dates_fall_back(kept: str | None, expected: int | None, tmp_path: Path) -> None:
    def redate(_: int, dataset: Dataset) -> None:
        keywords = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
        for day, keyword in enumerate(keywords, start=1):
            drop = kept is None or day < keywords.index(kept) + 1
            setattr(dataset, keyword, "" if drop else f"2021030{day}")

    write(volume(), tmp_path, changes=redate)
    assert scan_folder(tmp_path).series[0].date == (None if expected is None else date(2021, 3, expected))


def test_folder_without_files(tmp_path: Path) -> None:
    index = scan_folder(tmp_path)
    assert not index.series
    assert not index.problems


def test_same_series_uid_of_two_patients_stays_apart(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a")
    other = dataclasses.replace(PATIENT, patient_id="0815")

    def rename(index: int, dataset: Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = derived_uid("second", str(index))

    write(volume(), tmp_path / "b", patient=other, changes=rename)
    assert sorted(entry.patient_id for entry in scan_folder(tmp_path).series) == ["0815", "ID-4711"]


def test_persons_under_one_id(tmp_path: Path) -> None:
    """The planning system leaves the birth date out and adds a title: the same person. Another name: another one."""
    series = write(volume(), tmp_path / "mr")
    planner = dataclasses.replace(PATIENT, name="DOE^Jane^^Dr", birth_date="")
    write_structure_set({}, tmp_path / "rs", patient=planner, study=STUDY, referenced=series)
    index = scan_folder(tmp_path)
    assert index.series[0].person == index.structure_sets[0].person != ""
    write(volume(), tmp_path / "other", "other", patient=dataclasses.replace(PATIENT, name="Roe^Jane"))
    assert len({entry.person for entry in scan_folder(tmp_path).series}) == 2
