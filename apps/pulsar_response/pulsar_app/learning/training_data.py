"""From the datastore's images, outlines and responses to a prepared data set that the bundle trains on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from treatment_response.cohort.dataset import write_tables
from treatment_response.cohort.layout import image_path, mask_path, write_volume
from treatment_response.cohort.lesion import BASELINE, LesionRecord, Status
from treatment_response.cohort.masks import scan_from_mask
from treatment_response.dicom.targets import Target
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

from pulsar_app.learning.responses import Answer, ImageResponses
from pulsar_app.studies.first_mri import NotFirst, counted
from pulsar_app.studies.safe_datastore import SafeDatastore
from pulsar_app.studies.study import Study, find

_BIDS_SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)(?:_|$)")


@dataclass
class Gathered:
    """What was written, and what could not be used.

    Attributes:
        records: the lesions taken.
        images: subject in the data set → its image.
        left_out: the images with responses or labels that are no MRI before treatment, and why.
        excluded: number of lesions that were left out because their response says so.
        unused_images: number of the datastore's images of which no response is known.
        missing: image id, ROI and volume in mm³ of the lesions whose response nobody gave.
        problems: everything else that stands in the way.
    """

    records: list[LesionRecord] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, NotFirst] = field(default_factory=dict)
    excluded: int = 0
    unused_images: int = 0
    missing: list[tuple[str, str, float]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def gather(
    root: Path,
    datastore: SafeDatastore,
    known: Mapping[str, ImageResponses],
    say: Callable[[str], None],
    synthetic: bool = False,
) -> Gathered:
    """Read every image of which a response is known, and write it with the masks of its lesions under ``root``.

    Each image is taken as a patient's MRI before treatment, so those that are known not to be it are left out. Patients
    get numbers; no name, id, date or file name goes into the data set.

    Args:
        root: the data set's folder.
        datastore: of the server.
        known: see `known_responses`.
        say: told what is being read.
        synthetic: whether the images are synthetic; DICOM says so itself.
    """
    result = Gathered(unused_images=len(set(datastore.list_images()) - set(known)))
    not_first = datastore.not_first()
    result.left_out = {image: not_first[image] for image in known if image in not_first}
    known = {image: responses for image, responses in known.items() if image not in not_first}
    for reason, number in counted(result.left_out.values()).items():
        say(f"left out: {number} image(s) {reason}")
    patients: dict[str, str] = {}  # patient's key → image id
    named = [image for image in known if known[image].subject]
    if named and len(named) < len(known):
        what = f"{len(named)} of {len(known)} images name their subject, the others do not"
        result.problems.append(Problem("responses", what, "give every image a subject, or none"))
    for number, image in enumerate(sorted(known), start=1):
        say(f"{number} of {len(known)}: reading image {image}")
        try:
            study = find(datastore, image)
            key = patient_key(study, known[image].subject)
            if key in patients:
                what = f"it is of the same patient as image {patients[key]}"
                raise DataProblem(
                    Problem(f"image {image}", what, "keep the responses of the MRI before treatment only")
                )
        except DataProblem as error:
            result.problems += error.problems
            continue
        patients[key] = image
        subject = f"sub-{len(patients):03d}"
        result.images[subject] = image
        for warning in study.warnings:
            say(f"{number} of {len(known)}: warning: {warning}")
        _take(root, study, known[image], subject, synthetic, result)
    return result


def all_lesions(datastore: SafeDatastore, say: Callable[[str], None]) -> list[tuple[str, str, float]]:
    """Image id, ROI and volume in mm³ of every lesion of a first MRI to be predicted; unusable images are told."""
    not_first = datastore.not_first()
    listed = datastore.list_images()
    for reason, number in counted(not_first[image] for image in listed if image in not_first).items():
        say(f"left out: {number} image(s) {reason}")
    images = sorted(image for image in listed if image not in not_first)
    lesions: list[tuple[str, str, float]] = []
    for number, image in enumerate(images, start=1):
        say(f"{number} of {len(images)}: looking for targets in image {image}")
        try:
            targets = [target for target in find(datastore, image).targets if not target.listed_because]
        except DataProblem as error:
            say(f"{number} of {len(images)}: {error}")
            continue
        lesions += [(image, target.name, target.volume_mm3) for target in targets]
    return lesions


def patient_key(study: Study, subject: str) -> str:
    """What tells this study's patient from others: the given subject, a hash of DICOM's Patient ID, or BIDS' ``sub-``.

    It is for comparing in memory and is never written.

    Raises:
        DataProblem: nothing tells.
    """
    if subject:
        return f"given {subject}"
    if study.source is not None:
        header = study.source.headers[0]
        text = f"{header.get('IssuerOfPatientID', '')}\n{header.get('PatientID', '')}".strip()
        if text:
            return hashlib.sha256(text.encode()).hexdigest()
    match = _BIDS_SUBJECT.search(study.image_id)
    if study.source is None and match:
        return f"BIDS {match[1]}"
    what = "nothing tells which patient it is of, so patients cannot be kept apart"
    remedy = "give the column 'subject' in the table of responses, or name the file as BIDS does (sub-001_…)"
    raise DataProblem(Problem(f"image {study.image_id}", what, remedy))


def write_dataset(root: Path, gathered: Gathered, name: str, folds: int, seed: int) -> pd.DataFrame:
    """Draw the folds by patient and write the tables.

    Returns:
        The table of lesions, see `treatment_response.cohort.dataset.write_tables`.

    Raises:
        DataProblem: nothing to learn from, one class only, or fewer patients than folds.
    """
    classes = {record.given_label for record in gathered.records}
    patients = len({record.subject for record in gathered.records})
    if not gathered.records:
        reasons = "; ".join(f"{n} image(s) {reason}" for reason, n in counted(gathered.left_out.values()).items())
        what = "no lesion with a response is left" + (f" (left out: {reasons})" if reasons else "")
        remedy = "give the responses of more lesions"
        raise DataProblem(Problem("training", what, remedy))
    if len(classes) == 1:
        of = Answer.RESPONSE if classes == {Answer.RESPONSE.label} else Answer.NON_RESPONSE
        what = f"all {len(gathered.records)} lesions are {of}, so nothing can be learned or scored"
        raise DataProblem(Problem("training", what, "give responses of both kinds"))
    if patients < folds:
        what = f"{patients} patient(s) cannot be split into {folds} folds, each needs at least one"
        raise DataProblem(Problem("training", what, f"ask for folds {patients}, or give more patients"))
    return write_tables(root, gathered.records, name=name, folds=folds, seed=seed)


def _take(root: Path, study: Study, responses: ImageResponses, subject: str, synthetic: bool, result: Gathered) -> None:
    targets = sorted((target for target in study.targets if not target.listed_because), key=lambda target: target.name)
    if not _names_fit(study, targets, responses, result):
        return
    taken: list[tuple[Target, Answer]] = []
    for target in targets:
        answer = responses.of(target.name, len(targets) == 1)
        if answer is None:
            result.missing.append((study.image_id, target.name, target.volume_mm3))
        elif answer is Answer.EXCLUDE:
            result.excluded += 1
        else:
            taken.append((target, answer))
    for number, (target, answer) in enumerate(taken, start=1):
        lesion = f"L{number:02d}"
        mask = Volume(target.mask.astype(np.uint8), study.volume.affine)
        write_volume(root / mask_path(subject, BASELINE, lesion), mask)
        result.records.append(
            LesionRecord(
                subject,
                lesion,
                volumes={BASELINE: target.volume_mm3},
                areas={BASELINE: scan_from_mask(mask).area_mm2},
                days={},
                status=Status.RATED,
                synthetic=synthetic or (study.source is not None and study.source.is_synthetic),
                given_label=answer.label,
            )
        )
    if taken:
        write_volume(root / image_path(subject, BASELINE), study.volume)


def _names_fit(study: Study, targets: list[Target], responses: ImageResponses, result: Gathered) -> bool:
    """Whether the image has lesions, and every name of the responses is one of them."""
    where, names = f"image {study.image_id}", [target.name for target in targets]
    if not targets:
        what = "a response or a label was given, but it has no target to learn from"
        listed = "; ".join(f"{target.name}: {target.listed_because}" for target in study.targets)
        remedy = "save a label of the GTV, or remove its responses" + (f" (only listed: {listed})" if listed else "")
        result.problems.append(Problem(where, what, remedy))
        return False
    unknown = sorted(set(responses.responses) - set(names) - ({""} if len(names) == 1 else set()))
    if unknown:
        asked = ", ".join(f"'{name}'" for name in unknown)
        what = f"a response is given for {asked}, but its lesions are {', '.join(names)}"
        result.problems.append(Problem(where, what, "use the ROI's name"))
    return not unknown
