"""Features with their names, and tables of them that know when each value can be known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.cohort.lesion import BASELINE, SECOND
from treatment_response.problems import DataProblem, Problem
from treatment_response.text_enum import TextEnum

LESION_KEY = ["subject", "lesion"]
SESSION_KEY = [*LESION_KEY, "session"]
VALUES, DESCRIPTION = "features.csv", "features.json"


class Known(TextEnum):
    """The earliest moment at which a value is known; a table for one moment must hold nothing of a later one."""

    BEFORE_TREATMENT = "before treatment"
    AFTER_MRI_2 = "after MRI 2"

    def by(self, moment: Known) -> bool:
        """Whether it is known at ``moment`` already."""
        order = list(Known)
        return order.index(self) <= order.index(moment)


@dataclass(frozen=True)
class Feature:
    """What one column is.

    Attributes:
        name: unique over all groups; starts with the group's name and a dot.
        group: ``gradient``, ``radiomics``, ``dose``, ``delta``, ``size``, ``clinical``.
        known: when the value is known, if it is measured in the session before treatment. A feature measured in
            a later session is known later (`known_at`).
        unit: of the value; empty for a pure number.
    """

    name: str
    group: str
    known: Known = Known.BEFORE_TREATMENT
    unit: str = ""


def known_at(session: str) -> Known:
    """When what is measured in a session is known.

    Raises:
        DataProblem: the session is the follow-up, which defines the outcome, or none of ours.
    """
    moments = {BASELINE: Known.BEFORE_TREATMENT, SECOND: Known.AFTER_MRI_2}
    if session not in moments:
        what = f"features are measured in {' or '.join(moments)}; {session} comes after the outcome"
        raise DataProblem(Problem("sessions", what, "choose from these two"))
    return moments[session]


@dataclass(frozen=True)
class FeatureTable:
    """Values of features, one row per lesion, or per lesion and session.

    Attributes:
        values: float64; index ``(subject, lesion, session)`` or ``(subject, lesion)``, unique; columns are the
            features' names in their order. NaN: this lesion has no such value (no dose, a texture of too few voxels).
        features: what the columns are.

    Raises:
        DataProblem: rows or columns twice, columns that are not the features, or an infinite value.
    """

    values: pd.DataFrame
    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if list(self.values.columns) != names or len(set(names)) != len(names):
            raise _problem("the columns are not the features' names, each once", "join each group once")
        if list(self.values.index.names) not in (LESION_KEY, SESSION_KEY):
            raise _problem(f"the rows are named by {list(self.values.index.names)}", "name them by subject and lesion")
        if self.values.index.has_duplicates:
            raise _problem("a lesion has two rows", "give each lesion and session once")
        if np.isinf(self.values.to_numpy(dtype=float)).any():
            raise _problem("a value is infinite", "report it as a fault of this program")

    @classmethod
    def from_rows(cls, rows: Iterable[dict[str, Any]], features: Sequence[Feature]) -> FeatureTable:
        """From one dictionary per row: the key's columns and the features' values (a missing one becomes NaN)."""
        frame = pd.DataFrame(list(rows))
        key = [name for name in SESSION_KEY if name in frame]
        names = [feature.name for feature in features]
        return cls(frame.set_index(key).reindex(columns=names).astype(float).sort_index(), tuple(features))

    def known_by(self, moment: Known) -> FeatureTable:
        """Only what is known at ``moment``: later features and later sessions' rows are left out."""
        values = self.values
        if "session" in values.index.names:
            sessions = values.index.get_level_values("session")
            values = values[[known_at(session).by(moment) for session in sessions]]
        kept = tuple(feature for feature in self.features if feature.known.by(moment))
        return FeatureTable(values[[feature.name for feature in kept]], kept)

    def of_groups(self, *groups: str) -> FeatureTable:
        """Only the features of some groups."""
        kept = tuple(feature for feature in self.features if feature.group in groups)
        return FeatureTable(self.values[[feature.name for feature in kept]], kept)

    def at(self, session: str, prefix: str = "") -> FeatureTable:
        """One session's rows as a table per lesion; its features are known when the session is.

        Args:
            prefix: put before each name, so that two sessions can stand side by side.
        """
        moment = known_at(session)
        rows = self.values.index.get_level_values("session") == session
        values = self.values[rows].droplevel("session").add_prefix(prefix)
        features = (
            replace(
                feature,
                name=prefix + feature.name,
                known=moment if feature.known.by(moment) else feature.known,
            )
            for feature in self.features
        )
        return FeatureTable(values, tuple(features))

    def join(self, *others: FeatureTable) -> FeatureTable:
        """The features of several tables side by side, for the lesions (and sessions) of this one.

        Raises:
            DataProblem: one table has a row per lesion and the other a row per session, or a name occurs twice.
        """
        tables = (self, *others)
        if len({tuple(table.values.index.names) for table in tables}) > 1:
            raise _problem("a table per lesion cannot stand beside one per session", "take one session with at()")
        frames = [table.values.reindex(self.values.index) for table in tables]
        return FeatureTable(pd.concat(frames, axis=1), tuple(item for table in tables for item in table.features))

    def write(self, folder: Path) -> None:
        """Write ``features.csv`` (exact to the last bit) and ``features.json`` (what the columns are)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.values.to_csv(folder / VALUES)
        content = json.dumps([asdict(feature) for feature in self.features], indent=1)
        (folder / DESCRIPTION).write_text(content + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> FeatureTable:
        """Read what `write` wrote.

        Raises:
            DataProblem: a file is missing or is something else.
        """
        try:
            described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            features = tuple(Feature(**{**item, "known": Known(item["known"])}) for item in described)
            frame = pd.read_csv(folder / VALUES, dtype=dict.fromkeys(SESSION_KEY, str), float_precision="round_trip")
            values = frame.set_index([name for name in SESSION_KEY if name in frame])
            return cls(values.astype(float), features)
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataProblem):
                raise
            what = f"{VALUES} and {DESCRIPTION} cannot be read ({type(error).__name__})"
            raise DataProblem(Problem("feature table", what, "write them again")) from None


def _problem(what: str, remedy: str) -> DataProblem:
    return DataProblem(Problem("feature table", what, remedy))
