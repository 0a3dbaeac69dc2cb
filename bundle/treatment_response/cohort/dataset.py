"""The prepared data set: written whole or not at all, and read as a MONAI data list."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.case import case_of, table_file
from treatment_response.cohort.labels import (
    CONTOURING_SD_MM,
    DEFAULT_THRESHOLD,
    record_label,
    record_p_response,
    volume_change,
)
from treatment_response.cohort.layout import DATALIST, DESCRIPTION, LESIONS, image_path, mask_path
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND, DoubtfulLesion, LesionRecord
from treatment_response.cohort.splits import patient_folds
from treatment_response.problems import DataProblem, Problem

BIDS_VERSION = "1.9.0"
TRAINING, TEST = "training", "test"
CASE_LISTS = (TRAINING, TEST)
"""Lists of labelled cases in ``dataset.json``: those in folds, and those kept apart for the final test."""
TEST_FOLD = -1
"""Stands as the fold of the patients kept apart."""


@contextlib.contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A temporary sibling folder that becomes ``out`` when the block ends well and vanishes when it does not.

    An earlier prepared data set at ``out`` is replaced only then.

    Raises:
        DataProblem: ``out`` holds something that is no prepared data set.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100  (resolve() would follow a link and write elsewhere)
    check_replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        partial.mkdir()
        yield partial
        old = out.with_name(f".{out.name}.old-{os.getpid()}")
        if out.exists():
            out.rename(old)
        partial.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(out: Path) -> None:
    """Refuse a place that holds something else than a prepared data set.

    Raises:
        DataProblem: it does.
    """
    if out.exists() and not (out / DATALIST).is_file() and (not out.is_dir() or any(out.iterdir())):
        what = "the folder is not empty and holds no prepared data set"
        raise DataProblem(Problem("--out", what, "name a new folder, or empty it"))


def write_descriptions(root: Path, name: str) -> None:
    """Write BIDS's description of the data set, and of each folder of derivatives that it has."""
    _write_json(root / DESCRIPTION, {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"})
    for derivative in sorted(path for path in (root / "derivatives").iterdir() if path.is_dir()):
        description = {"Name": f"{name}: {derivative.name}", "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative"}
        _write_json(derivative / DESCRIPTION, {**description, "GeneratedBy": [{"Name": "treatment_response"}]})


def write_tables(
    root: Path | None,
    records: Sequence[LesionRecord],
    *,
    name: str,
    doubtful: Sequence[DoubtfulLesion] = (),
    persons: Mapping[str, str] | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    contouring_sd_mm: float = CONTOURING_SD_MM,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Label the lesions, draw the folds, and write ``dataset.json``, ``lesions.csv`` and the BIDS descriptions.

    Images and masks are there already (``layout.write_volume``).

    Args:
        root: the data set's folder; None makes the table without writing.
        records: the lesions taken, in any order.
        name: name of the data set, without anything personal.
        doubtful: lesions without a label; they stay in the data set beside the others.
        persons: subject → the subject that stands for its person, where two subjects are one person.

    Returns:
        The table of ``lesions.csv``, ordered by subject and lesion.

    Raises:
        DataProblem: no lesion, one class only, or fewer persons than folds.
    """
    persons = persons or {}
    records = sorted(records, key=lambda record: (record.subject, record.lesion))
    labels = [record_label(record, threshold) for record in records]
    units = [persons.get(record.subject, record.subject) for record in records]
    assigned = patient_folds(units, labels, folds, seed)
    fold_of = {unit: int(fold) for unit, fold in zip(units, assigned, strict=True)}
    rows, samples = [], []
    for record, label, fold in zip(records, labels, assigned, strict=True):
        change = None
        if record.given_label is None:
            change = volume_change(record.volumes[BASELINE], record.volumes[FOLLOW_UP])
        rows.append(_row(record, label, int(fold), change, record_p_response(record, threshold, contouring_sd_mm)))
        samples += [
            {
                "image": image_path(record.subject, session),
                "mask": mask_path(record.subject, session, record.lesion),
                "label": label,
                "subject": record.subject,
                "lesion": record.lesion,
                "session": session,
                "fold": int(fold),
                "volume_change": None if change is None else round(change, 6),
                **_person(record.subject, persons),
            }
            for session in (BASELINE, SECOND)
            if session in record.volumes
        ]
    table = pd.DataFrame(rows)
    if root is None:
        return table
    table.to_csv(root / LESIONS, index=False, float_format="%.6g")
    _write_json(
        root / DATALIST,
        {
            "name": name,
            "synthetic": any(record.synthetic for record in records),
            "response_threshold": threshold,
            "labels": {str(number): name for number, name in enumerate(CLASS_NAMES)},
            "folds": folds,
            "training": samples,
            "unlabelled": _unlabelled(doubtful, persons, fold_of, folds),
        },
    )
    write_descriptions(root, name)
    return table


def _unlabelled(
    doubtful: Sequence[DoubtfulLesion], persons: Mapping[str, str], fold_of: dict[str, int], folds: int
) -> list[dict[str, Any]]:
    """Samples without a label, in the folds of their patients; patients without any label fill the smallest folds."""
    samples = []
    for lesion in sorted(doubtful, key=lambda one: (one.subject, one.lesion)):
        unit = persons.get(lesion.subject, lesion.subject)
        if unit not in fold_of:
            sizes = {fold: sum(one == fold for one in fold_of.values()) for fold in range(folds)}
            fold_of[unit] = min(sizes, key=lambda fold: sizes[fold])
        samples += [
            {
                "image": image_path(lesion.subject, session),
                "mask": mask_path(lesion.subject, session, lesion.lesion),
                "subject": lesion.subject,
                "lesion": lesion.lesion,
                "session": session,
                "fold": fold_of[unit],
                "reason": lesion.reason,
                "volume_ses-01_mm3": round(lesion.volume_mm3, 3),
                "prescription_gy": lesion.dose.prescription_gy,
                "max_dose_gy": lesion.dose.max_dose_gy,
                "gradient_index": lesion.dose.gradient_index,
                **_person(lesion.subject, persons),
            }
            for session in (BASELINE, SECOND)
            if session in lesion.sessions
        ]
    return samples


def _person(subject: str, persons: Mapping[str, str]) -> dict[str, str]:
    return {"person": persons[subject]} if subject in persons else {}


def read_dataset(dataset_dir: str | Path) -> dict[str, Any]:
    """The content of ``dataset.json``.

    ``training`` lists the lesions with a label. ``unlabelled``, which may be absent, lists those whose follow-up is in
    doubt. ``test``, which may be absent too, lists those of the patients kept apart for the final test.

    Raises:
        DataProblem: it is missing, or is no data list.
    """
    path = Path(dataset_dir) / DATALIST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "name the folder that scripts/prepare_dicom.py wrote (--dataset_dir)"
        raise DataProblem(Problem("data set", f"{path} is missing", remedy)) from None
    except ValueError as error:
        raise DataProblem(Problem("data set", f"{DATALIST} is no JSON ({error})", "prepare it again")) from None
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise DataProblem(Problem("data set", f"{DATALIST} has no list 'training'", "prepare it again"))
    for name in ("unlabelled", TEST):
        if not isinstance(content.get(name, []), list):
            raise DataProblem(Problem("data set", f"'{name}' in {DATALIST} is no list", "prepare it again"))
    return content


def load_datalist(
    dataset_dir: str | Path,
    sessions: Sequence[str] | None = (BASELINE,),
    folds: Collection[int] | None = None,
    exclude_folds: Collection[int] = (),
    unlabelled: bool = False,
    case_list: str = "training",
) -> list[dict[str, Any]]:
    """Samples of some sessions and folds, with absolute paths: what a MONAI data set takes.

    Args:
        dataset_dir: the prepared data set.
        sessions: ``ses-01`` and/or ``ses-02``; None: all.
        folds: only these folds; all by default.
        exclude_folds: not these folds.
        unlabelled: also the lesions whose follow-up is in doubt, after the others; only beside the list ``training``.
        case_list: ``training``, or ``test``: the patients kept apart for the final test, whose fold is −1.

    Returns:
        One dictionary per case as `cohort.case.case_of` gives it; PULSAR's is a lesion in a session, with
        ``volume_change``. ``label`` and ``volume_change`` of a case in doubt are None.

    Raises:
        DataProblem: the data set cannot be read, or nothing is left.
    """
    root = Path(dataset_dir).resolve()
    content = read_dataset(root)
    if case_list not in CASE_LISTS:
        remedy = f"choose one of {', '.join(CASE_LISTS)}"
        raise DataProblem(Problem("--case_list", f"'{case_list}' is no list of cases", remedy))
    listed = list(content.get(case_list, []))
    if not listed and case_list == TEST:
        what = f"{DATALIST} has no list 'test': no patients are kept apart"
        raise DataProblem(Problem("data set", what, "prepare it with test patients"))
    if unlabelled and case_list == TRAINING:
        listed += [{**sample, "label": None, "volume_change": None} for sample in content.get("unlabelled", [])]
    samples = [
        case_of(sample, root)
        for sample in listed
        if (sessions is None or sample.get("session", BASELINE) in sessions)
        and (folds is None or sample["fold"] in folds)
        and sample["fold"] not in exclude_folds
    ]
    if not samples:
        chosen = f"sessions {', '.join(sessions or ['all'])}, folds {'all' if folds is None else sorted(folds)}"
        what = f"no sample is left with {chosen}, without folds {sorted(exclude_folds)}"
        raise DataProblem(Problem("data set", what, "choose other sessions or folds"))
    return samples


def _row(
    record: LesionRecord, label: int, fold: int, change: float | None, probability: float | None
) -> dict[str, Any]:
    volumes, days, dose = record.volumes, record.days, record.dose
    return {
        "subject": record.subject,
        "lesion": record.lesion,
        "fold": fold,
        "volume_ses-01_mm3": volumes[BASELINE],
        "volume_ses-02_mm3": volumes.get(SECOND),
        "volume_ses-03_mm3": volumes.get(FOLLOW_UP),
        "volume_change": change,
        "label": label,
        "p_response": probability,
        "days_ses-02": _whole(days.get(SECOND)),
        "days_ses-03": _whole(days.get(FOLLOW_UP)),
        "status_ses-03": str(record.status),
        "max_dose_gy": dose.max_dose_gy,
        "prescription_gy": dose.prescription_gy,
        "gradient_index": dose.gradient_index,
        "site": record.site,
        "diameter_mm": float(np.cbrt(6.0 * volumes[BASELINE] / np.pi)),
        "synthetic": record.synthetic,
    }


def _whole(days: int | None) -> str:
    """Text, because pandas would turn a column with gaps into floats."""
    return "" if days is None else str(days)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def dataset_digest(dataset_dir: Path) -> str:
    """The hash by which results know their data set: SHA-256 of the data list and the table of cases.

    Raises:
        DataProblem: one of them is missing.
    """
    digest = hashlib.sha256()
    if not (dataset_dir / DATALIST).is_file():
        raise DataProblem(Problem("data set", f"{DATALIST} is missing", "prepare the data set again"))
    for path in (dataset_dir / DATALIST, table_file(dataset_dir)):
        digest.update(path.read_bytes())
    return digest.hexdigest()
