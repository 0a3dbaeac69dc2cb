"""Read the tumour board's sheets of a data set: what each lesion got of dose, where it lies, and how it grew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.classes import Classes
from treatment_response.evaluation.written import read_table
from treatment_response.features.tumour_board import DVH, SHOWN_ISODOSES, TUMOUR_BOARD, isodose_column
from treatment_response.problems import DataProblem, Problem

_AGAIN = "prepare the data set again"
_GROUPED = ("subject", "dose_gy", "share")


@dataclass(frozen=True)
class CaseSheet:
    """One case's sheet.

    Attributes:
        subject, case: ids. label: number of its class. truth: the class.
        dose_kind: what the dose is, such as ``EQD2 Gy``.
        dose_gy, share: the dose-volume curve, ``(N,)`` each: dose, and the share of the lesion with at least that dose.
        isodoses: share of the prescription → dose on its isodose in the unit of the dose; empty if it is not known.
        numbers: column of ``tumour_board.csv`` → its value; None is "not computed".
    """

    subject: str
    case: str
    label: int
    truth: str
    dose_kind: str
    dose_gy: NDArray[np.float64]
    share: NDArray[np.float64]
    isodoses: Mapping[float, float] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)


def read_sheets(dataset_dir: Path, cases: pd.DataFrame, classes: Classes) -> list[CaseSheet]:
    """The sheets of a data set, in the order of its table; empty where it has none.

    Args:
        cases: its table of cases, with ``dose_kind`` and ``lesion_source`` where they are.

    Raises:
        DataProblem: one of the two tables is missing or damaged, or they do not belong together.
    """
    files = [dataset_dir / name for name in (TUMOUR_BOARD, DVH)]
    there = [file.is_file() for file in files]
    if not any(there):
        return []
    if not all(there):
        missing = files[there.index(False)].name
        raise DataProblem(Problem(str(dataset_dir), f"{missing} is missing beside the other table", _AGAIN))
    if files[0].stat().st_size < 3:  # no case has a lesion
        return []
    board = read_table(files[0], ("subject", "case", "lesion_volume_ml"), _AGAIN)
    curves = dict(list(read_table(files[1], _GROUPED, _AGAIN).groupby("subject")))
    rows = cases.set_index(["subject", "case"])
    sheets = []
    for row in board.to_dict("records"):
        key = (row["subject"], row["case"])
        if key not in rows.index or row["subject"] not in curves:
            what = f"{TUMOUR_BOARD} has a row of {' '.join(key)}, which {DVH} or the table of cases lacks"
            raise DataProblem(Problem(str(dataset_dir), what, _AGAIN))
        facts, curve = rows.loc[key], curves[row["subject"]].sort_values("dose_gy")
        numbers = {str(name): None if pd.isna(value) else value for name, value in row.items()}
        numbers["lesion_source"] = facts.get("lesion_source")
        levels = {share: numbers.get(isodose_column(share)) for share in SHOWN_ISODOSES}
        label = int(facts["label"])
        sheets.append(
            CaseSheet(
                *key,
                label,
                classes.names[label],
                str(facts.get("dose_kind", "Gy")),
                curve["dose_gy"].to_numpy(dtype=float),
                curve["share"].to_numpy(dtype=float),
                {share: float(level) for share, level in levels.items() if level is not None},
                numbers,
            )
        )
    order = {key: place for place, key in enumerate(rows.index)}
    return sorted(sheets, key=lambda sheet: order[sheet.subject, sheet.case])


def unit_of(sheets: Sequence[CaseSheet]) -> str:
    """What the dose of these sheets is, such as ``EQD2 Gy``; of several kinds ``EQD2 Gy or Gy(RBE)``."""
    kinds = [sheet.dose_kind.rpartition(" ") for sheet in sheets]
    scales, units = (list(dict.fromkeys(kind[place] for kind in kinds)) for place in (0, 2))
    return f"{' or '.join(scales)} {' or '.join(sorted(units))}".strip()
