"""LUMIERE (Suter et al., Sci Data 2022, doi 10.1038/s41597-022-01881-7): glioblastoma over time, with expert ratings.

``Imaging/Patient-XXX/week-YYY[-N]/`` holds a study: ``CT1, T1, T2, FLAIR`` as scanned, and DeepBraTumIA's copies of
them on the MNI152 atlas with a segmentation. The layout is as third-party code reads it. What is known to be wrong in
it, and what is done about that: docs/how-to/prepare-lumiere.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from treatment_response.classes import Classes
from treatment_response.cohort.adapters.lumiere_masks import (
    COMPARTMENTS,
    ENHANCING,
    read_segmentation,
)
from treatment_response.cohort.adapters.lumiere_tables import (
    CLASSES,
    PRE_OPERATIVE,
    SEQUENCES,
    ClinicalFacts,
    Rating,
    read_clinical_facts,
    read_completeness,
    read_ratings,
)
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.cohort.nifti_scan import read_image
from treatment_response.cohort.paired_patient import PairedPatient, PairedStudy, StudyImages, StudyReader
from treatment_response.cohort.pipeline import subject_ids
from treatment_response.cohort.study_pairs import Operation, RatedStudy, TimePoint, time_point
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference
from treatment_response.problems import DataProblem, Problem

RANO = Classes(CLASSES, "PD", "balanced_accuracy", ("CR", "PR", "SD", "PD"))
WORDS = {
    "title": "Response of glioblastoma",
    "question": "How did the tumour respond, by the expert's RANO rating of the later study?",
    "case": "pair of studies",
    "cases": "pairs of studies",
    "methods": [
        "A case is a rated study and the patient's previous study with all sequences, with no operation between them. "
        "The rating is relative to baseline and nadir and knows steroids and the clinical state, so two studies do not "
        "determine it."
    ],
}
SYNTHETIC_MARK = "SYNTHETIC.txt"
"""A file of this name beside the tables says that all of it was made by a program."""
_ATLAS = Path("DeepBraTumIA-segmentation", "atlas")
_MASK = _ATLAS / "segmentation" / "seg_mask.nii.gz"
_VOLUMES = _ATLAS / "segmentation" / "measured_volumes_in_mm3.json"
_PLACES = ("Imaging", "Imaging-v202211/Imaging", "")
_LEAST_DATED = 0.5
"""If fewer of a patient's rated time points have images, the table counts weeks from another day than the folders."""


@dataclass(frozen=True)
class AtlasImages:
    """LUMIERE's own images on the atlas, without the skull, as they are."""

    name: str = "LUMIERE's own images on the MNI152 atlas, without the skull"
    preparation: ImagePreparation = ImagePreparation.BRAIN

    def files(self, folder: Path) -> dict[str, Path]:
        """Sequence → file."""
        return {name: folder / _ATLAS / "skull_strip" / f"{name.lower()}_skull_strip.nii.gz" for name in SEQUENCES}

    def read(self, folder: Path, sequences: Sequence[str], labels: Volume | None, where: str) -> StudyImages:
        """The images of a study's folder.

        Raises:
            DataProblem: one cannot be used, or lies on another grid than the others.
        """
        read = {name: read_image(self.files(folder)[name], f"{where} {name}") for name in sequences}
        images = {name: file.volume for name, file in read.items()}
        first, *others = images
        for name in others:
            if difference := grid_difference(images[name], images[first]):
                what = f"lies on another grid than {first} ({difference})"
                raise DataProblem(Problem(f"{where} {name}", what, "download the study again"))
        notes = [f"{name}: {note}" for name, file in read.items() for note in file.notes]
        if labels is not None and (difference := grid_difference(labels, images[first])):
            notes.append(f"taken without its segmentation: it lies on another grid than its images ({difference})")
            labels = None
        return StudyImages(images, labels, tuple(notes))


@dataclass(frozen=True)
class LumierePatient:
    """One patient's folder and rows, not yet read.

    Attributes:
        subject: ``sub-001``.
        folders: time point → folder of the study.
        ratings: of the time points, with or without images.
        notes: what had to be put right, by time point.
    """

    subject: str
    folders: Mapping[TimePoint, Path]
    ratings: Mapping[TimePoint, Rating]
    operations: tuple[Operation, ...]
    facts: ClinicalFacts
    notes: Mapping[TimePoint, tuple[str, ...]]

    def files(self) -> list[Path]:
        """All files that the patient's cases depend on."""
        return [path for folder in self.folders.values() for path in sorted(folder.rglob("*")) if path.is_file()]

    def load(self, reader: StudyReader) -> PairedPatient:
        """Read the segmentations; images are read when they are needed."""
        studies = [self._study(at, reader) for at in sorted({*self.folders, *self.ratings})]
        known = {"age": self.facts.age, "sex": self.facts.sex, "idh": self.facts.idh, "mgmt": self.facts.mgmt}
        return PairedPatient(self.subject, studies, self.operations, COMPARTMENTS, ENHANCING, known)

    def _study(self, at: TimePoint, reader: StudyReader) -> PairedStudy:
        rating = self.ratings.get(at, Rating())
        folder = self.folders.get(at)
        if folder is None:
            rated = RatedStudy(at, frozenset(), rating.label, rating.reason)
            return PairedStudy(rated, None, rating=rating.text, rationale=rating.rationale)
        there = frozenset(name for name, path in reader.files(folder).items() if path.is_file())
        rated = RatedStudy(at, there, rating.label, rating.reason)
        segmentation = read_segmentation(folder / _MASK, folder / _VOLUMES, f"{self.subject} {at.name}")
        return PairedStudy(
            rated,
            folder,
            segmentation.labels,
            segmentation.volumes or {},
            rating.text,
            rating.rationale,
            (*self.notes.get(at, ()), *segmentation.notes),
        )


