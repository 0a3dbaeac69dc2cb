"""A prepared data set of cases of any classes: its list, its table and its BIDS descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.classes import Classes
from treatment_response.cohort.case import FIRST_COLUMNS
from treatment_response.cohort.dataset import BIDS_VERSION
from treatment_response.cohort.layout import CASES, DATALIST, DESCRIPTION
from treatment_response.cohort.splits import patient_folds
from treatment_response.problems import DataProblem, Problem


def case_folds(subjects: Sequence[str], labels: Sequence[int], classes: Classes, folds: int, seed: int) -> np.ndarray:
    """Folds by patient, alike in their classes.

    Args:
        subjects, labels: of each case.
        folds: how many; 1 is no split.

    Returns:
        Fold of each case, int ``(N,)``.

    Raises:
        DataProblem: no case, fewer patients than folds, or all cases of one class.
    """
    if not len(subjects):
        raise DataProblem(Problem("data set", "no case is left", "see the reasons in the ingest report"))
    if folds > 1 and len(set(labels)) == 1:
        what = f"all {len(labels)} cases are {classes.names[labels[0]]}, so nothing can be learned or scored"
        raise DataProblem(Problem("labels", what, "bring other patients, or prepare with --folds 1"))
    return patient_folds(subjects, labels, folds, seed)


def write_case_list(
    root: Path,
    entries: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    *,
    name: str,
    synthetic: bool,
    classes: Classes,
    words: Mapping[str, Any],
    folds: int,
    more: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Write ``dataset.json``, ``cases.csv`` and the BIDS descriptions; images and masks are there already.

    Args:
        root: the data set's folder.
        entries: of ``training``, each with ``subject, case, label, fold``.
        rows: further columns of the table, one row per entry.
        name: of the data set, without anything personal.
        words: see docs/reference/files.md, "The words of a system".
        more: further entries of ``dataset.json``.

    Returns:
        The table, its common columns first.
    """
    first = [{column: entry[column] for column in FIRST_COLUMNS} for entry in entries]
    table = pd.DataFrame([{**common, **row} for common, row in zip(first, rows, strict=True)])
    table.to_csv(root / CASES, index=False, float_format="%.6g")
    content = {
        "name": name,
        "synthetic": synthetic,
        "classes": classes.content(),
        "words": dict(words),
        "folds": folds,
        **(more or {}),
        "training": list(entries),
    }
    _write_json(root / DATALIST, content)
    _write_json(root / DESCRIPTION, {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"})
    derivatives = root / "derivatives"
    for folder in sorted(derivatives.iterdir()) if derivatives.is_dir() else []:
        description = {"Name": f"{name}: {folder.name}", "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative"}
        _write_json(folder / DESCRIPTION, {**description, "GeneratedBy": [{"Name": "treatment_response"}]})
    return table


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
