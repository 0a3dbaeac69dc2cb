"""Read the header of one file for the scan: what later steps need, decoded and checked here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from treatment_response.dicom.file_structure import FileStructure, NotDicom, read_structure
from treatment_response.dicom.header_check import HEAVY, WANTED, header_fault, text_fault, text_notes
from treatment_response.dicom.object_kinds import kind_of_class
from treatment_response.dicom.outline_references import contour_images, frame_images
from treatment_response.dicom.regular_files import open_regular

_WANTED = frozenset(int(Tag(keyword)) for keyword in WANTED)
_PROBE = 1 << 16  # bytes that are looked at to tell what a file is that is no DICOM
_OTHER_FORMATS = (
    *(b"%PDF", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"GIF8", b"RIFF", b"\x7fELF", b"MZ", b"BM"),
    *(b"II*\0", b"MM\0*", b"SQLite", b"{\\rtf", b"7z\xbc\xaf", b"Rar!", b"NRRD", b"\x5c\x01\0\0"),
)


@dataclass(frozen=True)
class Header:
    """The header of one file.

    Attributes:
        dataset: elements that later steps use, without contours and functional groups.
        kind: ``MR``, ``RTSTRUCT``, … from the SOP class, else the modality; ``?`` if the file could be anything; empty
            if it is of another format.
        sop_uid: SOP Instance UID, empty if it cannot be told.
        fault: why the file cannot be used, as the end of "the file …"; empty if it can.
        outlined_images: SOP Instance UIDs of the images that contours or segmentation frames refer to.
        notes: what is odd in a file that can be used, as the end of "… files …".
    """

    path: Path
    dataset: Dataset
    kind: str = ""
    sop_uid: str = ""
    fault: str = ""
    remedy: str = ""
    outlined_images: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def patient_id(self) -> str:
        """Patient ID without blanks around it."""
        return text(self.dataset, "PatientID")

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return text(self.dataset, "SeriesInstanceUID")


def text(dataset: Dataset, keyword: str) -> str:
    """An element as text without blanks around it; empty if it is absent or cannot be decoded."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a damaged value fails anywhere inside the decoder
        return ""
    return "" if value is None else str(value).strip(" \0")


def read_header(path: Path) -> Header | None:
    """Read what the scan needs of a file, without its pixel data and within limits of time and memory.

    Returns:
        The header, with its ``fault`` if the file cannot be used; None for a DICOMDIR, which only lists other files.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                structure = read_structure(file, size, _WANTED)
            except NotDicom:
                return _no_dicom(path, file, size)
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        return Header(path, Dataset(), "?", fault=what, remedy="check the disk and the permissions")
    if structure.meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return None
    return _from_structure(path, structure)


def _no_dicom(path: Path, file: BinaryIO, size: int) -> Header:
    file.seek(0)
    start = file.read(_PROBE)
    if not start.strip(b"\0"):
        what = "is empty, expected DICOM" if size == 0 else "holds zeros, expected DICOM: it is damaged"
        return Header(path, Dataset(), "?", fault=what, remedy="export it again")
    foreign = start.startswith(_OTHER_FORMATS) or _is_text(start)
    remedy = "remove it if it does not belong here, export it again if it does"
    return Header(path, Dataset(), "" if foreign else "?", fault="is not DICOM", remedy=remedy)


def _is_text(start: bytes) -> bool:
    try:
        words = start.decode("utf-8", "strict") if len(start) < _PROBE else start[:-4].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in words)


def _from_structure(path: Path, structure: FileStructure) -> Header:
    dataset = structure.dataset
    damage = structure.damage or text_fault(dataset)
    notes = () if damage else text_notes(dataset)
    if structure.padding:
        notes = (*notes, "end with zero bytes, which were ignored")
    sop_class = text(dataset, "SOPClassUID") or text(structure.meta, "MediaStorageSOPClassUID")
    kind = kind_of_class(sop_class) or text(dataset, "Modality") or "?"
    sop_uid = text(dataset, "SOPInstanceUID") or text(structure.meta, "MediaStorageSOPInstanceUID")
    fault = damage or header_fault(structure, kind)
    images = frozenset() if fault else _outlined_images(dataset, kind)
    for keyword in HEAVY:
        if keyword in dataset:
            del dataset[keyword]
    return Header(path, dataset, kind, sop_uid, fault, "export it again" if fault else "", images, notes)


def _outlined_images(dataset: Dataset, kind: str) -> frozenset[str]:
    if kind == "RTSTRUCT":
        return contour_images(dataset)
    return frame_images(dataset) if kind == "SEG" else frozenset()
