"""The whole report from a data set's and a run's folder: load the network, draw, score the maps, write the page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from monai.bundle import ConfigParser

from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.evaluation.explanations.models import (
    TrainedModel,
    dataset_slices,
    explainers,
    find_models,
    read_configs,
    trained_network,
    trained_with_scales,
    untrained_network,
)
from treatment_response.evaluation.figures.thumbnails import lesion_thumbnail
from treatment_response.evaluation.lesion_views import lesion_views
from treatment_response.evaluation.localisation import localisation_table
from treatment_response.evaluation.niche import niche_cells
from treatment_response.evaluation.report.build import build_report
from treatment_response.evaluation.report.inputs import has_model, read_inputs, trained_run
from treatment_response.evaluation.report.lesion_table import LesionPicture
from treatment_response.evaluation.report.results import read_ablation, read_comparisons, read_explanations
from treatment_response.evaluation.report.tables import rated
from treatment_response.evaluation.views import LesionSlice, LesionView, cell_mask
from treatment_response.files import check_folder, write_whole
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS
from treatment_response.problems import DataProblem, Problem

SHOWN_PER_CLASS = 6
UNTRAINED_SEED = 1
PICTURED = ("pixelwise", 0)
"""The map beside each lesion of the table: what speaks for non-response, the finding that a clinic looks for."""


def report_from_folders(
    dataset_dir: Path,
    run_dir: Path | None,
    out: Path,
    cams_dir: Path | None = None,
    truth_dir: Path | None = None,
    shuffled_run: Path | None = None,
    config_files: Sequence[str] = (),
    comparison_dirs: Sequence[Path] = (),
    explanations_dir: Path | None = None,
    ablation_dir: Path | None = None,
) -> Path:
    """Write the report; its sections depend on what is given.

    Args:
        dataset_dir: a prepared data set.
        run_dir: a run's folder after evaluation, or a cross-validation's; None if there are comparisons instead.
        out: folder for ``report.html``, ``report.json``, ``tables/`` and ``figures/``.
        cams_dir: the inference folder, linked from the page.
        truth_dir: a synthetic cohort's ``truth/``; with it the run's maps are scored against the planted niches, and
            the scores are written to ``localisation.csv``.
        shuffled_run: the like of `run_dir`, trained on shuffled labels: a control of training minus held-out and,
            with `truth_dir`, of localisation.
        config_files: the configs that the run was trained with; the bundle's ``train.json`` by default.
        comparison_dirs: folders of ``scripts/compare.py``, the main one first.
        explanations_dir: folder of ``scripts/score_explanations.py``. ablation_dir: folder of ``scripts/ablation.py``.

    Returns:
        The page's path.

    Raises:
        DataProblem: something that the page needs is missing.
    """
    check_folder(out)
    _check(run_dir, comparison_dirs, {"--truth": truth_dir, "--shuffled": shuffled_run}, cams_dir)
    inputs = read_inputs(dataset_dir, run_dir, shuffled_run=shuffled_run)
    comparisons = read_comparisons(comparison_dirs, dataset_dir)
    inputs = replace(
        inputs,
        comparisons=[replace(one, rated=one.own and rated(inputs.lesions)) for one in comparisons],
        explanations=None if explanations_dir is None else read_explanations(explanations_dir, dataset_dir),
        ablation=None if ablation_dir is None else read_ablation(ablation_dir),
    )
    parser = read_configs(config_files, dataset_dir)
    slices = dataset_slices(parser, dataset_dir)
    models = find_models(run_dir) if run_dir is not None and has_model(run_dir) else []
    views = _held_out_views(parser, slices, models)
    inputs = replace(inputs, pictures=lesion_pictures(slices, views))
    if models:
        shown = lesion_views(*trained_with_scales(parser, models[0]), _to_show(slices, models[0]))
        inputs = replace(inputs, views=shown, flips=(sum(view.flips for view in views.values()), len(views)))
    if models and truth_dir is not None:
        scores = _localisation(parser, slices, models, shuffled_run, truth_dir)
        scores = with_persons(scores, persons_in(inputs.dataset))
        write_whole(out / "localisation.csv", scores.to_csv(index=False, float_format="%.6g"))
        inputs = replace(inputs, localisation=scores)
    others = [*comparison_dirs, *(folder for folder in (explanations_dir, ablation_dir) if folder is not None)]
    links = _links(out, dataset_dir, run_dir, cams_dir, others, inputs.localisation is not None)
    return build_report(replace(inputs, files=links), out)


def lesion_pictures(
    slices: Sequence[LesionSlice], views: Mapping[tuple[str, str], LesionView]
) -> dict[tuple[str, str], LesionPicture]:
    """A thumbnail of every lesion, with the map for non-response where a network has mapped it.

    Args:
        slices: MRI 1 of the lesions. views: (subject, lesion) → view by the network that has not seen it; may be empty.
    """
    finest = min((one.pixel_mm for one in slices), default=0.0)
    pictures = {}
    for one in slices:
        view = views.get((one.subject, one.lesion))
        cam = None if view is None else view.cams[PICTURED]
        png = lesion_thumbnail(one.x[0], one.x[1], cam)
        cells = int(cell_mask(one.x[1]).sum())
        coarse = one.pixel_mm > finest * (1 + 1e-3)
        pictures[one.subject, one.lesion] = LesionPicture(png, cam is not None, coarse, cells)
    return pictures


def _check(
    run_dir: Path | None, comparisons: Sequence[Path], of_a_run: Mapping[str, Path | None], cams_dir: Path | None
) -> None:
    problems = []
    if run_dir is None and not comparisons:
        problems.append(Problem("report", "there is nothing to report on", "give --run, --comparison or both"))
    if run_dir is None:
        given = [option for option, value in of_a_run.items() if value is not None]
        problems += [Problem(option, "it is about a run", "give --run too") for option in given]
    if cams_dir is not None and not (cams_dir / "lesions.csv").is_file():
        problems.append(Problem(str(cams_dir), "holds no lesions.csv", "name the folder that inference.json wrote"))
    if problems:
        raise DataProblem(*problems)


def _held_out_views(
    parser: ConfigParser, slices: Sequence[LesionSlice], models: Sequence[TrainedModel]
) -> dict[tuple[str, str], LesionView]:
    """Every lesion as the fitted model sees it that has not trained on it (protocol A has none: all lesions)."""
    views: dict[tuple[str, str], LesionView] = {}
    for model in models:
        part = [one for one in slices if (one.subject, one.lesion) in model.lesions]
        found = lesion_views(*trained_with_scales(parser, model), part)
        views |= {(view.subject, view.lesion): view for view in found}
    return views


def _localisation(
    parser: ConfigParser,
    slices: Sequence[LesionSlice],
    models: Sequence[TrainedModel],
    shuffled_run: Path | None,
    truth_dir: Path,
) -> pd.DataFrame:
    """Score every fitted model's maps on the lesions that it has not trained on (protocol A has none: on all)."""
    tables = []
    untrained = untrained_network(parser, UNTRAINED_SEED)
    shuffled = [] if shuffled_run is None else find_models(shuffled_run)
    keys = [(one.subject, one.lesion) for one in slices]
    control_of = {key: next(iter(found), None) for key, found in explainers(shuffled, keys).items()}
    for model in models:
        # Like the network, its control has not trained on the lesions, so folds need not be the same.
        parts: dict[TrainedModel | None, list[LesionSlice]] = {}
        for one, key in zip(slices, keys, strict=True):
            if key in model.lesions:
                parts.setdefault(control_of[key], []).append(one)
        for control, part in parts.items():
            controls = {"untrained": untrained}
            if control is not None:
                controls["label-shuffled"] = trained_network(parser, control)
            truth = niche_cells(part, truth_dir)
            tables.append(localisation_table(trained_network(parser, model), controls, part, truth))
    return pd.concat(tables, ignore_index=True)


def _to_show(slices: Sequence[LesionSlice], first: TrainedModel) -> list[LesionSlice]:
    """Up to six lesions per class in the order of their ids, of those that the network may explain."""
    own = [one for one in slices if (one.subject, one.lesion) in first.lesions]
    own.sort(key=lambda one: (one.subject, one.lesion))
    return [one for label in (1, 0) for one in [s for s in own if s.label == label][:SHOWN_PER_CLASS]]


def _links(
    out: Path, dataset: Path, run: Path | None, cams: Path | None, others: Sequence[Path], localisation: bool
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
    if localisation:
        files.append(("localisation scores per lesion", out / "localisation.csv"))
    if cams is not None:
        files += [("predictions and maps per lesion", cams / "lesions.csv"), ("class activation maps (NIfTI)", cams)]
    files += [(f"everything of {folder.resolve().name}", folder) for folder in others]
    # Quoted, because a folder's name may hold what means something else in a link.
    return [(name, quote(Path(os.path.relpath(path, out)).as_posix())) for name, path in files if path.exists()]