@dataclass(frozen=True)
class LumiereFolder:
    """What an unpacked LUMIERE holds.

    Attributes:
        patients: in the order of their numbers.
        left_out: subject → why none of its studies is used.
        problems: faults that belong to no patient.
        key: original name by subject.
        synthetic: whether a program made it.
    """

    patients: tuple[LumierePatient, ...]
    left_out: Mapping[str, str]
    problems: tuple[Problem, ...]
    key: Mapping[str, str]
    synthetic: bool


def read_lumiere(root: Path) -> LumiereFolder:
    """Find the patients, their studies and ratings; no image is opened.

    Args:
        root: holds the tables and ``Imaging/``.

    Raises:
        DataProblem: there is no rating table or no patient's folder.
    """
    ratings, problems = read_ratings(root)
    facts, clinical_problems = read_clinical_facts(root)
    completeness = read_completeness(root)
    folders = _patient_folders(root)
    ids = subject_ids([folder.name for folder in folders])
    without = len(set(ratings) - set(ids))
    if without:
        what = f"rates {without} patient(s) that have no folder"
        problems.append(Problem("rating table", what, "download the images again if they should be there"))
    patients, left_out = [], {}
    for folder in folders:
        subject, own = ids[folder.name], ratings.get(folder.name, {})
        studies, strange = _study_folders(folder)
        if strange:
            problems.append(Problem(subject, f"has {strange} folder(s) not named as week-012", "rename them"))
        problems += _missing_files(subject, folder.name, studies, completeness)
        if reason := _other_dates(studies, own):
            left_out[subject] = reason
            continue
        own, operations, notes = _operations(studies, own)
        known = facts.get(folder.name, ClinicalFacts())
        patients.append(LumierePatient(subject, studies, own, operations, known, notes))
    key = {subject: original for original, subject in ids.items()}
    synthetic = (root / SYNTHETIC_MARK).is_file()
    return LumiereFolder(tuple(patients), left_out, (*problems, *clinical_problems), key, synthetic)


def _patient_folders(root: Path) -> list[Path]:
    """The patients' folders.

    Raises:
        DataProblem: there are none.
    """
    for place in _PLACES:
        folders = sorted(folder for folder in (root / place).glob("Patient-*") if folder.is_dir())
        if folders:
            return folders
    remedy = "name the folder of the tables, with the unpacked Imaging beside them"
    raise DataProblem(Problem("LUMIERE_DIR", "has no folder Imaging/Patient-001", remedy))


def _study_folders(folder: Path) -> tuple[dict[TimePoint, Path], int]:
    """Time point → folder, and how many folders have another name."""
    named = {path: time_point(path.name) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {at: path for path, at in named.items() if at}, sum(at is None for at in named.values())


def _missing_files(
    subject: str, patient: str, studies: Mapping[TimePoint, Path], completeness: Mapping[tuple[str, str], Iterable[str]]
) -> list[Problem]:
    """Images that the completeness table lists and that are not there: a download that was cut off."""
    problems = []
    for at, folder in sorted(studies.items()):
        listed = completeness.get((patient, at.name), ())
        if absent := [name for name in listed if not (folder / f"{name}.nii.gz").is_file()]:
            what = f"the completeness table lists {', '.join(sorted(absent))}, and the file is not there"
            problems.append(Problem(f"{subject} {at.name}", what, "download it again"))
    return problems


def _other_dates(studies: Mapping[TimePoint, Path], ratings: Mapping[TimePoint, Rating]) -> str:
    """Why a patient's ratings do not belong to its images; empty if they do, or if too few are there to tell."""
    later = [at for at, rating in ratings.items() if at.week > 0 and rating.label is not None]
    dated = sum(at in studies for at in later)
    if len(later) < 2 or dated >= _LEAST_DATED * len(later):
        return ""
    return f"{len(later) - dated} of its {len(later)} ratings name weeks without images: they count from another day"


def _operations(
    studies: Mapping[TimePoint, Path], ratings: Mapping[TimePoint, Rating]
) -> tuple[dict[TimePoint, Rating], tuple[Operation, ...], dict[TimePoint, tuple[str, ...]]]:
    """The operations by the rows that speak of one, and the ratings with post-operative rows at their studies.

    A post-operative row without a study belongs to the only unrated study within a week. Without one its operation
    is taken to lie anywhere within a week of the row.
    """
    moved = dict(ratings)
    notes: dict[TimePoint, tuple[str, ...]] = {}
    operations: list[Operation] = []
    before: TimePoint | None = None
    for at, rating in sorted(ratings.items()):
        if not rating.operative:
            continue
        if rating.operative == PRE_OPERATIVE:
            if before is not None:
                operations.append(Operation(after=before))
            before = at
            continue
        near = [one for one in studies if one not in ratings and abs(one.week - at.week) <= 1]
        if at not in studies and len(near) == 1:
            moved[near[0]] = moved.pop(at)
            notes[near[0]] = (f"the rating table dates its state after an operation {at.name}",)
            operations.append(Operation(before if before and before < near[0] else None, near[0]))
        else:
            operations.append(Operation(before, at, margin=0 if at in studies else 1))
        before = None
    if before is not None:
        operations.append(Operation(after=before))
    return moved, tuple(operations), notes
