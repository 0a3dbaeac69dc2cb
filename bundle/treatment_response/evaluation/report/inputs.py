"""Read what the report is made of: the prepared data set and, where there is one, the run's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.cohort.lesion import BASELINE
from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.evaluation.report.lesion_table import LesionPicture
from treatment_response.evaluation.report.results import ComparisonInputs, Scores, read_unlabelled_predictions
from treatment_response.evaluation.training_gap import TrainingGap, training_gap
from treatment_response.evaluation.views import LesionView
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.metrics.doubtful import AucRange, auc_range, doubtful_beside
from treatment_response.metrics.scores import PREDICTION_COLUMNS
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class ReportInputs:
    """Everything the page shows.

    Attributes:
        dataset: content of ``dataset.json``; lesions: ``lesions.csv``; ingest: ``ingest_report.json`` (may be empty).
        predictions: ``predictions.csv`` of a run; None without a run. history: ``history.csv`` or None.
        provenance: the run's ``provenance.json`` (may be empty).
        views: lesions to draw, in the order of preference; empty without a trained network.
        flips: how many lesions' decisions change with brain-like values outside the contour, and of how many; each by a
            network that has not seen the lesion, where there is one. None without a trained network.
        localisation: per lesion and map, columns ``subject, lesion, name, kind, measure, value``; None without a truth.
        files: (name, relative link) of what lies beside the page.
        comparisons: finished ones, the main one first. explanations, ablation: tables of other commands, or None.
        pictures: (subject, lesion) → thumbnail.
        unlabelled: ``unlabelled_predictions.csv`` of the run; None without doubtful lesions.
        shuffled: ``predictions.csv`` of a run like it with shuffled labels; None without one.
    """

    dataset: dict[str, Any]
    lesions: pd.DataFrame
    ingest: dict[str, Any]
    predictions: pd.DataFrame | None
    history: pd.DataFrame | None
    provenance: dict[str, Any]
    views: Sequence[LesionView] = ()
    flips: tuple[int, int] | None = None
    localisation: pd.DataFrame | None = None
    files: Sequence[tuple[str, str]] = ()
    comparisons: Sequence[ComparisonInputs] = ()
    explanations: Scores | None = None
    ablation: Scores | None = None
    pictures: Mapping[tuple[str, str], LesionPicture] = field(default_factory=dict)
    unlabelled: pd.DataFrame | None = None
    shuffled: pd.DataFrame | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the patients are simulated."""
        return bool(self.dataset.get("synthetic"))

    @property
    def doubtful(self) -> DoubtfulCounts:
        """How many lesions of MRI 1 have no label."""
        return doubtful_beside(self.lesions, self.dataset)

    @cached_property
    def doubtful_range(self) -> AucRange | None:
        """The run's AUC with the doubtful lesions, where they are many."""
        return None if self.predictions is None else auc_range(self.predictions, self.unlabelled, self.doubtful)

    @cached_property
    def training_gap(self) -> TrainingGap | None:
        """The run's AUC (i) − (ii), with shuffled labels' own; None where a role is missing."""
        if self.predictions is None:
            return None
        return training_gap(self.predictions, [] if self.shuffled is None else [self.shuffled])

    @property
    def only_synthetic(self) -> bool:
        """Whether every patient is, those of comparisons made from other data included."""
        return self.synthetic and all(one.table.get("synthetic") for one in self.comparisons)


