"""An instance is known by its patient and UID; copies count once, rivals are told and never decided by their path."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_case import MARKER, PATIENT, STUDY, volume, write
from outline_case import ball, mr, place, segmentation, write_mr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RLELossless
from treatment_response.dicom.entries import DicomIndex, OutlineKind
from treatment_response.dicom.headers import names_a_person
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.dicom.write import write_dose, write_plan, write_structure_set
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem


def changed_copy(source: Path, target: Path, **values: object) -> None:
    dataset = dcmread(source)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(target)


def test_two_patients_with_the_same_uids_both_stay(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a")
    other = dataclasses.replace(PATIENT, patient_id="0815", name="Roe^Jim")
    write(Volume(volume().array + 1, volume().affine), tmp_path / "b", patient=other)
    index = scan_folder(tmp_path)
    assert sorted((entry.patient_id, len(entry.files), entry.fault) for entry in index.series) == [
        ("0815", 9, ""),
        ("ID-4711", 9, ""),
    ]
    assert any("9 SOP Instance UID(s) occur in files of several patient ids" in note.what for note in index.notes)
    for entry in index.series:
        expected = volume().array.max() + (entry.patient_id == "0815")
        assert read_series(entry).array.max() == expected


def test_one_image_uid_with_two_contents_spoils_the_series(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    dataset = dcmread(tmp_path / "a/IM0003.dcm")
    pixels = np.frombuffer(dataset.PixelData, np.uint16).copy()
    pixels[5] += 1
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(tmp_path / "b/other")
    [entry] = scan_folder(tmp_path).series
    assert len(entry.files) == 9
    with pytest.raises(DataProblem, match="SOP Instance UID another file has with other content"):
        read_series(entry)


def test_the_same_content_in_another_coat_is_a_copy(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    dataset = dcmread(tmp_path / "a/IM0001.dcm")
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "b/rle")
    dataset = dcmread(tmp_path / "a/IM0002.dcm")
    dataset.file_meta.TransferSyntaxUID, dataset.is_implicit_VR = ImplicitVRLittleEndian, True
    dataset.preamble = b"II*\0" + bytes(124)
    dataset.save_as(tmp_path / "b/implicit")
    changed_copy(tmp_path / "a/IM0003.dcm", tmp_path / "b/headed", StationName="ARCHIVE", InstitutionName="Ward 3")
    index = scan_folder(tmp_path)
    assert [note.where for note in index.copies] == ["file b/headed", "file b/implicit", "file b/rle"]
    assert [(len(entry.files), entry.fault) for entry in index.series] == [(9, "")]


def radiotherapy(root: Path) -> None:
    image = volume("axial")
    series = write(image, root / "mr")
    square = image.to_world(np.array([[1, 1, MARKER[2]], [6, 1, MARKER[2]], [6, 9, MARKER[2]]]))
    common = {"patient": PATIENT, "study": STUDY}
    uid = write_structure_set({"GTV 1": [square]}, root / "rs", referenced=series, **common)
    plan = write_plan(root / "rp", structure_set_uid=uid, frame_uid=series.frame_uid, prescription_gy=18.0, **common)
    write_dose(image, root / "rd", frame_uid=series.frame_uid, structure_set_uid=uid, plan_uid=plan, **common)


def test_rival_structure_sets_are_both_there_and_rival_doses_and_plans_are_told(tmp_path: Path) -> None:
    radiotherapy(tmp_path)
    structures = dcmread(tmp_path / "rs")
    structures.ROIContourSequence[0].ContourSequence[0].ContourData[0] += 1
    structures.save_as(tmp_path / "rs2")
    changed_copy(tmp_path / "rd", tmp_path / "rd2", DoseGridScaling="0.5")
    plan = dcmread(tmp_path / "rp")
    plan.DoseReferenceSequence[0].TargetPrescriptionDose = "20"
    plan.save_as(tmp_path / "rp2")
    index = scan_folder(tmp_path)
    assert [(entry.path.name, entry.rival) for entry in index.structure_sets] == [("rs", True), ("rs2", True)]
    assert not index.doses
    assert not index.plans
    assert [(one.path.name, one.kind) for one in index.damaged] == [
        *(("rd", "RTDOSE"), ("rd2", "RTDOSE"), ("rp", "RTPLAN"), ("rp2", "RTPLAN")),
    ]
    assert all("other content" in problem.what for problem in index.problems)


def test_copies_of_radiotherapy_objects_are_no_rivals(tmp_path: Path) -> None:
    radiotherapy(tmp_path)
    for name in ("rs", "rd", "rp"):
        changed_copy(tmp_path / name, tmp_path / f"{name}2", StationName="ARCHIVE")
    index = scan_folder(tmp_path)
    assert (len(index.structure_sets), len(index.doses), len(index.plans), len(index.copies)) == (1, 1, 1, 3)
    assert not index.structure_sets[0].rival
    assert not index.damaged


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"FrameOfReferenceUID": "1.2.3"}, "2 frames of reference"),
        ({"StudyDate": "20200301"}, "2 study dates"),
    ],
)
def test_a_series_that_contradicts_itself_is_told(tmp_path: Path, values: dict[str, str], message: str) -> None:
    write(volume(), tmp_path)
    changed_copy(tmp_path / "IM0009.dcm", tmp_path / "IM0009.dcm", **values)
    assert message in scan_folder(tmp_path).series[0].fault


def test_what_a_structure_set_says_of_itself(tmp_path: Path) -> None:
    radiotherapy(tmp_path)
    dataset = dcmread(tmp_path / "rs")
    dataset.ApprovalStatus, dataset.StructureSetDate, dataset.StructureSetTime = "APPROVED", "20200201", "081502.5"
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    dataset.save_as(tmp_path / "rs")
    index = scan_folder(tmp_path)
    [entry], [series] = index.structure_sets, index.series
    assert (entry.approval, entry.drawn_at, entry.kind) == ("APPROVED", "20200201081502.5", OutlineKind.CONTOURS)
    assert entry.frame_uids == {series.frame_uid}  # what the set lists; its ROIs are held against it later
    assert len(entry.contour_sop_uids) == 1
    assert entry.contour_sop_uids < entry.referenced_sop_uids == {uid for _, uid in series.files}


def test_a_segmentation_is_an_entry_with_its_references(tmp_path: Path) -> None:
    image = mr("oblique")
    referenced = write_mr(image, tmp_path / "mr", "oblique")
    mask = ball(image, place(image, 8, -6, 5), 6.0)
    segmentation({"GTV 1": mask, "Edema": ball(image, place(image, -8, 0, 0), 5.0)}, referenced).save_as(
        tmp_path / "seg"
    )
    index = scan_folder(tmp_path)
    [entry], [series] = index.segmentations, index.series
    assert (entry.kind, entry.roi_names) == (OutlineKind.VOXELS, ("GTV 1", "Edema"))
    assert entry.name.startswith("segmentation")
    assert entry.referenced_series_uids == (series.series_uid,)
    assert entry.contour_sop_uids
    assert entry.contour_sop_uids <= entry.referenced_sop_uids <= {uid for _, uid in series.files}
    assert entry.frame_uids == {series.frame_uid}
    assert entry.drawn_at[:2] == "20"
    assert index.others == {}


def persons(root: Path, *statements: dict[str, str]) -> DicomIndex:
    for number, values in enumerate(statements):

        def change(_: int, dataset: Dataset, values: dict[str, str] = values) -> None:
            for keyword, value in values.items():
                setattr(dataset, keyword, value)

        write(volume(), root / str(number), f"series {number}", changes=change)
    return scan_folder(root)


def test_the_sex_tells_persons_apart_where_both_files_state_it(tmp_path: Path) -> None:
    index = persons(tmp_path / "a", {"PatientSex": "F"}, {"PatientSex": "M"})
    assert len({entry.person for entry in index.series}) == 2
    index = persons(tmp_path / "b", {"PatientSex": "F"}, {"PatientSex": ""}, {"PatientSex": "O"})
    assert len({entry.person for entry in index.series}) == 1
    # Another id's files say nothing about the sex: the same name and birth date are still the same person.
    index = persons(tmp_path / "c", {"PatientSex": "F"}, {"PatientSex": "", "PatientID": "other"})
    assert len({entry.person for entry in index.series}) == 1
    assert all(entry.person_known for entry in index.series)


@pytest.mark.parametrize(
    ("name", "birth", "expected"),
    [
        ("DOE^JANE", "19500102", True),
        ("MÜLLER^X", "19500101", True),
        ("DOE^JANE", "", False),
        ("", "19500102", False),
        ("ANONYMOUS", "19500102", False),
        ("ANON123^", "19500102", False),
        ("PATIENT^17", "19500102", False),
        ("TEST^TEST", "19500102", False),
        ("DOE^JANE", "19000101", False),
        ("DOE^JANE", "unknown", False),
        ("017", "19500102", False),
    ],
)
def test_placeholders_name_nobody(name: str, birth: str, expected: bool) -> None:
    assert names_a_person(name, birth) is expected


def test_blanks_around_an_id_do_not_make_another_patient(tmp_path: Path) -> None:
    write(volume(), tmp_path)
    changed_copy(tmp_path / "IM0001.dcm", tmp_path / "IM0001.dcm", PatientID=" ID-4711 ")
    [entry] = scan_folder(tmp_path).series
    assert (entry.patient_id, len(entry.files)) == ("ID-4711", 9)


def test_a_copy_under_a_link_counts_once(tmp_path: Path) -> None:
    write(volume(), tmp_path / "store")
    (tmp_path / "links").mkdir()
    for path in (tmp_path / "store").iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    shutil.move(tmp_path / "store", tmp_path.parent / f"{tmp_path.name} store")
    index = scan_folder(tmp_path)
    assert len(index.damaged) == 9
    assert all("leads nowhere" in problem.what for problem in index.problems)
    shutil.move(tmp_path.parent / f"{tmp_path.name} store", tmp_path / "store")
    index = scan_folder(tmp_path)
    assert (len(index.series[0].files), len(index.copies), index.damaged) == (9, 9, [])
