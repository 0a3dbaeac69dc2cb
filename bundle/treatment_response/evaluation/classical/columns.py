"""What a column's name says: its group, and when its value is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from treatment_response.evaluation.classical.selection import ColumnFilter
from treatment_response.features import clinical, deltas, groups
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem, Problem

GROUPS = (clinical.SIZE_GROUP, clinical.CLINICAL_GROUP, *groups.GROUPS, deltas.GROUP)
BEFORE = "mri1"
"""The prefix under which features of MRI 1 may stand beside others; any other prefix is known after MRI 2."""
_LATER = {feature.name for feature in clinical.FEATURES if feature.known is not Known.BEFORE_TREATMENT}


def group_of(column: str) -> str:
    """The group that a column belongs to: its name's first part, or the second after a session's prefix; else ""."""
    return next((part for part in column.split(".")[:2] if part in GROUPS), "")


def known_of(column: str) -> Known:
    """When a column is known, by its name: deltas, other sessions' prefixes and what MRI 2 brought are known later."""
    first, _, rest = column.partition(".")
    name = column if first in GROUPS else rest
    late = group_of(column) == deltas.GROUP or name in _LATER or first not in (*GROUPS, BEFORE)
    return Known.AFTER_MRI_2 if late else Known.BEFORE_TREATMENT


class GroupColumns(ColumnFilter):
    """Takes the columns of some groups that are known at a moment.

    Args:
        groups: of ``GROUPS``. A group without any column is named in ``note_``.
        known: columns known later are left out.

    Raises:
        DataProblem: (in ``fit``) there is no such column at all.
    """

    def __init__(self, groups: tuple[str, ...], known: Known = Known.BEFORE_TREATMENT) -> None:
        self.groups = groups
        self.known = known

    def _keep(self, X: pd.DataFrame, y: np.ndarray | None) -> list[str]:
        kept = [name for name in X.columns if group_of(name) in self.groups and known_of(name).by(self.known)]
        absent = [group for group in self.groups if group not in {group_of(name) for name in kept}]
        if not kept:
            what = f"the table has no column of {', '.join(self.groups)} known {self.known}"
            raise DataProblem(Problem("features", what, "measure these groups, or leave the method out"))
        if absent:
            self.note_ = f"the table has no column of {', '.join(absent)}"
        return kept

    def transform(self, X: Any) -> pd.DataFrame:
        """The columns, as float64."""
        return super().transform(X).astype(float)
