"""What all derived images share: the frames they come from, the equipment that made them, where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
from highdicom import (
    UID,
    PatientSexValues,
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, TM, format_number_as_ds

from treatment_response.dicom.results.model import SOURCE, Maker, ModelIdentity, mark, refuse_mixing
from treatment_response.dicom.source import ImageReference, MrSource
from treatment_response.dicom.structure_items import image_item
from treatment_response.geometry import flip_lps_ras
from treatment_response.problems import DataProblem, Problem

SHORT_TEXT = 1024  # characters of DICOM's value representation ST
_LONG_STRING = 64  # of LO
_SERIES_PER_SET = 10

# Modules of the patient and the study, which a derived object takes over from its source.
_PERSON_GROUPS = (0x0010, 0x0012)
_STUDY = ("StudyInstanceUID", "StudyDescription", "IssuerOfAccessionNumberSequence")
_REQUIRED = {  # type 2: must be there, may be empty; the parser that a value has to pass
    "PatientID": str,
    "PatientName": str,
    "PatientBirthDate": DA,
    "PatientSex": PatientSexValues,
    "AccessionNumber": str,
    "StudyID": str,
    "StudyDate": DA,
    "StudyTime": TM,
    "ReferringPhysicianName": str,
}
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def check_source(source: MrSource, identity: ModelIdentity) -> None:
    """Refuse what no valid object can be made of or for.

    Raises:
        DataProblem: mixed synthetic and real, no frame of reference, or a volume spread over multi-frame objects.
    """
    refuse_mixing(source, identity)
    check_place(source)


def check_place(source: MrSource) -> None:
    """Raises: DataProblem: no frame of reference, or a volume spread over multi-frame objects."""
    remedy = "results cannot be placed in this series; have it exported again by the scanner"
    if not source.frame_uid:
        raise DataProblem(Problem("MR series", "its images state no frame of reference", remedy))
    if len(source.headers) not in (1, source.volume.array.shape[2]):
        what = f"its volume is spread over {len(source.headers)} multi-frame objects, expected one"
        raise DataProblem(Problem("MR series", what, remedy))


def check_grid(array: np.ndarray, source: MrSource, name: str) -> None:
    """Raises: DataProblem: the array does not lie on the MR's grid."""
    if array.shape != source.volume.array.shape:
        what = f"expected the MR's grid {source.volume.array.shape}, found {array.shape}"
        raise DataProblem(Problem(name, what, "compute it for this series"))


def planes(array: np.ndarray, slices: Sequence[int] | slice = slice(None)) -> np.ndarray:
    """Frames ``(K, rows, columns)`` of an array ``(I, J, K)``."""
    return np.ascontiguousarray(array[:, :, slices].transpose(2, 1, 0))


def source_images(source: MrSource, slices: Sequence[int]) -> list[Dataset]:
    """The source as highdicom wants it: the chosen slices in the given order, and nothing that it could trip over.

    Scanners and anonymisers leave out or misspell attributes that highdicom insists on, and enhanced objects may keep
    their geometry frame by frame; so these are data sets of our own, with what the headers say where that is valid.
    Positions are those of the volume: its grid is even, which readers of derived images insist on.

    Returns:
        One data set per slice, or a single multi-frame one for an enhanced source.
    """
    volume = source.volume
    orientation = PlaneOrientationSequence("PATIENT", _orientation(source))
    across, down, distance = (float(format_number_as_ds(float(value))) for value in volume.spacing)
    # Readers that know no distance between slices take the thickness for it.
    measures = PixelMeasuresSequence([down, across], distance, distance)
    corners = volume.to_world(np.array([[0, 0, k] for k in slices]))
    positions = [PlanePositionSequence("PATIENT", [float(value) for value in p]) for p in flip_lps_ras(corners)]
    if source.images[0].frame is None:
        return [
            _image(source, source.images[k], (position[0], orientation[0], measures[0]))
            for k, position in zip(slices, positions, strict=True)
        ]
    image = _image(source, source.images[0], ())
    image.NumberOfFrames = len(slices)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = measures, orientation
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for position in positions:
        frame = Dataset()
        frame.PlanePositionSequence = position
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    return [image]


def nameless_images(source: MrSource, slices: Sequence[int]) -> list[Dataset]:
    """:func:`source_images` without the patient's name, for highdicom's constructors; ``complete`` puts it in.

    highdicom warns of names that it finds odd, and the warning, which ends up in logs, spells the name out.
    """
    images = source_images(source, slices)
    for image in images:
        image.PatientName = ""
    return images


