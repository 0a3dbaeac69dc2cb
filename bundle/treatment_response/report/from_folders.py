"""The whole report from folders that other commands wrote: read the files, write the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treatment_response.classes import RESPONSE, read_classes
from treatment_response.cohort.case import table_file
from treatment_response.cohort.layout import CASES, DATALIST, LESIONS
from treatment_response.evaluation.written import EXTERNAL_VALIDATION, read_json
from treatment_response.features.tumour_board import DVH, TUMOUR_BOARD
from treatment_response.files import check_folder
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS
from treatment_response.problems import DataProblem, Problem
from treatment_response.report.build import write_report
from treatment_response.report.case_content import case_figures, case_page
from treatment_response.report.case_inputs import read_case_inputs
from treatment_response.report.folders import links, trained_run
from treatment_response.report.lesions.from_folders import lesion_report


def report_from_folders(
    dataset_dir: Path,
    run_dirs: Sequence[Path],
    out: Path,
    cams_dir: Path | None = None,
    comparison_dirs: Sequence[Path] = (),
    explanations_dir: Path | None = None,
) -> Path:
    """Write the report; its sections depend on what is given, its text on the classes of the data set.

    Args:
        dataset_dir: a prepared data set.
        run_dirs: a run's folder after evaluation, or a cross-validation's; and its like on shuffled labels, if there is
            one: the control of training minus held-out. Their labels tell which is which.
        out: folder for ``report.html``, ``report.json``, ``tables/`` and ``figures/``.
        cams_dir: the inference folder, linked from the page.
        comparison_dirs: folders of ``scripts/compare.py``, the main one first.
        explanations_dir: folder of ``scripts/score_explanations.py``.

    Returns:
        The page's path.

    Raises:
        DataProblem: something that the page needs is missing.
    """
    check_folder(out)
    classes = read_classes(read_json(dataset_dir / DATALIST), DATALIST)
    sheets = classes != RESPONSE and (dataset_dir / TUMOUR_BOARD).is_file()
    _check(run_dirs, comparison_dirs, cams_dir, LESIONS if classes == RESPONSE else CASES, sheets)
    if classes == RESPONSE:
        return lesion_report(dataset_dir, run_dirs, out, cams_dir, comparison_dirs, explanations_dir)
    others = [*comparison_dirs, *([] if explanations_dir is None else [explanations_dir])]
    inputs = read_case_inputs(
        dataset_dir,
        classes,
        run_dirs,
        cams_dir,
        comparison_dirs,
        explanations_dir,
        files=_links(out, dataset_dir, run_dirs, cams_dir, others),
    )
    return write_report(case_page(inputs), case_figures(inputs), out, "cases.html")


def _check(
    run_dirs: Sequence[Path], comparisons: Sequence[Path], cams_dir: Path | None, answers: str, sheets: bool
) -> None:
    """Refuse a report on nothing: the sheets of a data set are enough."""
    problems = []
    if not run_dirs and not comparisons and not sheets:
        problems.append(Problem("report", "there is nothing to report on", "give --run, --comparison or both"))
    if cams_dir is not None and not (cams_dir / answers).is_file():
        problems.append(Problem(str(cams_dir), f"holds no {answers}", "name the folder that inference.json wrote"))
    if problems:
        raise DataProblem(*problems)


def _links(
    out: Path, dataset: Path, runs: Sequence[Path], maps: Path | None, others: Sequence[Path]
) -> list[tuple[str, str]]:
    files = [
        ("cases of the data set", table_file(dataset)),
        ("the tumour board's numbers", dataset / TUMOUR_BOARD),
        ("dose-volume curves", dataset / DVH),
    ]
    for run in runs:
        files += [
            ("predictions per case", run / "predictions.csv"),
            ("predictions of cases without a label", run / UNLABELLED_PREDICTIONS),
            ("metrics", run / "metrics.json"),
            ("external validation", run / EXTERNAL_VALIDATION),
            ("model weights", trained_run(run) / "models" / "model.pt"),
        ]
    if maps is not None:
        files += [("answers per case", maps / CASES), ("maps (NIfTI)", maps)]
    return links(out, files, others)