def read_inputs(
    dataset_dir: Path,
    run_dir: Path | None,
    files: Sequence[tuple[str, str]] = (),
    shuffled_run: Path | None = None,
) -> ReportInputs:
    """Read the data set's and the run's tables.

    Args:
        dataset_dir: a prepared data set.
        run_dir: a training run's folder after evaluation, or a cross-validation's (then the first fold's history); None
            for a report without one.
        shuffled_run: the like of `run_dir`, trained on shuffled labels.

    Raises:
        DataProblem: a file that the report cannot do without is missing or unreadable; all of them at once.
    """
    prepare = "prepare the data set with scripts/prepare_dicom.py"
    needed = {dataset_dir / "dataset.json": prepare, dataset_dir / "lesions.csv": prepare}
    if run_dir is not None:
        needed[run_dir / "predictions.csv"] = "run evaluate.json on the trained model first"
    if shuffled_run is not None:
        needed[shuffled_run / "predictions.csv"] = "run scripts/cross_validate.py with --shuffle-labels"
    missing = [
        Problem(str(path), "the file is missing", remedy) for path, remedy in needed.items() if not path.is_file()
    ]
    if missing:
        raise DataProblem(*missing)
    dataset = read_json(dataset_dir / "dataset.json")
    persons = persons_in(dataset)
    lesions = with_persons(read_table(dataset_dir / "lesions.csv", ("subject", "lesion", "label"), prepare), persons)
    if unlabelled_samples := [s for s in dataset.get("unlabelled", []) if s["session"] == BASELINE]:
        # A lesion in doubt is one of its patient's lesions: the number is known before treatment.
        counts = Counter([*lesions["subject"], *(sample["subject"] for sample in unlabelled_samples)])
        lesions = lesions.assign(lesions_of_patient=lesions["subject"].map(counts))
    predictions, unlabelled, history, shuffled, provenance = None, None, None, None, {}
    if run_dir is not None:
        trained = trained_run(run_dir)
        predictions = with_persons(_predictions(run_dir / "predictions.csv", lesions), persons)
        unlabelled = read_unlabelled_predictions(run_dir)
        unlabelled = None if unlabelled is None else with_persons(unlabelled, persons)
        history = pd.read_csv(trained / "history.csv") if (trained / "history.csv").is_file() else None
        provenance = read_json(trained / "provenance.json")
    if shuffled_run is not None:
        shuffled = with_persons(_shuffled(shuffled_run / "predictions.csv", lesions), persons)
    return ReportInputs(
        dataset=dataset,
        lesions=lesions,
        ingest=read_json(dataset_dir / "ingest_report.json"),
        predictions=predictions,
        history=history,
        provenance=provenance,
        files=files,
        unlabelled=unlabelled,
        shuffled=shuffled,
    )


def _predictions(path: Path, lesions: pd.DataFrame) -> pd.DataFrame:
    predictions = read_table(path, PREDICTION_COLUMNS, "run evaluate.json on the trained model again")
    if _true_labels(predictions, lesions) is not True:
        what = "its lesions or their labels are not those of the data set"
        raise DataProblem(Problem(str(path), what, "name the data set that it was made from"))
    return predictions


def _shuffled(path: Path, lesions: pd.DataFrame) -> pd.DataFrame:
    predictions = read_table(path, PREDICTION_COLUMNS, "run scripts/cross_validate.py with --shuffle-labels again")
    if (true := _true_labels(predictions, lesions)) is not False:
        what = "its labels are the data set's own" if true else "its lesions are not those of the data set"
        remedy = "name a run of this data set that was made with --shuffle-labels"
        raise DataProblem(Problem(str(path), what, remedy))
    return predictions


def _true_labels(predictions: pd.DataFrame, lesions: pd.DataFrame) -> bool | None:
    """Whether every label is the data set's; None where a lesion is not."""
    truth = lesions.set_index(["subject", "lesion"])["label"]
    scored = predictions.set_index(["subject", "lesion"])["label"]
    if not scored.index.isin(truth.index).all():
        return None
    return bool((truth.loc[scored.index].to_numpy() == scored.to_numpy()).all())


def has_model(run_dir: Path) -> bool:
    """Whether the folder, or a fold in it, holds a trained network."""
    return (trained_run(run_dir) / "models" / "model.pt").is_file()


def trained_run(run_dir: Path) -> Path:
    """`run_dir` itself, or the first of a cross-validation's folds that holds a model."""
    if (run_dir / "models" / "model.pt").is_file():
        return run_dir
    folds = [weights.parent.parent for weights in sorted(run_dir.glob("fold_*/models/model.pt"))]
    return next(iter(folds), run_dir)
