"""One patient of rated studies over time: which pairs are taken, what is known of each, and what is written."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.cohort.layout import write_volume
from treatment_response.cohort.study_pairs import (
    Operation,
    Pair,
    RatedStudy,
    TimePoint,
    pair_studies,
    since_operation,
)
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference
from treatment_response.problems import DataProblem

EARLIER = "_earlier"
COMPARTMENTS_IMAGE = "compartments"
"""Name among a case's images of the label map of its current study."""
_SUFFIXES = {"T1": "T1w", "CT1": "ce-gadolinium_T1w", "T2": "T2w", "FLAIR": "FLAIR"}


@dataclass(frozen=True)
class StudyImages:
    """The images of one study, all on one grid.

    Attributes:
        images: sequence → image.
        labels: compartments on the same grid; None if there are none.
        notes: what a person should know of them.
    """

    images: Mapping[str, Volume]
    labels: Volume | None = None
    notes: tuple[str, ...] = ()


class StudyReader(Protocol):
    """Reads a study's images in one of several preprocessings; it is pickled on its way to a worker."""

    @property
    def name(self) -> str:
        """What it does, in words for the report."""

    @property
    def preparation(self) -> ImagePreparation:
        """What ``dataset.json`` calls it, so that a server prepares a study in the same way."""

    def files(self, folder: Path) -> dict[str, Path]:
        """Sequence → the file that it would read, there or not."""

    def read(self, folder: Path, sequences: Sequence[str], labels: Volume | None, where: str) -> StudyImages:
        """The images of a study's folder.

        Raises:
            DataProblem: one cannot be used.
        """


@dataclass(frozen=True)
class PairedStudy:
    """One study as it is known before its images are read.

    Attributes:
        rated: for pairing.
        folder: None of a rated study without images.
        labels: its compartments as they were segmented.
        volumes: mm³ by compartment; empty if unknown.
        rating, rationale: as written.
        notes: faults that do not keep it from being used.
    """

    rated: RatedStudy
    folder: Path | None
    labels: Volume | None = field(default=None, repr=False)
    volumes: Mapping[str, float] = field(default_factory=dict)
    rating: str = ""
    rationale: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairedPatient:
    """A patient's studies.

    Attributes:
        compartments: names of the label map's numbers 1, 2, …
        measured: the compartment whose smallest volume is the nadir.
        facts: more columns of ``cases.csv``, the same for all studies.
    """

    subject: str
    studies: Sequence[PairedStudy]
    operations: Collection[Operation]
    compartments: Sequence[str]
    measured: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class PatientPairs:
    """What became of a patient; plain values, so that they can be kept in a file.

    Attributes:
        entries: of ``dataset.json``, without folds.
        rows: of ``cases.csv``, without folds, in the order of the entries.
        studies: rows of ``studies.csv``.
        left_out: study → why it is no case.
        notes: what a person should know.
        problems: faults of the input.
    """

    subject: str
    entries: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    studies: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def make_pairs(
    patient: PairedPatient, sequences: Sequence[str], reader: StudyReader, root: Path | None
) -> PatientPairs:
    """Pair a patient's studies, read their images and write them.

    Args:
        sequences: that both studies of a pair must have.
        root: of the data set; None decides everything and writes nothing.
    """
    outcome = PatientPairs(patient.subject)
    by_time = {study.rated.at: study for study in patient.studies}
    unusable: dict[TimePoint, str] = {}
    images: dict[TimePoint, StudyImages] = {}
    if root is not None:
        _remove_earlier_attempt(root, patient.subject)
    while True:  # a study whose images cannot be used moves its successor to the study before it
        pairs, left_out = pair_studies([one.rated for one in patient.studies], patient.operations, sequences, unusable)
        needed = {study.at for pair in pairs for study in (pair.study, pair.earlier)}
        faults: dict[TimePoint, str] = {}
        for at in sorted(needed - set(images)):
            try:
                images[at] = _read(patient, by_time[at], sequences, reader, root)
            except DataProblem as error:
                outcome.problems += [str(problem) for problem in error.problems]
                faults[at] = "its images cannot be used, see the problems"
        if not faults:
            break
        unusable |= faults
    for pair in pairs:
        if difference := _difference(images[pair.study.at], images[pair.earlier.at]):
            what = f"its images and those of {pair.earlier.at.name} lie on different grids ({difference})"
            left_out[pair.name] = what
            continue
        labels = images[pair.study.at].labels
        outcome.entries.append(_entry(patient.subject, pair, sequences, labels is not None))
        outcome.rows.append({**_row(patient, pair, by_time), "mask": labels is not None, **patient.facts})
    outcome.left_out = left_out
    cases = {entry["case"] for entry in outcome.entries}
    for study in sorted(patient.studies, key=lambda one: one.rated.at):
        at = study.rated.at
        read = images[at].notes if at in images else ()
        outcome.notes += [f"{at.name}: {note}" for note in (*study.notes, *read)]
        outcome.studies.append(_study_row(patient, study, at.name in cases))
    return outcome


def _remove_earlier_attempt(root: Path, subject: str) -> None:
    for folder in (root / subject, root / "derivatives" / "masks" / subject):
        shutil.rmtree(folder, ignore_errors=True)


