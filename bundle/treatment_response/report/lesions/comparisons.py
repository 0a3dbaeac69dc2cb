"""Read the folders of ``scripts/compare.py``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.dataset import dataset_digest
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS
from treatment_response.metrics.scores import lesion_averages
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.recorded import percent

TABLE_PARTS = ("scores", "differences", "training_gap", "calibration", "null_check", "notes", "paper")
PREDICTION_COLUMNS = ("method", "model", "role", "session", "subject", "lesion", "label", "p_response")


@dataclass(frozen=True)
class ComparisonInputs:
    """A folder of ``scripts/compare.py``.

    Attributes:
        key: short and unique on the page, fit for file names. folder: where it lies.
        table: content of ``table.json``. predictions: ``predictions.csv``. importances: ``importances.csv`` or None.
        provenance, settings: ``provenance.json`` and ``comparison.json``.
        networks: method → provenance of its first trial; empty where no network was trained.
        own: whether it was made from the report's data set.
        rated: whether that data set's labels are ratings.
        unlabelled: ``unlabelled_predictions.csv``; None without doubtful lesions.
    """

    key: str
    folder: Path
    table: dict[str, Any]
    predictions: pd.DataFrame
    importances: pd.DataFrame | None
    provenance: dict[str, Any]
    settings: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    own: bool
    rated: bool = False
    unlabelled: pd.DataFrame | None = None

    @property
    def ranges(self) -> dict[str, dict[str, Any]]:
        """Method → its AUC with the doubtful lesions, where they are many."""
        return dict(self.table.get("doubtful", {}).get("auc", {}))

    @property
    def methods(self) -> list[str]:
        """In the order of the comparison."""
        return [str(method) for method in self.predictions["method"].drop_duplicates()]

    @property
    def title(self) -> str:
        """Data set, threshold and protocol in words."""
        threshold = self.table.get("response_threshold")
        loss = "" if threshold is None else f", response = volume loss above {percent(threshold)}"
        loss = ", response as rated" if self.rated else loss
        name = self.provenance.get("data_set", {}).get("name") or "data set"
        trained_on = self.provenance.get("trained_on")
        if trained_on:
            return f"{name}{loss}, external validation of models trained on {trained_on.get('name') or 'a data set'}"
        return f"{name}{loss}, protocol {self.table.get('protocol', 'not recorded')}"

    def scores(self) -> pd.DataFrame:
        """Rows of ``table.csv``."""
        return pd.DataFrame(self.table["scores"])

    def averaged(self, method: str) -> pd.DataFrame:
        """One row per role and lesion: a method's predictions averaged over the trials."""
        return lesion_averages(self.predictions[self.predictions["method"] == method].assign(fold=0))


def read_comparisons(folders: Sequence[Path], dataset_dir: Path) -> list[ComparisonInputs]:
    """Read comparison folders; a folder that holds one folder per threshold stands for these.

    Raises:
        DataProblem: a file is missing or is something else; all such folders at once.
    """
    flat = [one for folder in folders for one in ([folder] if _is_comparison(folder) else _inner(folder))]
    digest = dataset_digest(dataset_dir)
    found: list[ComparisonInputs] = []
    problems: list[Problem] = []
    for key, folder in zip(_unique_keys(flat), flat, strict=True):
        try:
            found.append(_read_comparison(key, folder, digest))
        except DataProblem as error:
            problems += error.problems
    if problems:
        raise DataProblem(*problems)
    return found


def _is_comparison(folder: Path) -> bool:
    return (folder / "table.json").is_file() or not _inner(folder)


def _inner(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("threshold_*/table.json"))


def _read_comparison(key: str, folder: Path, digest: str) -> ComparisonInputs:
    where, remedy = str(folder), "run scripts/compare.py to its end"
    missing = [name for name in ("table.json", "predictions.csv") if not (folder / name).is_file()]
    if missing:
        raise DataProblem(Problem(where, f"{' and '.join(missing)} missing, so it is no finished comparison", remedy))
    table = _renamed(read_json(folder / "table.json"))
    absent = [part for part in TABLE_PARTS if part not in table]
    if absent:
        raise DataProblem(Problem(where, f"table.json lacks {', '.join(absent)}", remedy))
    if any("slope" not in scores for scores in table["calibration"].values()):
        raise DataProblem(Problem(where, "table.json was written by an older version", "run the same command again"))
    predictions = read_table(folder / "predictions.csv", PREDICTION_COLUMNS, remedy)
    importances = folder / "importances.csv"
    settings = read_json(folder / "comparison.json")
    # Trials of a network keep all settings; the first in order stands for a method's others, which differ in the seed.
    trained = {path.parent.parent.name: path for path in sorted(folder.glob("trials/*/trial_*/provenance.json"))[::-1]}
    return ComparisonInputs(
        key,
        folder,
        table,
        predictions,
        pd.read_csv(importances, comment="#") if importances.is_file() else None,
        read_json(folder / "provenance.json"),
        settings,
        {method: read_json(path) for method, path in sorted(trained.items())},
        settings.get("dataset") == digest,
        unlabelled=read_unlabelled_predictions(folder),
    )


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    """``table.json`` of a version that called training minus held-out "leak" and had no shuffled labels' beside it."""
    if "leak" not in table:
        return table
    gaps = {method: {"true": entry, "shuffled": None, "recognition": None} for method, entry in table["leak"].items()}
    return {"training_gap": gaps, **table}


def read_unlabelled_predictions(folder: Path) -> pd.DataFrame | None:
    """What the models said of lesions without a label; None if the folder holds no such file."""
    file = folder / UNLABELLED_PREDICTIONS
    if not file.is_file():
        return None
    return read_table(file, ("subject", "lesion", "p_response"), "run the command that wrote it again")


def _unique_keys(folders: Sequence[Path]) -> list[str]:
    """The folders' names, fit for files and anchors; the same name twice gets a number."""
    names = [re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_") or "comparison" for folder in folders]
    keys: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        # A number must not make it the name of another folder, whose tables and figures it would then replace.
        keys.append(name if name not in keys else next(key for key in numbered if key not in (*keys, *names)))
    return keys
