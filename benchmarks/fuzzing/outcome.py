"""What the command made of a cohort, and how it differs from what it made of the clean one."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from treatment_response.cohort.layout import REPORT_JSON, dose_path, image_path, mask_path

NOT_TAKEN = "is not taken"
TOLERANCE = 1e-3
"""By which volumes and doses may differ, as a share."""
_EXACT = ("label", "status_ses-03", "days_ses-02", "days_ses-03")
_MEASURED = (
    *("volume_ses-01_mm3", "volume_ses-02_mm3", "volume_ses-03_mm3"),
    *("max_dose_gy", "prescription_gy", "gradient_index"),
)


class Outcome(StrEnum):
    """What became of one damaged cohort, from harmless to worst.

    The label of a lesion that is still taken must not move: the clean cohort has no second session to fall back on.
    """

    SAME = "same result"
    REFUSED = "refused"
    LESS = "told, less taken"
    CHANGED = "told, other values"
    PLAUSIBLE = "plausible, other result untold"
    LABEL = "told, other label"
    UNTOLD = "other result untold"
    TRACEBACK = "traceback"
    MEMORY = "memory"
    HANG = "hang"


FAILURES = (Outcome.LABEL, Outcome.UNTOLD, Outcome.TRACEBACK, Outcome.MEMORY, Outcome.HANG)


@dataclass(frozen=True)
class Lesion:
    """A lesion in the data set: exact values, measured values, and hashes of its masks, images and dose by path."""

    exact: tuple[str, ...]
    measured: tuple[str, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """1, 0, or empty where the lesion has no label."""
        return self.exact[0]

    def same(self, other: Lesion) -> bool:
        """Whether two runs made the same of it."""
        near = all(_near(one, two) for one, two in zip(self.measured, other.measured, strict=True))
        return near and (self.exact, self.files) == (other.exact, other.files)


@dataclass(frozen=True)
class Result:
    """A prepared data set.

    Attributes:
        lesions: by patient id and lesion name of the input.
        lines: what the report says, by patient id; lesions and patients go by their names of the input.
        input_lines: what it says that belongs to no patient, with the path of the file that it is about, if it has one.
    """

    lesions: dict[tuple[str, str], Lesion] = field(default_factory=dict)
    lines: dict[str, set[str]] = field(default_factory=dict)
    input_lines: set[tuple[str, str]] = field(default_factory=set)


def read_result(dataset: Path, key: Path) -> Result:
    """Read a prepared data set with its key file."""
    with key.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    patients = {row["subject"]: row["original_id"] for row in rows if not row["lesion"]}
    names = {(row["subject"], row["lesion"]): row["original_name"] for row in rows if row["lesion"]}
    report = json.loads((dataset / REPORT_JSON).read_text(encoding="utf-8"))

    def in_words_of_the_input(subject: str, text: str) -> str:
        text = re.sub(r"\bL\d\d\b", lambda match: names.get((subject, match[0]), match[0]), text)
        return re.sub(r"\bsub-\d+\b", lambda match: patients.get(match[0], match[0]), text)

    result = Result()
    for patient in report["patients"]:
        subject = patient["subject"]
        texts = [*patient["notes"], *patient["problems"]]
        texts += [f"{item['lesion']} {item['reason']}" for item in report["left_out"] if item["subject"] == subject]
        result.lines[patients[subject]] = {in_words_of_the_input(subject, text) for text in texts}
    for text in report["input_problems"]:
        number = re.match(r"file (F\d+):", text)
        path = patients.get(number[1], "") if number else ""
        result.input_lines.add((re.sub(r"^file F\d+", "file", text), path))
    with (dataset / "lesions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            subject = row["subject"]
            name = names[subject, row["lesion"]]
            result.lesions[patients[subject], name] = _lesion(dataset, row)
    return result


def _lesion(dataset: Path, row: dict[str, str]) -> Lesion:
    subject, files = row["subject"], []
    for session in ("ses-01", "ses-02", "ses-03"):
        paths = {
            f"{session} image": image_path(subject, session),
            f"{session} mask": mask_path(subject, session, row["lesion"]),
            f"{session} dose": dose_path(subject, session),
        }
        for name, path in paths.items():
            if (dataset / path).exists():
                files.append((name, hashlib.sha256((dataset / path).read_bytes()).hexdigest()))
    return Lesion(tuple(row[name] for name in _EXACT), tuple(row[name] for name in _MEASURED), tuple(files))


def _near(one: str, other: str) -> bool:
    if not one or not other:
        return one == other
    first, second = float(one), float(other)
    return abs(first - second) <= TOLERANCE * max(abs(first), abs(second))


def differences(clean: Result, result: Result) -> Iterator[tuple[str, str, str]]:
    """(patient, lesion, what differs) of each lesion that is not the same."""
    for patient, name in sorted({*clean.lesions, *result.lesions}):
        before, after = clean.lesions.get((patient, name)), result.lesions.get((patient, name))
        if after is None:
            yield patient, name, NOT_TAKEN
        elif before is None:
            yield patient, name, "is taken, the clean cohort has no such lesion"
        elif not before.same(after):
            yield patient, name, ", ".join(_changes(before, after))


def _changes(before: Lesion, after: Lesion) -> Iterator[str]:
    columns = ((_EXACT, before.exact, after.exact), (_MEASURED, before.measured, after.measured))
    for names, old, new in columns:
        yield from (f"{n} {a or '-'} → {b or '-'}" for n, a, b in zip(names, old, new, strict=True) if a != b)
    first, second = dict(before.files), dict(after.files)
    yield from (f"other {name}" for name in sorted({*first, *second}) if first.get(name) != second.get(name))


def new_lines(clean: Result, result: Result, patient: str) -> set[str]:
    """What the report says of a patient that the clean cohort's does not."""
    return result.lines.get(patient, set()) - clean.lines.get(patient, set())


def new_input_lines(clean: Result, result: Result, folder: str = "") -> set[str]:
    """What the report newly says of files of a patient's folder, and of files that it does not name."""
    lines = result.input_lines - clean.input_lines
    return {text for text, path in lines if not path or not folder or path.startswith(f"{folder}/")}


def compare(clean: Result, result: Result, folders: Mapping[str, str], damaged: Mapping[str, bool]) -> Outcome:
    """Class the result of a run that ended well.

    Args:
        clean: of the clean cohort.
        result: of the damaged one.
        folders: folder of each patient id.
        damaged: folder of each damaged patient → whether all its damaged files are valid and plausible ones.
    """
    differing = list(differences(clean, result))
    if not differing:
        return Outcome.SAME
    untold = []
    for patient in {patient for patient, _, _ in differing}:
        folder = folders.get(patient, "")
        if not new_lines(clean, result, patient) and not new_input_lines(clean, result, folder):
            untold.append(damaged.get(folder, all(damaged.values())))
    if untold:
        return Outcome.PLAUSIBLE if all(untold) else Outcome.UNTOLD
    for patient, name, change in differing:
        folder = folders.get(patient, "")
        label = "" if change == NOT_TAKEN else result.lesions[patient, name].label
        if label not in ("", _label(clean, patient, name)) and not damaged.get(folder, all(damaged.values())):
            return Outcome.LABEL
    return Outcome.LESS if all(change == NOT_TAKEN for _, _, change in differing) else Outcome.CHANGED


def _label(clean: Result, patient: str, name: str) -> str:
    lesion = clean.lesions.get((patient, name))
    return lesion.label if lesion else ""