def _orientation(source: MrSource) -> list[float]:
    """Direction cosines as the source writes them, digit by digit: OHIF shows no map whose last digit differs."""
    header = source.headers[0]
    stated = header.get("ImageOrientationPatient")
    if stated is None:
        groups = [*header.SharedFunctionalGroupsSequence, *header.PerFrameFunctionalGroupsSequence]
        plane = next(group for group in groups if group.get("PlaneOrientationSequence"))
        stated = plane.PlaneOrientationSequence[0].ImageOrientationPatient
    return [float(value) for value in stated]


def _image(source: MrSource, reference: ImageReference, geometry: Sequence[Dataset]) -> Dataset:
    """One image of the source without pixels, with the attributes of ``geometry`` at its root."""
    header = source.headers[0]
    image = Dataset()
    taken = [element for group in _PERSON_GROUPS for element in header.group_dataset(group)]
    for element in [*taken, *(header[keyword] for keyword in _STUDY if keyword in header)]:
        image.add(copy(element))  # a copy, because setting an attribute changes the element that is there
    for keyword, parse in _REQUIRED.items():
        setattr(image, keyword, _valid(header.get(keyword), parse))
    if all(header.get(keyword) for keyword in _LOSSY):
        for keyword in _LOSSY:
            image.add(header[keyword])
    image.SOPClassUID, image.SOPInstanceUID = reference.sop_class_uid, reference.sop_uid
    image.SeriesInstanceUID, image.FrameOfReferenceUID = source.series_uid, source.frame_uid
    image.PositionReferenceIndicator = header.get("PositionReferenceIndicator")
    image.Modality = source.modality
    image.Columns, image.Rows = source.volume.array.shape[:2]
    for item in geometry:
        for element in item:
            image.add(element)
    return image


def _valid(value: object, parse: Callable[[Any], object]) -> object:
    """The value, or nothing where it is absent or misspelt."""
    if value in (None, ""):
        return ""
    try:
        parse(value)
    except (ValueError, TypeError):
        return ""
    return value


def object_arguments(maker: Maker, description: str, series_number: int) -> dict[str, Any]:
    """What the constructors of highdicom's images share. A person as creator is left empty: there is none.

    The number of the object's set, if it has one, stands in the series' description and raises its number by tens.
    """
    text = f"{mark(maker)} {description}"
    if len(text) > _LONG_STRING:
        text = text.removesuffix(" DATA")
    return {
        "series_instance_uid": UID(),
        "series_number": series_number + _SERIES_PER_SET * ((maker.set_number or 1) - 1),
        "sop_instance_uid": UID(),
        "instance_number": 1,
        "manufacturer": SOURCE,
        "manufacturer_model_name": maker.name,
        "software_versions": maker.version,
        "device_serial_number": maker.version,
        "series_description": text[:_LONG_STRING],
    }


def complete(dataset: Dataset, source: MrSource, maker: Maker) -> None:
    """Say what is left out so far, in place: the patient's name, times, and what contributed to the object."""
    dataset.SpecificCharacterSet = "ISO_IR 192"  # names in the source's own character set are written as UTF-8
    dataset.PatientName = source.headers[0].get("PatientName") or ""
    dataset.SeriesDate, dataset.SeriesTime = dataset.ContentDate, dataset.ContentTime
    if source.headers[0].get("LossyImageCompression") == "01":
        dataset.LossyImageCompression = "01"
    dataset.BodyPartExamined = source.headers[0].get("BodyPartExamined") or "BRAIN"
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.ProcessingEquipment)]
    item.Manufacturer, item.ManufacturerModelName = SOURCE, maker.name
    item.SoftwareVersions = maker.version
    item.ContributionDescription = maker.notice[:SHORT_TEXT]
    dataset.ContributingEquipmentSequence = [item]


def derivation(source: MrSource, k: int, code: Code, description: str) -> Dataset:
    """An item of the Derivation Image Sequence: slice ``k`` of the source and what was done with it."""
    reference = source.images[k]
    image = image_item(reference.sop_class_uid, reference.sop_uid, reference.frame)
    purpose = codes.cid7202.SourceImageForImageProcessingOperation
    image.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    image.SpatialLocationsPreserved = "YES"
    item = Dataset()
    item.DerivationDescription = description[:SHORT_TEXT]
    item.DerivationCodeSequence = [CodedConcept.from_code(code)]
    item.SourceImageSequence = [image]
    return item
