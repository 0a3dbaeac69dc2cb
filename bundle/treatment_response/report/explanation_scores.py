"""Read the folder of ``scripts/score_explanations.py``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.dataset import dataset_digest
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.recorded import inner

SUMMARY_COLUMNS = ("map", "kind", "measure", "mean", "low", "high", "patients", "better", "chance", "about")


@dataclass(frozen=True)
class Scores:
    """A folder with a table of scores and what is to be said about it.

    Attributes:
        table: ``summary.csv`` of ``scripts/score_explanations.py``.
        facts: content of the JSON beside it (notes, settings, …).
        own: whether it was made from the report's data set, as far as it says.
    """

    table: pd.DataFrame
    facts: dict[str, Any]
    own: bool = True

    def synthetic(self, otherwise: bool) -> bool:
        """Whether its patients are simulated, by its own record; `otherwise` where that says nothing."""
        recorded = inner(self.facts, "model", "synthetic")
        return otherwise if recorded is None else bool(recorded)

    @property
    def notes(self) -> list[str]:
        """What its maker says has to stand under it."""
        notes = self.facts.get("notes", [])
        return [str(note) for note in (notes if isinstance(notes, list) else [notes])]


def read_explanations(folder: Path, dataset_dir: Path | None, cases: str) -> Scores:
    """``summary.csv`` and ``explanations.json`` of ``scripts/score_explanations.py``.

    Args:
        dataset_dir: the report's data set, which the scores are held to be of if they do not say another; None if
            there is none.
        cases: the table's column that counts them.
    """
    table = folder / "summary.csv"
    if not table.is_file():
        raise DataProblem(Problem(str(folder), "holds no summary.csv", "run scripts/score_explanations.py first"))
    content = read_table(table, (*SUMMARY_COLUMNS, cases), "run scripts/score_explanations.py again", comment="#")
    found = Scores(content, read_json(folder / "explanations.json"))
    digest = inner(found.facts, "model", "data_set_sha256")
    if digest is None or dataset_dir is None:
        return found
    return replace(found, own=digest == dataset_digest(dataset_dir))
