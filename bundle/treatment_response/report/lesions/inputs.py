"""Read what the report is made of: the prepared data set and, where there is one, the run's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.cohort.lesion import BASELINE
from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.evaluation.training_gap import TrainingGap, training_gap
from treatment_response.evaluation.views import LESION_VIEWS, LesionView, read_views
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.metrics.doubtful import AucRange, auc_range, doubtful_beside
from treatment_response.metrics.scores import PREDICTION_COLUMNS
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.explanation_scores import Scores
from treatment_response.report.folders import trained_run
from treatment_response.report.lesions.comparisons import ComparisonInputs, read_unlabelled_predictions
from treatment_response.report.lesions.lesion_table import LesionPicture

SHOWN_PER_CLASS = 6


@dataclass(frozen=True)
class ReportInputs:
    """Everything the page shows.

    Attributes:
        dataset: content of ``dataset.json``; lesions: ``lesions.csv``; ingest: ``ingest_report.json`` (may be empty).
        predictions: ``predictions.csv`` of a run; None without a run. history: ``history.csv`` or None.
        provenance: the run's ``provenance.json`` (may be empty).
        views: each lesion as the network of the run sees it that has not trained on it (protocol A has none: all
            lesions); the first network's come first. Empty where none are stored.
        drawn: of these, the lesions that the figures show.
        files: (name, relative link) of what lies beside the page.
        comparisons: finished ones, the main one first. explanations: their scores, or None.
        pictures: (subject, lesion) → thumbnail.
        unlabelled: ``unlabelled_predictions.csv`` of the run; None without doubtful lesions.
        shuffled: ``predictions.csv`` of a run like it with shuffled labels; None without one.
        run_dir: the run's folder; None without a run.
    """

    dataset: dict[str, Any]
    lesions: pd.DataFrame
    ingest: dict[str, Any]
    predictions: pd.DataFrame | None
    history: pd.DataFrame | None
    provenance: dict[str, Any]
    views: Sequence[LesionView] = ()
    drawn: Sequence[LesionView] = ()
    files: Sequence[tuple[str, str]] = ()
    comparisons: Sequence[ComparisonInputs] = ()
    explanations: Scores | None = None
    pictures: Mapping[tuple[str, str], LesionPicture] = field(default_factory=dict)
    unlabelled: pd.DataFrame | None = None
    shuffled: pd.DataFrame | None = None
    run_dir: Path | None = None

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


def read_inputs(dataset_dir: Path, run_dirs: Sequence[Path] = ()) -> ReportInputs:
    """Read the data set's and the run's files.

    Args:
        dataset_dir: a prepared data set.
        run_dirs: a training run's folder after evaluation, or a cross-validation's (then the first fold's history), and
            at most one of the same data on shuffled labels.

    Raises:
        DataProblem: a file that the report cannot do without is missing or unreadable; all of them at once.
    """
    prepare = "prepare the data set with scripts/prepare_dicom.py"
    needed = {dataset_dir / "dataset.json": prepare, dataset_dir / "lesions.csv": prepare}
    needed |= {run_dir / "predictions.csv": "run evaluate.json on the trained model first" for run_dir in run_dirs}
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
    inputs = ReportInputs(dataset, lesions, read_json(dataset_dir / "ingest_report.json"), None, None, {})
    run_dir, shuffled_run = _true_and_shuffled(run_dirs, lesions)
    if shuffled_run is not None:
        inputs = replace(inputs, shuffled=with_persons(_predictions(shuffled_run), persons))
    if run_dir is None:
        return inputs
    trained = trained_run(run_dir)
    unlabelled = read_unlabelled_predictions(run_dir)
    views = _views(run_dir)
    return replace(
        inputs,
        run_dir=run_dir,
        predictions=with_persons(_predictions(run_dir), persons),
        unlabelled=None if unlabelled is None else with_persons(unlabelled, persons),
        history=pd.read_csv(trained / "history.csv") if (trained / "history.csv").is_file() else None,
        provenance=read_json(trained / "provenance.json"),
        views=[view for of_network in views for view in of_network],
        drawn=_drawn(views[0]) if views else (),
    )


def _true_and_shuffled(run_dirs: Sequence[Path], lesions: pd.DataFrame) -> tuple[Path | None, Path | None]:
    """The run on the data set's own labels and the one on shuffled labels; None for what is not given."""
    found: dict[bool, Path] = {}
    for run_dir in run_dirs:
        own = _has_true_labels(_predictions(run_dir), lesions)
        if own is None:
            what = "its lesions are not those of the data set"
            raise DataProblem(Problem(str(run_dir), what, "name the data set that it was made from"))
        if own in found:
            what = f"it is a second run on {'the data set’s own' if own else 'shuffled'} labels, after {found[own]}"
            remedy = "give one run and, as a control, one made with --shuffle-labels"
            raise DataProblem(Problem(str(run_dir), what, remedy))
        found[own] = run_dir
    if found and True not in found:
        what = "its labels are not those of the data set"
        remedy = "give the run on true labels too, or the data set that it was made from"
        raise DataProblem(Problem(str(found[False]), what, remedy))
    return found.get(True), found.get(False)


def _predictions(run_dir: Path) -> pd.DataFrame:
    remedy = "run evaluate.json on the trained model again"
    return read_table(run_dir / "predictions.csv", PREDICTION_COLUMNS, remedy)


def _has_true_labels(predictions: pd.DataFrame, lesions: pd.DataFrame) -> bool | None:
    """Whether every label is the data set's; None where a lesion is not."""
    truth = lesions.set_index(["subject", "lesion"])["label"]
    scored = predictions.set_index(["subject", "lesion"])["label"]
    if not scored.index.isin(truth.index).all():
        return None
    return bool((truth.loc[scored.index].to_numpy() == scored.to_numpy()).all())


def _views(run_dir: Path) -> list[list[LesionView]]:
    """The views of each network of a run or cross-validation; runs that were scored by an earlier version have none."""
    files = [run_dir / LESION_VIEWS, *sorted(run_dir.glob(f"fold_*/{LESION_VIEWS}"))]
    return [read_views(file) for file in files if file.is_file()]


def _drawn(views: Sequence[LesionView]) -> list[LesionView]:
    """Up to six lesions per class in the order of their ids."""
    ordered = sorted(views, key=lambda view: (view.subject, view.lesion))
    return [view for label in (1, 0) for view in [v for v in ordered if v.label == label][:SHOWN_PER_CLASS]]