def _read(
    patient: PairedPatient, study: PairedStudy, sequences: Sequence[str], reader: StudyReader, root: Path | None
) -> StudyImages:
    """Read and write a study's images; what is returned holds no values, to spare memory.

    Raises:
        DataProblem: one cannot be used.
    """
    assert study.folder is not None  # it has sequences
    at = study.rated.at
    read = reader.read(study.folder, sequences, study.labels, f"{patient.subject} {at.name}")
    labels = read.labels if read.labels is not None and read.labels.array.any() else None
    if root is not None:
        for name, image in read.images.items():
            write_volume(root / image_file(patient.subject, at, name), image)
        if labels is not None:
            write_volume(root / labels_file(patient.subject, at), labels)
            mask = Volume((labels.array > 0).astype(np.uint8), labels.affine)
            write_volume(root / mask_file(patient.subject, at), mask)
    empty = {name: _without_values(image) for name, image in read.images.items()}
    return StudyImages(empty, None if labels is None else _without_values(labels), read.notes)


def _without_values(volume: Volume) -> Volume:
    """The grid alone: an array of the same shape that takes no memory."""
    return Volume(np.broadcast_to(np.uint8(0), volume.array.shape), volume.affine)


def _difference(one: StudyImages, other: StudyImages) -> str:
    return grid_difference(next(iter(one.images.values())), next(iter(other.images.values())))


def _session(at: TimePoint) -> str:
    """A BIDS session: letters and digits alone."""
    return f"ses-week{at.week:03d}" + (f"n{at.repeat}" if at.repeat else "")


def image_file(subject: str, at: TimePoint, sequence: str) -> str:
    """Path of a study's image in the data set."""
    return f"{subject}/{_session(at)}/anat/{subject}_{_session(at)}_{_SUFFIXES[sequence]}.nii.gz"


def mask_file(subject: str, at: TimePoint) -> str:
    """Path of a study's mask of all compartments together."""
    return f"derivatives/masks/{subject}/{_session(at)}/{subject}_{_session(at)}_label-tumour_mask.nii.gz"


def labels_file(subject: str, at: TimePoint) -> str:
    """Path of a study's compartments."""
    return f"derivatives/masks/{subject}/{_session(at)}/{subject}_{_session(at)}_dseg.nii.gz"


def _entry(subject: str, pair: Pair, sequences: Sequence[str], has_labels: bool) -> dict[str, Any]:
    images = {name: image_file(subject, pair.study.at, name) for name in sequences}
    images |= {name + EARLIER: image_file(subject, pair.earlier.at, name) for name in sequences}
    entry: dict[str, Any] = {"subject": subject, "case": pair.name, "label": pair.study.label, "images": images}
    if has_labels:
        images[COMPARTMENTS_IMAGE] = labels_file(subject, pair.study.at)
        entry["mask"] = mask_file(subject, pair.study.at)
    return entry


def _row(patient: PairedPatient, pair: Pair, by_time: Mapping[TimePoint, PairedStudy]) -> dict[str, Any]:
    """The numbers of a pair; a volume that is not known is None."""
    at, earlier = pair.study.at, pair.earlier.at
    times = list(by_time)
    operations = [one for one in patient.operations if one.at <= at]
    comparable = since_operation(times, patient.operations, at)
    first_operation = min((one.at for one in operations), default=None)
    ever = [one for one in sorted(times) if one < at and (first_operation is None or one >= first_operation)]
    row: dict[str, Any] = {
        "weeks": at.week,
        "weeks_earlier": earlier.week,
        "weeks_between": at.week - earlier.week,
        "weeks_since_baseline": at.week - comparable[0].week if comparable else None,
        "weeks_since_operation": at.week - max(one.at.week for one in operations) if operations else None,
        "operations_before": len(operations),
        "rating": by_time[at].rating,
        "rationale": by_time[at].rationale,
    }
    for name, point in (("", at), (EARLIER, earlier)):
        row |= _volumes(patient, by_time[point], name)
    row |= _reference_volumes(patient, by_time, comparable, "")
    return row | _reference_volumes(patient, by_time, ever, "_no_reset")


def _reference_volumes(
    patient: PairedPatient, by_time: Mapping[TimePoint, PairedStudy], times: Sequence[TimePoint], name: str
) -> dict[str, Any]:
    """Volumes of the first of the studies that have some, and of the one with the smallest measured compartment."""
    known = [by_time[at] for at in times if by_time[at].volumes]
    baseline = known[0] if known else None
    nadir = min(known, key=lambda study: study.volumes[patient.measured], default=None)
    return _volumes(patient, baseline, f"_baseline{name}") | _volumes(patient, nadir, f"_nadir{name}")


def _volumes(patient: PairedPatient, study: PairedStudy | None, name: str) -> dict[str, Any]:
    volumes = study.volumes if study is not None else {}
    return {f"{compartment}_mm3{name}": volumes.get(compartment) for compartment in patient.compartments}


def _study_row(patient: PairedPatient, study: PairedStudy, is_case: bool) -> dict[str, Any]:
    at = study.rated.at
    return {
        "subject": patient.subject,
        "study": at.name,
        "weeks": at.week,
        "case": is_case,
        "rating": study.rating,
        "operation_before": any(one.by == at for one in patient.operations),
        "operation_after": any(one.after == at for one in patient.operations),
        "sequences": " ".join(sorted(study.rated.sequences)),
        **_volumes(patient, study, ""),
    }
