"""Prepare one patient into a folder of its own, or say why not; what was prepared before is not made again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from treatment_response import __version__
from treatment_response.cohort.each_patient import unexpected
from treatment_response.cohort.layout import write_volume
from treatment_response.cohort.persons import image_mark
from treatment_response.files import full_disk, is_full_disk
from treatment_response.longitudinal.case import PreparedCase, prepare_case
from treatment_response.longitudinal.picture import quality_picture
from treatment_response.longitudinal.places import image_path, lesion_path, picture_path, record_path
from treatment_response.longitudinal.settings import CASE, LongitudinalSettings
from treatment_response.longitudinal.studies import EventSource
from treatment_response.problems import DataProblem, Problem

_METHOD = 3
"""Goes up when the same files and settings give another result."""


@dataclass(frozen=True)
class PatientRecord:
    """What came of one patient; it is kept as JSON beside the patient's images.

    Attributes:
        key: hash of all that it depends on.
        left_out: why nothing was taken; empty if the case was.
        files: that were written, relative to the data set.
        entry: of ``dataset.json``, without label and fold.
        numbers, board, dvh: see `treatment_response.longitudinal.case.PreparedCase`.
        image_marks: of both images as they came, to notice that two subjects are one person.
        label_days: from the post-operative image to the day of the label.
        notes: what a reader has to know.
    """

    subject: str
    key: str
    left_out: str = ""
    files: Sequence[str] = ()
    entry: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    board: dict[str, Any] = field(default_factory=dict)
    dvh: Sequence[dict[str, Any]] = ()
    image_marks: Sequence[str] = ()
    label_days: int | None = None
    synthetic: bool = False
    notes: Sequence[str] = ()

    @property
    def is_taken(self) -> bool:
        """Whether the data set holds the case."""
        return not self.left_out


def patient_key(source: EventSource, settings: LongitudinalSettings) -> str:
    """Hash of a patient's files (places, sizes and times), facts and settings."""
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(set(source.files))]
    chosen = {name: str(getattr(settings, name)) for name in ("dose", "alpha_beta_gy", "roi")}
    content = [_METHOD, __version__, source.subject, asdict(source.label), source.facts, chosen, files]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_record(root: Path, subject: str) -> PatientRecord | None:
    """What was kept of a patient under a folder; None if nothing, or if a file of it is missing or damaged."""
    try:
        record = PatientRecord(**json.loads((root / record_path(subject)).read_text(encoding="utf-8")))
        return record if all((root / file).is_file() for file in record.files) else None
    except (OSError, ValueError, TypeError):
        return None


def prepare_patient(
    source: EventSource, settings: LongitudinalSettings, work: Path, earlier: Path | None
) -> PatientRecord:
    """Prepare one patient under ``work/sub-001``, whole or not at all.

    Args:
        work: folder of this preparation.
        earlier: a finished data set, in which the patient may be prepared already.

    Raises:
        DataProblem: the disk is full. Everything else that is wrong with a patient leaves the patient out.
    """
    subject = source.subject
    try:
        key = patient_key(source, settings)
    except OSError as error:
        return PatientRecord(subject, "", f"a file cannot be read ({error.strerror})")
    for folder in (work / subject, *([earlier] if earlier else [])):
        kept = read_record(folder, subject)
        if kept is not None and kept.key == key:
            if folder == earlier:
                take_files(kept, folder, work / subject)
            return kept
    part = work / f".part-{subject}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        record = _prepared(source, settings, key, part)
        write_record(part, record)
        shutil.rmtree(work / subject, ignore_errors=True)
        part.rename(work / subject)
    except OSError as error:
        if is_full_disk(error):
            raise DataProblem(full_disk("--out")) from None
        what = f"nothing can be written there ({error.strerror})"
        raise DataProblem(Problem("--out", what, "name a folder that can be written to")) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def why_left_out(error: Exception, subject: str) -> str:
    """What is told of a patient that an error leaves out: one odd patient must not cost the other ones.

    The message of an error that nobody foresaw may quote a name, so only its kind and place are told.
    """
    if isinstance(error, DataProblem):
        return " ".join(map(str, error.problems))
    if isinstance(error, OSError):
        return f"a file cannot be read ({error.strerror})"
    return str(Problem(subject, unexpected(error), "report it as a fault of this program"))


def write_record(root: Path, record: PatientRecord) -> None:
    """Write the record at its place under a folder."""
    path = root / record_path(record.subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def take_files(record: PatientRecord, source: Path, target: Path) -> None:
    """Bring a patient's files into another folder, without a second copy where the file system can link."""
    for file in (*record.files, record_path(record.subject)):
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            continue
        try:
            place.hardlink_to(source / file)
        except OSError:
            shutil.copyfile(source / file, place)


def _prepared(source: EventSource, settings: LongitudinalSettings, key: str, root: Path) -> PatientRecord:
    subject = source.subject
    try:
        studies = source.load()
        case = prepare_case(studies, settings)
        files, entry = _write(case, subject, root)
    except Exception as error:
        if is_full_disk(error):
            raise
        return PatientRecord(subject, key, why_left_out(error, subject))
    numbers = {**case.numbers, "site": source.label.site, "label_source": source.label.source}
    dvh = [{**row, "subject": subject} for row in case.dvh]
    return PatientRecord(
        subject,
        key,
        files=files,
        entry=entry,
        numbers=numbers,
        board=case.board,
        dvh=dvh,
        image_marks=[image_mark(studies.event), image_mark(studies.post_operative)],
        label_days=studies.label_days,
        synthetic=studies.synthetic,
        notes=case.notes,
    )


def _write(case: PreparedCase, subject: str, root: Path) -> tuple[list[str], dict[str, Any]]:
    """Write the images, the mask and the picture: what was written, and the entry of the data list."""
    paths = {name: image_path(subject, name) for name in case.images}
    for name, volume in case.images.items():
        write_volume(root / paths[name], volume)
    entry: dict[str, Any] = {"subject": subject, "case": CASE, "images": paths}
    files = list(paths.values())
    if case.lesion is not None:
        entry["mask"] = lesion_path(subject)
        write_volume(root / entry["mask"], case.lesion)
        files.append(entry["mask"])
    picture = root / picture_path(subject)
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(quality_picture(case, subject))
    return [*files, picture_path(subject)], entry
