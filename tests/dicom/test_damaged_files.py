"""A damaged file is told with all that is still known of it, and never changes what the others say in silence."""

from __future__ import annotations

import os
import resource
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_case import MARKER, PATIENT, STUDY, volume, write
from pydicom import dcmread
from pydicom.dataset import Dataset
from treatment_response.dicom.entries import DamagedFile, DicomIndex
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.dicom.write import TransferSyntax, write_plan, write_structure_set
from treatment_response.problems import DataProblem


def only_damaged(root: Path) -> DamagedFile:
    [damaged] = scan_folder(root).damaged
    assert len(str(damaged.problem).splitlines()) == 1
    return damaged


def structure_set(folder: Path) -> Path:
    """Two ROIs of three slices each, on a series beside it."""
    image = volume("axial")
    series = write(image, folder / "mr")
    square = np.array([[1, 1], [6, 1], [6, 9], [1, 9]])
    planes = [image.to_world(np.c_[square, np.full(4, k)]) for k in range(MARKER[2], MARKER[2] + 3)]
    rois = {"GTV 1": planes, "GTV 2": [np.add(plane, [8, 0, 0]) for plane in planes], "Skull": []}
    path = folder / "rs"
    write_structure_set(rois, path, patient=PATIENT, study=STUDY, referenced=series)
    return path


@pytest.mark.parametrize("kind", ["rs", "mr/IM0004.dcm", "rp"])
def test_bytes_that_are_missing_or_too_many_are_noticed_wherever_they_were(tmp_path: Path, kind: str) -> None:
    structure_set(tmp_path)
    write_plan(
        tmp_path / "rp", patient=PATIENT, study=STUDY, structure_set_uid="1.2", frame_uid="1.3", prescription_gy=18.0
    )
    content = (tmp_path / kind).read_bytes()
    path = tmp_path / "alone/file"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    for _ in range(40):
        start, count = int(rng.integers(132, len(content) - 2)), int(rng.integers(1, 200))
        for changed in (content[:start] + content[start + count :], content[:start] + b"\1" * count + content[start:]):
            path.write_bytes(changed)
            assert len(scan_folder(path.parent).damaged) == 1, (start, count)


def test_what_is_known_of_a_damaged_structure_set_is_kept(tmp_path: Path) -> None:
    path = structure_set(tmp_path)
    content = path.read_bytes()
    middle = content.index(b"GTV 2") - 60
    path.write_bytes(content[:middle] + content[middle + 158 :])
    damaged = only_damaged(tmp_path)
    assert (damaged.patient_id, damaged.kind, str(damaged.date)) == ("ID-4711", "RTSTRUCT", "2020-01-31")
    assert "is damaged" in damaged.problem.what


def unknown_vr(content: bytes) -> bytes:
    place = content.index(b"\x08\x00\x60\x00CS")
    return content[: place + 4] + b"Cr" + content[place + 6 :]


def stated(path: Path, keyword: str, words: bytes) -> None:
    """Write bytes as a value, whatever pydicom thinks of them; explicit VR, short values."""
    dataset = dcmread(path)
    element = dataset[keyword]
    head = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little") + element.VR.encode()
    content = path.read_bytes()
    place = content.index(head, 132)
    length = int.from_bytes(content[place + 6 : place + 8], "little")
    words += b" " * (len(words) % 2)
    new = head + len(words).to_bytes(2, "little") + words
    path.write_bytes(content[:place] + new + content[place + 8 + length :])


@pytest.mark.parametrize(
    ("keyword", "words", "message"),
    [
        ("RescaleSlope", b"nan", "Rescale Slope is no finite number"),
        ("RescaleSlope", b"0", "Rescale Slope is 0"),
        ("RescaleIntercept", b"inf", "Rescale Intercept is no finite number"),
        ("PixelSpacing", b"0.7", "Pixel Spacing has 1 values, expected 2"),
        ("PixelSpacing", b"0.7\\-0.9", "Pixel Spacing is not above 0"),
        ("ImagePositionPatient", b"1\\2\\x", "Image Position (Patient)"),
        ("ImageOrientationPatient", b"1\\0\\0", "Image Orientation (Patient) has 3 values"),
        ("SeriesInstanceUID", b"1.2.x", "Series Instance UID is no UID"),
        ("SeriesInstanceUID", b"1.2.3\0\0\0", "Series Instance UID holds bytes that are no letters"),
        ("StudyDate", b"20241341", "Study Date is no date"),
        ("Modality", b"NR", "states another modality"),
        ("Rows", b"\x30\x00", "bytes of pixel data"),
        ("SOPClassUID", b"1.2.840.10008.5.1.4.1.1.2", "SOP class"),
    ],
)
def test_values_that_cannot_be_are_told_in_the_scan(tmp_path: Path, keyword: str, words: bytes, message: str) -> None:
    write(volume(), tmp_path, slope=0.5)
    stated(tmp_path / "IM0009.dcm", keyword, words)
    index = scan_folder(tmp_path)
    [damaged] = index.damaged
    assert message in damaged.problem.what
    assert (damaged.patient_id, damaged.kind in ("MR", "CT")) == ("ID-4711", True)


