"""Read what a report on any classes is made of: data set, run, comparisons, scores of maps, pictures of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.cohort.case import read_cases, with_case
from treatment_response.cohort.dataset import dataset_digest
from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.cohort.words import Words, words_of
from treatment_response.evaluation.class_calibration import calibration_by_class
from treatment_response.evaluation.written import EXTERNAL_VALIDATION, TEST_METRICS, read_json, read_table
from treatment_response.metrics.bootstrap import patient_bootstrap
from treatment_response.metrics.class_intervals import CLASS_METRIC_NAMES, one_class_metric
from treatment_response.metrics.class_scores import class_averages, class_probabilities
from treatment_response.metrics.intervals import Interval
from treatment_response.metrics.scores import primary_role
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.case_pictures import CasePicture, case_pictures
from treatment_response.report.explanation_scores import Scores, read_explanations
from treatment_response.report.folders import trained_run
from treatment_response.report.sheets import CaseSheet, read_sheets

_AGAIN = "run scripts/compare.py to its end"
_PARTS = ("classes", "role", "methods", "notes", "scores", "differences", "null_check")


@dataclass(frozen=True)
class CaseComparisonInputs:
    """A folder of ``scripts/compare.py``.

    Attributes:
        key: short and unique on the page. table: content of ``table.json``. settings: of ``provenance.json``.
        own: whether it was made from the report's data set.
    """

    key: str
    table: dict[str, Any]
    settings: dict[str, Any]
    own: bool

    def label(self, method: Any) -> str:
        """What readers see in the place of a method's name."""
        return str(self.table.get("labels", {}).get(method, method))


@dataclass(frozen=True)
class CaseReportInputs:
    """Everything that the page shows.

    Attributes:
        dataset: content of ``dataset.json``. classes, words: its. cases: its table, with ``person`` where there is one.
        predictions: of the run, with a column per class; None without a run. provenance: the run's (may be empty).
        test: what the run says of the patients kept apart, content of ``test_metrics.json``; empty if it was not asked.
        external: content of ``external.json`` where the run is an external validation; else empty.
        comparisons: the main one first. explanations: their scores, or None.
        pictures: of cases with maps; empty without an inference folder.
        sheets: of dose and place of each case; empty where the data set has none.
        files: (name, relative link) of what lies beside the page.
    """

    dataset: dict[str, Any]
    classes: Classes
    words: Words
    cases: pd.DataFrame
    predictions: pd.DataFrame | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    external: dict[str, Any] = field(default_factory=dict)
    comparisons: Sequence[CaseComparisonInputs] = ()
    explanations: Scores | None = None
    pictures: Sequence[CasePicture] = ()
    sheets: Sequence[CaseSheet] = ()
    files: Sequence[tuple[str, str]] = ()

    @property
    def synthetic(self) -> bool:
        """Whether the patients are simulated."""
        return bool(self.dataset.get("synthetic"))

    @cached_property
    def averaged(self) -> pd.DataFrame | None:
        """One row per role and case: the run's predictions averaged over its models; None without a run."""
        return None if self.predictions is None else class_averages(self.predictions, self.classes)

    @cached_property
    def primary(self) -> tuple[str, pd.DataFrame] | None:
        """The primary role and its rows of `averaged`."""
        if self.averaged is None:
            return None
        role = primary_role(self.averaged)
        return role, self.averaged[self.averaged["role"] == role]

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """Class → calibration of the run's probabilities in the primary role; empty without a run."""
        if self.predictions is None or self.primary is None:
            return {}
        own = self.predictions[self.predictions["role"] == self.primary[0]]
        return calibration_by_class(own, self.classes)

    @cached_property
    def class_intervals(self) -> dict[str, dict[str, Interval]]:
        """Class → score of `CLASS_METRIC_NAMES` → its interval over the patients of the primary role."""
        if self.primary is None:
            return {}
        rows = self.primary[1]
        return {
            name: {
                score: patient_bootstrap(rows, one_class_metric(score, self.classes, place))
                for score in CLASS_METRIC_NAMES
            }
            for place, name in enumerate(self.classes.names)
        }


def read_case_inputs(
    dataset_dir: Path,
    classes: Classes,
    run_dirs: Sequence[Path] = (),
    maps_dir: Path | None = None,
    comparison_dirs: Sequence[Path] = (),
    explanations_dir: Path | None = None,
    files: Sequence[tuple[str, str]] = (),
) -> CaseReportInputs:
    """Read the folders that other commands wrote.

    Args:
        dataset_dir: a prepared data set. classes: its.
        run_dirs: at most one: a run after evaluation, a cross-validation, or an external validation.
        maps_dir: an inference folder. files: links to them.

    Raises:
        DataProblem: a file is missing or is of other classes or cases.
    """
    if len(run_dirs) > 1:
        what = "a run on shuffled labels beside the first one is not read for these classes"
        raise DataProblem(Problem("--run", what, "name one run; compare.py --shuffle-labels checks the null"))
    dataset = read_json(dataset_dir / "dataset.json")
    persons, table = persons_in(dataset), read_cases(dataset_dir)
    predictions, provenance, test, external = None, {}, {}, {}
    for run_dir in run_dirs:
        predictions = with_persons(_predictions(run_dir, classes, table), persons)
        provenance = read_json(trained_run(run_dir) / "provenance.json")
        test = read_json(run_dir / TEST_METRICS)
        external = read_json(run_dir / EXTERNAL_VALIDATION)
    digest = dataset_digest(dataset_dir)
    return CaseReportInputs(
        dataset,
        classes,
        words_of(dataset),
        with_persons(table, persons),
        predictions,
        provenance,
        test,
        external,
        [_comparison(f"comparison_{number}", one, classes, digest) for number, one in enumerate(comparison_dirs, 1)],
        None if explanations_dir is None else read_explanations(explanations_dir, dataset_dir, "cases"),
        [] if maps_dir is None else case_pictures(dataset_dir, dataset, maps_dir, classes),
        read_sheets(dataset_dir, table, classes),
        files,
    )


def _predictions(run_dir: Path, classes: Classes, cases: pd.DataFrame) -> pd.DataFrame:
    file, remedy = run_dir / "predictions.csv", "run evaluate.json on the trained model first"
    if not file.is_file():
        raise DataProblem(Problem(str(file), "the file is missing", remedy))
    table = with_case(read_table(file, ("subject", "role", "label"), remedy))
    table = table.assign(**dict(zip(classes.columns, class_probabilities(table, classes).T, strict=True)))
    known = set(zip(cases["subject"], cases["case"], cases["label"], strict=True))
    if not set(zip(table["subject"], table["case"], table["label"], strict=True)) <= known:
        what = "its cases or their labels are not those of the data set"
        raise DataProblem(Problem(str(run_dir), what, "name the data set that it was made from"))
    return table


def _comparison(key: str, folder: Path, classes: Classes, digest: str) -> CaseComparisonInputs:
    table = read_json(folder / "table.json")
    if absent := [part for part in _PARTS if part not in table]:
        raise DataProblem(Problem(str(folder), f"table.json lacks {', '.join(absent)}", _AGAIN))
    if table["classes"] != classes.content():
        what = f"it compares {', '.join(table['classes']['names'])}, which are not the data set's classes"
        raise DataProblem(Problem(str(folder), what, "name a comparison of the same classes"))
    own = read_json(folder / "comparison.json").get("dataset") == digest
    return CaseComparisonInputs(key, table, read_json(folder / "provenance.json"), own)
