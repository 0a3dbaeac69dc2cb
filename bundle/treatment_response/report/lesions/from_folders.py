"""The page on lesions from folders that other commands wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS
from treatment_response.report.explanation_scores import read_explanations
from treatment_response.report.folders import links, trained_run
from treatment_response.report.lesions.comparisons import read_comparisons
from treatment_response.report.lesions.content import OF_LESIONS, build_report
from treatment_response.report.lesions.inputs import read_inputs
from treatment_response.report.lesions.lesion_pictures import lesion_pictures
from treatment_response.report.lesions.tables import rated


def lesion_report(
    dataset_dir: Path,
    run_dirs: Sequence[Path],
    out: Path,
    cams_dir: Path | None,
    comparison_dirs: Sequence[Path],
    explanations_dir: Path | None,
) -> Path:
    """Write the report on response of lesions; returns the page's path.

    Args:
        dataset_dir, run_dirs, out, cams_dir, comparison_dirs, explanations_dir: see
            :func:`~treatment_response.report.from_folders.report_from_folders`.

    Raises:
        DataProblem: something that the page needs is missing.
    """
    others = [*comparison_dirs, *([] if explanations_dir is None else [explanations_dir])]
    inputs = read_inputs(dataset_dir, run_dirs)
    comparisons = read_comparisons(comparison_dirs, dataset_dir)
    inputs = replace(
        inputs,
        comparisons=[replace(one, rated=one.own and rated(inputs.lesions)) for one in comparisons],
        explanations=None
        if explanations_dir is None
        else read_explanations(explanations_dir, dataset_dir, OF_LESIONS.cases),
        pictures=lesion_pictures(dataset_dir, inputs.views),
        files=_links(out, dataset_dir, inputs.run_dir, cams_dir, others),
    )
    return build_report(inputs, out)


def _links(
    out: Path, dataset: Path, run: Path | None, cams: Path | None, others: Sequence[Path]
) -> list[tuple[str, str]]:
    files = [
        ("lesions of the data set", dataset / "lesions.csv"),
        ("what was taken and left out", dataset / "ingest_report.txt"),
    ]
    if run is not None:
        files += [
            ("predictions per lesion", run / "predictions.csv"),
            ("predictions of the doubtful lesions", run / UNLABELLED_PREDICTIONS),
            ("metrics", run / "metrics.json"),
            ("model weights", trained_run(run) / "models" / "model.pt"),
        ]
    if cams is not None:
        files += [("predictions and maps per lesion", cams / "lesions.csv"), ("class activation maps (NIfTI)", cams)]
    return links(out, files, others)
