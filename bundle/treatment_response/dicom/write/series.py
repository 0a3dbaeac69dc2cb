"""A volume as an MR series: one MR Image Storage object per slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import MRImageStorage

from treatment_response.dicom.write.base import decimal_strings, derived_uid, new_object, save, slice_geometry
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds, WrittenInstance, WrittenSeries
from treatment_response.dicom.write.pixels import TransferSyntax, describe_pixels, set_pixels, stored_values
from treatment_response.geometry import Volume, flip_lps_ras


def _t1_spin_echo(dataset: Dataset, *, contrast: bool, spacing: float) -> None:
    """The MR image module of a T1-weighted spin echo, the usual sequence before radiosurgery."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", ""
    dataset.MRAcquisitionType, dataset.EchoTrainLength = "2D", 1
    dataset.RepetitionTime, dataset.EchoTime = "550", "12"
    dataset.MagneticFieldStrength, dataset.ImagedNucleus, dataset.FlipAngle = "1.5", "1H", "90"
    dataset.NumberOfAverages, dataset.EchoNumbers = "1", "1"
    dataset.SliceThickness = dataset.SpacingBetweenSlices = decimal_strings(np.array([spacing]))[0]
    if contrast:
        dataset.ContrastBolusAgent, dataset.ContrastBolusRoute = "Gadolinium", "IV"


def _window(dataset: Dataset, values: np.ndarray) -> None:
    low, high = np.percentile(values[:: max(1, values.shape[0] // 64)], [1, 99.5])
    dataset.WindowCenter, dataset.WindowWidth = decimal_strings(np.array([(low + high) / 2, max(high - low, 1.0)]))


def _template(
    volume: Volume,
    series_uid: str,
    frame_uid: str,
    contrast: bool,
    syntax: TransferSyntax,
    sop_class: str,
    **ids: object,
) -> FileDataset:
    out = new_object(sop_class, "", "MR", series_uid, transfer_syntax=syntax.uid, **ids)  # type: ignore[arg-type]
    _t1_spin_echo(out, contrast=contrast, spacing=float(volume.spacing[2]))
    out.FrameOfReferenceUID, out.PositionReferenceIndicator, out.PatientPosition = frame_uid, "", "HFS"
    out.BodyPartExamined = "BRAIN"
    out.AcquisitionNumber = 1
    if out.StudyDate:
        out.AcquisitionDate = out.ContentDate = out.StudyDate
        out.AcquisitionTime = out.ContentTime = out.StudyTime
    return out


def write_series(
    volume: Volume,
    folder: Path,
    *,
    patient: PatientIds,
    study: StudyIds,
    series_uid: str,
    frame_uid: str,
    description: str = "T1",
    contrast: bool = True,
    transfer_syntax: TransferSyntax | str = TransferSyntax.EXPLICIT,
    signed: bool = False,
    slope: float = 1.0,
    intercept: float = 0.0,
    file_names: Callable[[int], str] | None = None,
    equipment: Equipment | None = None,
    series_number: int = 1,
    changes: Callable[[int, Dataset], None] | None = None,
) -> WrittenSeries:
    """Write a volume as a T1-weighted MR series, one file per slice along the volume's third axis.

    Args:
        volume: values ``(I, J, K)``; I runs along a pixel row, J down the rows, K across the slices; axes at
            right angles.
        folder: where the files go; made if absent.
        series_uid: also the source of the instances' UIDs, so they too are a function of the arguments.
        contrast: a gadolinium agent is stated.
        transfer_syntax: one of :class:`TransferSyntax` or its name.
        signed: store int16, else uint16.
        slope: value = stored · slope + intercept; the rescale attributes are written only if they do something.
        intercept: see ``slope``.
        file_names: slice index → file name; default ``IM0001.dcm``, …
        series_number: Series Number.
        changes: called with each slice's index and data set just before it is written, to plant a second echo, a
            missing date and the like.

    Returns:
        What structure sets and doses need to refer to this series.

    Raises:
        ValueError: values that do not fit into 16 bits, or axes not at right angles.
    """
    syntax = TransferSyntax(transfer_syntax)
    orientation, pixel_spacing, positions = slice_geometry(volume)
    stored = stored_values(volume.array, slope, intercept, signed)
    ids = {"patient": patient, "study": study, "equipment": equipment or Equipment()}
    template = _template(
        volume,
        series_uid,
        frame_uid,
        contrast,
        syntax,
        MRImageStorage,
        description=description,
        series_number=series_number,
        **ids,
    )
    template.ImageOrientationPatient, template.PixelSpacing = orientation, pixel_spacing
    describe_pixels(template, volume.array.shape[1], volume.array.shape[0], signed)
    _window(template, volume.array)
    if (slope, intercept) != (1.0, 0.0):
        template.RescaleSlope, template.RescaleIntercept = decimal_strings(np.array([slope, intercept]))
        template.RescaleType = "US"
    normal = np.cross(volume.affine[:3, 0], volume.affine[:3, 1])
    normal /= np.linalg.norm(normal)
    instances = []
    for index, position in enumerate(positions):
        sop_uid = derived_uid(series_uid, str(index))
        path = folder / (file_names(index) if file_names else f"IM{index + 1:04d}.dcm")
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = sop_uid
        template.InstanceNumber = index + 1
        template.ImagePositionPatient = decimal_strings(position)
        set_pixels(template, stored[:, :, index].T[None], syntax)
        if changes:
            changes(index, template)
        save(template, path)
        instances.append(WrittenInstance(sop_uid, flip_lps_ras(position), path))
    return WrittenSeries(study.study_uid, series_uid, frame_uid, str(MRImageStorage), normal, tuple(instances))
