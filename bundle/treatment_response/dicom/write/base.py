"""The modules that all written objects share, and writing one of them to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds
from treatment_response.files import whole_file
from treatment_response.geometry import Volume, flip_lps_ras

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["treatment_response", "implementation"])


def derived_uid(*sources: str) -> str:
    """A UID that is a function of its sources, so that the same cohort is written twice with the same UIDs."""
    return str(generate_uid(entropy_srcs=["treatment_response", *sources]))


def decimal_strings(values: np.ndarray) -> list[str]:
    """Numbers as DICOM decimal strings: the closest that fit into 16 characters."""
    return [format_number_as_ds(float(value)) for value in np.asarray(values, dtype=float).ravel()]


def new_object(
    sop_class_uid: str,
    sop_uid: str,
    modality: str,
    series_uid: str,
    *,
    patient: PatientIds,
    study: StudyIds,
    equipment: Equipment,
    description: str,
    series_number: int,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> FileDataset:
    """A data set with file meta information and the patient, study, series, equipment and SOP common modules."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_uid
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "TREATRESP"
    out = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    out.is_little_endian = True
    out.is_implicit_VR = False
    out.SpecificCharacterSet = "ISO_IR 192"
    out.SOPClassUID, out.SOPInstanceUID = sop_class_uid, sop_uid
    out.PatientName, out.PatientID = patient.name, patient.patient_id
    out.PatientBirthDate, out.PatientSex = patient.birth_date, patient.sex
    out.StudyInstanceUID, out.StudyID, out.AccessionNumber = study.study_uid, study.study_id, study.accession_number
    out.StudyDate, out.StudyTime = study.date, study.time if study.date else ""
    out.ReferringPhysicianName = ""
    if study.description:
        out.StudyDescription = study.description
    out.Modality, out.SeriesInstanceUID, out.SeriesNumber = modality, series_uid, series_number
    if study.date:
        out.SeriesDate, out.SeriesTime = study.date, study.time
    if description:
        out.SeriesDescription = description
    out.Manufacturer, out.ManufacturerModelName = equipment.manufacturer, equipment.model
    out.StationName, out.SoftwareVersions = equipment.station, equipment.software
    out.DeviceSerialNumber = equipment.serial_number
    return out


def save(dataset: FileDataset, path: Path) -> None:
    """Write a DICOM file whole, so that no reader ever finds half of it."""
    with whole_file(path) as partial:
        dataset.save_as(partial, write_like_original=False)


def slice_geometry(volume: Volume) -> tuple[list[str], list[str], np.ndarray]:
    """How DICOM says a volume's place: orientation, pixel spacing, and the LPS position of every slice.

    The first array axis runs along a pixel row (increasing column), the second down the rows, the
    third across the slices.

    Returns:
        ImageOrientationPatient (6), PixelSpacing (2: between rows, between columns), positions ``(K, 3)`` in LPS mm.

    Raises:
        ValueError: the axes of the volume are not at right angles, so that no series can hold it.
    """
    axes = flip_lps_ras(volume.affine[:3, :3].T) / volume.spacing[:, None]
    if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-3:
        raise ValueError(
            "the volume's axes are not at right angles, so a DICOM series cannot hold it; resample it first"
        )
    count = volume.array.shape[2]
    corners = volume.to_world(np.stack([np.zeros(count), np.zeros(count), np.arange(count)], axis=1))
    orientation = decimal_strings(np.concatenate([axes[0], axes[1]]))
    spacing = decimal_strings(volume.spacing[[1, 0]])
    return orientation, spacing, flip_lps_ras(corners)