def test_an_unknown_value_representation_is_told(tmp_path: Path) -> None:
    write(volume(), tmp_path)
    path = tmp_path / "IM0009.dcm"
    path.write_bytes(unknown_vr(path.read_bytes()))
    damaged = only_damaged(tmp_path)
    assert "unknown value representation" in damaged.problem.what
    assert (damaged.patient_id, damaged.kind) == ("ID-4711", "MR")


def test_a_damaged_last_slice_does_not_shorten_the_volume(tmp_path: Path) -> None:
    write(volume(), tmp_path, slope=0.5)
    stated(tmp_path / "IM0009.dcm", "RescaleSlope", b"nan")
    [entry] = scan_folder(tmp_path).series
    assert "1 image(s) that cannot be used" in entry.fault
    with pytest.raises(DataProblem, match="Rescale Slope is no finite number"):
        read_series(entry)


def test_a_damaged_copy_beside_a_sound_file_changes_nothing(tmp_path: Path) -> None:
    path = structure_set(tmp_path)
    before = scan_folder(tmp_path)
    copies = tmp_path / "copies"
    copies.mkdir()
    shutil.copy(tmp_path / "mr/IM0002.dcm", copies / "a")
    stated(copies / "a", "StudyDate", b"20241341")
    (copies / "b").write_bytes(path.read_bytes()[:-200])
    index = scan_folder(tmp_path)
    assert not index.damaged
    assert [note.where for note in index.notes] == ["file copies/a", "file copies/b"]
    assert all("the same instance is sound in" in note.what for note in index.notes)
    assert (index.series, index.structure_sets) == (before.series, before.structure_sets)


def orphan_contours(dataset: Dataset) -> None:
    dataset.StructureSetROISequence.pop(1)


def no_reference(dataset: Dataset) -> None:
    del dataset.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0].ReferencedSOPInstanceUID


def no_rois(dataset: Dataset) -> None:
    del dataset.StructureSetROISequence


def item_outside(dataset: Dataset) -> None:
    dataset.ROIName = "GTV 2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (orphan_contours, "contours of ROI number 2, which is not in its list"),
        (no_reference, "Contour Image Sequence does not say to what it refers"),
        (no_rois, "without a list of its ROIs"),
        (item_outside, "an attribute of an item lies outside its sequence"),
    ],
)
def test_structure_sets_that_contradict_themselves(
    tmp_path: Path, change: Callable[[Dataset], None], message: str
) -> None:
    path = structure_set(tmp_path)
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)
    assert message in only_damaged(tmp_path).problem.what


def test_coordinates_that_are_no_numbers(tmp_path: Path) -> None:
    path = structure_set(tmp_path)
    content = path.read_bytes()
    place = content.index(b"\x06\x30\x50\x00DS") + 8
    path.write_bytes(content[:place] + b"1..2" + content[place + 4 :])
    assert "Contour Data are no numbers" in only_damaged(tmp_path).problem.what


@pytest.mark.parametrize("dose", ["-2", "2000"])
def test_a_prescription_that_cannot_be_is_told(tmp_path: Path, dose: str) -> None:
    write_plan(
        tmp_path / "rp", patient=PATIENT, study=STUDY, structure_set_uid="1.2", frame_uid="1.3", prescription_gy=18.0
    )
    dataset = dcmread(tmp_path / "rp")
    target = Dataset()
    target.DoseReferenceType, target.TargetPrescriptionDose = "TARGET", dose
    dataset.DoseReferenceSequence = [target]
    dataset.save_as(tmp_path / "rp")
    assert f"prescribes {dose} Gy" in only_damaged(tmp_path).problem.what
    target.DoseReferenceType = "ORGAN_AT_RISK"
    dataset.save_as(tmp_path / "rp")
    assert scan_folder(tmp_path).plans[0].prescriptions == ()


