"""Rules on a pair's tumour volumes: what a network that sees the images of two studies has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.classes import Classes
from treatment_response.criteria.rules import CR, PD, PR, SD
from treatment_response.criteria.volumetric import ENHANCING, category_from_volumes
from treatment_response.evaluation.comparison.case_methods import KEY, VOLUME_RULES, read_features
from treatment_response.problems import DataProblem, Problem

COMPARTMENTS = ("enhancing", "necrosis", "oedema")
_THRESHOLDS = f"−{ENHANCING.response:.0%} is PR, +{ENHANCING.progression:.0%} PD, no enhancing tumour CR"


@dataclass(frozen=True)
class VolumeRule:
    """The volumetric criteria against some earlier studies.

    Attributes:
        name: in tables. words: what it compares with.
        baseline, nadir: endings of the columns that hold the volumes for PR and for PD.
    """

    name: str
    words: str
    baseline: str
    nadir: str

    @property
    def columns(self) -> list[str]:
        """Of the table of cases, the current volume first."""
        return [f"enhancing_mm3{ending}" for ending in ("", self.baseline, self.nadir)]

    @property
    def meaning(self) -> str:
        """For tables: what it is."""
        return f"Enhancing volume against {self.words}: {_THRESHOLDS}. It decides, without probabilities."


_RESETS = (
    ("", ", each operation begins anew", ""),
    (", no reset", ", as if only the first operation counted", "_no_reset"),
)
RULES = (
    VolumeRule("volume rule: previous", "the previous study", "_earlier", "_earlier"),
    *(
        VolumeRule(f"volume rule: {name}{suffix}", f"{words}{since}", first + ending, last + ending)
        for suffix, since, ending in _RESETS
        for name, words, first, last in (
            ("baseline", "the baseline", "_baseline", "_baseline"),
            ("nadir", "the nadir", "_nadir", "_nadir"),
            ("RANO", "the baseline for PR and the nadir for PD", "_baseline", "_nadir"),
        )
    ),
)


def check_categories(classes: Classes, where: str) -> None:
    """Refuse classes that the rules do not answer in.

    Raises:
        DataProblem: they are not CR, PR, SD and PD.
    """
    if sorted(classes.names) != sorted((CR, PR, SD, PD)):
        what = f"the volume rules answer CR, PR, SD or PD, and the classes are {', '.join(classes.names)}"
        raise DataProblem(Problem(where, what, "leave these methods out"))


def read_volumes(dataset_dir: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Volumes of the table of cases, mm³, with the index ``(subject, case)``; NaN where a study has no segmentation.

    Raises:
        DataProblem: a column is not there, or holds something else than volumes.
    """
    where = f"--methods {VOLUME_RULES}"
    table = read_features(dataset_dir, list(dict.fromkeys(columns)), where)
    if not all(pd.api.types.is_numeric_dtype(table[name]) for name in table) or (table < 0).any(axis=None):
        raise DataProblem(Problem(where, "a volume in the table of cases is no number of mm³", "prepare it again"))
    return table


def rule_answers(cases: pd.DataFrame, classes: Classes, rule: VolumeRule, volumes: pd.DataFrame) -> pd.DataFrame:
    """The rule's answers, with a column per class that is 0 or 1.

    Args:
        cases: ``subject, case`` and more. volumes: of `read_volumes`.

    Returns:
        The rows of the cases whose own and compared volumes are known, perhaps none.
    """
    rows = with_volumes(cases, volumes[list(dict.fromkeys(rule.columns))])
    decided = [classes.names.index(category_from_volumes(*each)) for each in rows[rule.columns].to_numpy()]
    p = np.eye(len(classes.names))[np.asarray(decided, dtype=int)]
    return rows[list(cases)].assign(**dict(zip(classes.columns, p.T, strict=True)))


def with_volumes(cases: pd.DataFrame, volumes: pd.DataFrame) -> pd.DataFrame:
    """The cases whose volumes are all known, and beside them the volumes."""
    rows = cases.merge(volumes, left_on=KEY, right_index=True, how="left")
    return rows[rows[list(volumes)].notna().all(axis=1)].reset_index(drop=True)


def not_computed(names: Sequence[str], answered: int, cases: int) -> list[str]:
    """A sentence on the cases that some methods have no answer for; none where they have all.

    Args:
        names: of the methods. answered: cases that each of them answers for.
    """
    if answered == cases:
        return []
    name = "; ".join(names)
    if not answered:
        return [f"{name}: not computed in this data set, no case has the segmentations."]
    return [
        f"{name}: not computed for {cases - answered} of {cases} cases, which lack a segmentation; "
        "compared on the others."
    ]


def volume_columns() -> list[str]:
    """Of the regression on volumes: three compartments now, at the previous study, at baseline and nadir."""
    return [f"{part}_mm3{ending}" for ending in ("", "_earlier", "_baseline", "_nadir") for part in COMPARTMENTS]
