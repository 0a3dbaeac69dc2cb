"""A study of the phantom in a real PACS: the MR and a structure set of its lesions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dicomweb_client.api import DICOMwebClient
from phantom_case import LESIONS, head, masks
from pydicom import dcmread
from treatment_response.dicom.write import PatientIds, StudyIds, write_series, write_structure_set
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import outline_mask

SYNTHETIC = PatientIds("SYN-041", "SYNTHETIC^041", "19500102", "F")
REAL = PatientIds("ID-4712", "Roe^Richard", "19510203", "M")


def write_study(
    folder: Path,
    name: str,
    patient: PatientIds = SYNTHETIC,
    rois: Sequence[str] = tuple(LESIONS),
    date: str = "20200131",
) -> tuple[str, str]:
    """Write a study of the phantom.

    Args:
        folder: for its files.
        name: makes its UIDs, so that studies of one PACS stay apart.
        rois: names of the lesions' contours; no structure set if empty.
        date: of the study.

    Returns:
        Study and series UID of the MR.
    """
    study = StudyIds(
        derived_uid("app study", name),
        date,
        "SYNTHETIC MR head" if patient.name.startswith("SYNTHETIC") else "MR head",
    )
    written = write_series(
        head(),
        folder / "mr",
        patient=patient,
        study=study,
        series_uid=derived_uid("app series", name),
        frame_uid=derived_uid("app frame", name),
        description="T1 MPRAGE Gd",
    )
    contours = {
        roi: [points for _, points in outline_mask(mask, head().affine)]
        for roi, mask in zip(rois, masks(), strict=False)
    }
    if contours:
        write_structure_set(contours, folder / "rtstruct.dcm", patient=patient, study=study, referenced=written)
    return study.study_uid, written.series_uid


def send(folder: Path, dicomweb: str) -> None:
    """Send all DICOM files of a folder."""
    DICOMwebClient(dicomweb).store_instances([dcmread(path) for path in sorted(folder.rglob("*.dcm"))])


def series_of(dicomweb: str, study_uid: str) -> dict[str, list[str]]:
    """Series UIDs of a study by modality."""
    found: dict[str, list[str]] = {}
    for series in DICOMwebClient(dicomweb).search_for_series(study_uid):
        found.setdefault(series["00080060"]["Value"][0], []).append(series["0020000E"]["Value"][0])
    return found


def retrieve(dicomweb: str, study_uid: str, series_uid: str) -> list:
    """All objects of a series."""
    return DICOMwebClient(dicomweb).retrieve_series(study_uid, series_uid)