@pytest.mark.parametrize(
    ("used", "claimed"),
    [
        (TransferSyntax.EXPLICIT, "1.2.840.10008.1.2"),
        (TransferSyntax.EXPLICIT, "1.2.840.10008.1.2.2"),
        (TransferSyntax.EXPLICIT, "1.2.840.10008.1.2.1.99"),
        (TransferSyntax.EXPLICIT, "1.2.840.10008.1.2.5"),
        (TransferSyntax.RLE, "1.2.840.10008.1.2.1"),
        (TransferSyntax.DEFLATED, "1.2.840.10008.1.2.1"),
    ],
)
def test_a_transfer_syntax_that_lies_is_told(tmp_path: Path, used: TransferSyntax, claimed: str) -> None:
    write(volume(), tmp_path, transfer_syntax=used)
    path = tmp_path / "IM0001.dcm"
    true = used.uid.encode()
    content = path.read_bytes()
    place = content.index(b"\2\0\x10\0UI") + 8
    width = len(true) + len(true) % 2
    new = claimed.encode() + b"\0" * (len(claimed) % 2)
    length = len(new).to_bytes(2, "little")
    path.write_bytes(content[: place - 2] + length + new + content[place + width :])
    damaged = only_damaged(tmp_path)
    assert damaged.kind == "MR"
    assert "transfer syntax" in damaged.problem.what or "damaged" in damaged.problem.what


def hostile(folder: Path) -> DicomIndex:
    """A folder full of what must not be opened, or not be read whole."""
    write(volume(), folder / "mr")
    sound = (folder / "mr/IM0001.dcm").read_bytes()
    place = sound.index(b"\x10\x00\x20\x00LO")
    os.mkfifo(folder / "pipe.dcm")
    (folder / "loop").symlink_to("loop")
    (folder / "here").symlink_to(".")
    (folder / "null").symlink_to("/dev/null")
    (folder / "zeros").touch()
    os.truncate(folder / "zeros", 50 << 30)
    (folder / "huge").write_bytes(sound[:place] + b"\x10\x00\x20\x00UN\0\0\xf0\xff\xff\xff" + sound[place:])
    os.truncate(folder / "huge", 8 << 30)
    (folder / "long").write_bytes(sound[:place] + b"\x10\x00\x20\x00UN\0\0\xf0\xff\xff\xff" + sound[place:])
    write(volume(), folder / "deflated", "deflated", transfer_syntax=TransferSyntax.DEFLATED)
    bomb = folder / "deflated/IM0001.dcm"
    content = bomb.read_bytes()
    start = content.index(b"\2\0\0\0UL\4\0") + 12
    start += int.from_bytes(content[start - 4 : start], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(zlib.decompress(content[start:], -15))
    data += b"".join(packer.compress(b"\0" * (16 << 20)) for _ in range(20)) + packer.flush()
    bomb.write_bytes(content[:start] + data)
    return scan_folder(folder)


def test_pipes_loops_and_huge_files_cost_nothing(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    index = hostile(tmp_path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    told = {problem.where: problem.what for problem in [*index.problems, *index.notes]}
    assert "is a pipe" in told["file pipe.dcm"]
    assert "leads nowhere" in told["file loop"]
    assert "link to a folder" in told["file here"]
    assert "is a device" in told["file null"]
    assert "holds zeros" in told["file zeros"]
    assert "header value" in told["file huge"]
    assert "truncated" in told["file long"]
    assert "inflates to more than" in told["file deflated/IM0001.dcm"]
    assert [damaged.kind for damaged in index.damaged if damaged.path.name == "zeros"] == ["?"]
    assert [len(entry.files) for entry in index.series if "mr" in str(entry.files[0][0].parent)] == [9]


def test_texts_are_no_dicom_and_other_bytes_could_be_anything(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Grüße\n" * 50)
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n" + bytes(300))
    (tmp_path / "broken").write_bytes(np.random.default_rng(0).bytes(3000))
    kinds = {damaged.path.name: damaged.kind for damaged in scan_folder(tmp_path).damaged}
    assert kinds == {"text": "", "picture": "", "broken": "?"}
