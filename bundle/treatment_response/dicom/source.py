"""One MR series with its headers: what results need so that they can refer to the images that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from treatment_response.dicom.entries import SeriesEntry
from treatment_response.dicom.headers import has_contrast, header_date, identity, is_t1
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

MR_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("4", "4.1", "4.3", "4.4"))
"""SOP classes of MR images: single slices, enhanced, enhanced colour, and what was converted to enhanced."""


@dataclass(frozen=True)
class ImageReference:
    """The image that holds one slice. ``frame`` is its 1-based frame number in a multi-frame object, else None."""

    sop_class_uid: str
    sop_uid: str
    frame: int | None = None


@dataclass(frozen=True)
class MrSource:
    """One MR series of the PACS: its volume and the headers of its slices.

    Attributes:
        volume: values ``(I, J, K)`` in RAS mm, as :func:`treatment_response.dicom.series.read_series` gives them.
        headers: data sets without pixel data: one per slice in K order, or a single one for enhanced multi-frame.
        images: where each slice is stored, in K order, ``K`` of them.
    """

    volume: Volume
    headers: tuple[Dataset, ...]
    images: tuple[ImageReference, ...]

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return str(self.headers[0].get("StudyInstanceUID") or "")

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def frame_uid(self) -> str:
        """Frame of Reference UID; empty if the images state none."""
        return str(self.headers[0].get("FrameOfReferenceUID") or "")

    @property
    def modality(self) -> str:
        """Always ``MR``."""
        return str(self.headers[0].Modality)

    @cached_property
    def is_synthetic(self) -> bool:
        """Whether every image says twice that no person was scanned: in the family name and the study's description."""
        return all(
            identity(header)[0].split("^")[0] == "SYNTHETIC"
            and str(header.get("StudyDescription") or "").startswith("SYNTHETIC")
            for header in self.headers
        )

    @cached_property
    def date(self) -> Date | None:
        """Study date, see :func:`treatment_response.dicom.headers.header_date`; None if no image has one."""
        return next((found for header in self.headers if (found := header_date(header)) is not None), None)

    @cached_property
    def contrast(self) -> bool | None:
        """Whether a contrast agent was given; None if the headers do not say."""
        return next((found for header in self.headers if (found := has_contrast(header)) is not None), None)

    @property
    def t1(self) -> bool | None:
        """Whether the series is T1-weighted; None if the headers do not say."""
        return is_t1(self.headers[0])


def read_mr_source(folder: Path) -> MrSource:
    """Read the one MR series of a folder.

    Args:
        folder: holds the series' files and nothing else of DICOM.

    Raises:
        DataProblem: no MR series, several series or patients, damaged files, or a series that is no single volume.
    """
    return source_of(_only_series(folder))


def source_of(entry: SeriesEntry) -> MrSource:
    """Read a series of a scanned folder.

    Raises:
        DataProblem: damaged files, or a series that is no single volume, or none of MR images.
    """
    volume = read_series(entry)
    headers = [dcmread(path, stop_before_pixels=True, force=True) for path, _ in entry.files]
    _check_classes(headers)
    _check_common(headers, entry.name)
    return MrSource(volume, *_in_slice_order(headers, volume, entry.name))


def _only_series(folder: Path) -> SeriesEntry:
    if not folder.is_dir():
        raise DataProblem(Problem("MR series", "its folder does not exist", "load the series again"))
    index = scan_folder(folder)
    found = index.series
    if index.problems:
        first, more = index.problems[0], len(index.problems) - 1
        what = first.what + (f" (and {more} more file{'s' if more > 1 else ''} cannot be used)" if more else "")
        raise DataProblem(Problem(f"MR series, {first.where}", what, first.remedy))
    if not found:
        kinds = sorted(index.others) + ["RTSTRUCT"] * bool(index.structure_sets) + ["RTDOSE"] * bool(index.doses)
        what = f"expected MR images, found {', '.join(kinds) or 'none'}"
        raise DataProblem(Problem("MR series", what, "choose a T1-weighted MR series with contrast"))
    if other := sorted({entry.modality for entry in found} - {"MR"}):
        what = f"expected modality MR, found {', '.join(other)}"
        raise DataProblem(Problem("MR series", what, "choose a T1-weighted MR series with contrast"))
    if len(found) > 1:
        what = f"expected images of one series, found {len(found)} series"
        raise DataProblem(Problem("MR series", what, "load each series into a folder of its own"))
    return found[0]


def _check_classes(headers: list[Dataset]) -> None:
    """A CT or a screenshot whose modality says MR is none."""
    if any(header.get("SOPClassUID") not in MR_CLASSES for header in headers):
        what = "expected MR images, found objects of another class that call themselves MR"
        raise DataProblem(Problem("MR series", what, "choose the original T1-weighted MR series with contrast"))


def _check_common(headers: list[Dataset], name: str) -> None:
    """Results carry one patient, study and frame of reference: those of all images."""
    for keyword, what in (
        ("PatientID", "patients"),
        ("PatientName", "patients"),
        ("StudyInstanceUID", "studies"),
        ("FrameOfReferenceUID", "frames of reference"),
    ):
        if (count := len({str(header.get(keyword) or "") for header in headers})) > 1:
            remedy = "have the series corrected in the PACS, results cannot be assigned to it"
            raise DataProblem(Problem(name, f"expected images of one kind, found {count} {what} in it", remedy))


def _in_slice_order(
    headers: list[Dataset], volume: Volume, name: str
) -> tuple[tuple[Dataset, ...], tuple[ImageReference, ...]]:
    """Headers and references in K order. A slice that was sent twice is represented by its first copy."""
    at_slice: dict[int, tuple[Dataset, ImageReference]] = {}
    for header in headers:
        frames = header.get("PerFrameFunctionalGroupsSequence")
        places: list[tuple[int | None, list[float]]] = [(None, header.get("ImagePositionPatient"))]
        if frames is not None:
            places = [(number, _position(frame, header)) for number, frame in enumerate(frames, start=1)]
        for number, position in places:
            k = round(float(volume.to_index(flip_lps_ras(np.array([position], dtype=float)))[0, 2]))
            reference = ImageReference(str(header.SOPClassUID), str(header.SOPInstanceUID), number)
            at_slice.setdefault(k, (header, reference))
    if sorted(at_slice) != list(range(volume.array.shape[2])):
        what = "its images cannot be assigned to the slices of its volume"
        raise DataProblem(Problem(name, what, "export the complete series again"))
    ordered = [at_slice[k] for k in sorted(at_slice)]
    distinct = {reference.sop_uid: header for header, reference in ordered}
    return tuple(distinct.values()), tuple(reference for _, reference in ordered)


def _position(frame: Dataset, header: Dataset) -> list[float]:
    for group in (frame, *(header.get("SharedFunctionalGroupsSequence") or [])):
        if group.get("PlanePositionSequence"):
            return list(group.PlanePositionSequence[0].ImagePositionPatient)
    return list(header.ImagePositionPatient)
