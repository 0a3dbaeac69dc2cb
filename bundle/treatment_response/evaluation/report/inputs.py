"""Read what the report is made of: the prepared data set and the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.evaluation.metrics import check_predictions
from treatment_response.evaluation.views import LesionView
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class ReportInputs:
    """Everything the page shows.

    Attributes:
        dataset: content of ``dataset.json``; lesions: ``lesions.csv``; ingest: ``ingest_report.json`` (may be empty).
        predictions: ``predictions.csv``. history: ``history.csv`` or None.
        provenance: ``provenance.json`` (may be empty).
        views: lesions to draw, in the order of preference; empty without a trained network.
        localisation: per lesion and map, columns ``subject, lesion, name, kind, measure, value``; None without a truth.
        files: (name, relative link) of what lies beside the page.
    """

    dataset: dict[str, Any]
    lesions: pd.DataFrame
    ingest: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame | None
    provenance: dict[str, Any]
    views: Sequence[LesionView] = ()
    localisation: pd.DataFrame | None = None
    files: Sequence[tuple[str, str]] = ()

    @property
    def synthetic(self) -> bool:
        """Whether the patients are simulated."""
        return bool(self.dataset.get("synthetic"))


def read_inputs(dataset_dir: Path, run_dir: Path, files: Sequence[tuple[str, str]] = ()) -> ReportInputs:
    """Read the data set's and the run's tables.

    Args:
        dataset_dir: a prepared data set.
        run_dir: a training run's folder after evaluation, or a cross-validation's (then the first fold's history).

    Raises:
        DataProblem: a file that the report cannot do without is missing or unreadable; all of them at once.
    """
    needed = {
        dataset_dir / "dataset.json": "prepare the data set with scripts/prepare_dicom.py",
        dataset_dir / "lesions.csv": "prepare the data set with scripts/prepare_dicom.py",
        run_dir / "predictions.csv": "run evaluate.json on the trained model first",
    }
    missing = [
        Problem(str(path), "the file is missing", remedy) for path, remedy in needed.items() if not path.is_file()
    ]
    if missing:
        raise DataProblem(*missing)
    trained = trained_run(run_dir)
    predictions = pd.read_csv(run_dir / "predictions.csv", dtype={"subject": str, "lesion": str})
    check_predictions(predictions)
    lesions = pd.read_csv(dataset_dir / "lesions.csv", dtype={"subject": str, "lesion": str})
    truth = lesions.set_index(["subject", "lesion"])["label"]
    scored = predictions.set_index(["subject", "lesion"])["label"]
    if not scored.index.isin(truth.index).all() or (truth.loc[scored.index].to_numpy() != scored.to_numpy()).any():
        what = "its lesions or their labels are not those of the data set"
        raise DataProblem(Problem(str(run_dir / "predictions.csv"), what, "name the data set that it was made from"))
    history = trained / "history.csv"
    return ReportInputs(
        dataset=_json(dataset_dir / "dataset.json"),
        lesions=lesions,
        ingest=_json(dataset_dir / "ingest_report.json"),
        predictions=predictions,
        history=pd.read_csv(history) if history.is_file() else None,
        provenance=_json(trained / "provenance.json"),
        files=files,
    )


def model_folders(run_dir: Path) -> list[Path]:
    """The folders with one fitted model each: `run_dir` itself, or a cross-validation's folds."""
    if (run_dir / "models" / "model.pt").is_file():
        return [run_dir]
    return [weights.parent.parent for weights in sorted(run_dir.glob("fold_*/models/model.pt"))]


def trained_run(run_dir: Path) -> Path:
    """The first folder with a model, or `run_dir` where there is none."""
    return next(iter(model_folders(run_dir)), run_dir)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataProblem(Problem(str(path), f"no valid JSON ({error})", "write it again")) from None
    return content if isinstance(content, dict) else {}
