"""The whole report from a data set's and a run's folder: load the network, draw, score the maps, write the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from monai.bundle import ConfigParser

from treatment_response.cohort.dataset import load_datalist
from treatment_response.evaluation.lesion_views import lesion_slices, lesion_views
from treatment_response.evaluation.localisation import localisation_table
from treatment_response.evaluation.niche import niche_cells
from treatment_response.evaluation.report.build import build_report
from treatment_response.evaluation.report.inputs import model_folders, read_inputs, trained_run
from treatment_response.evaluation.report.tables import primary_role
from treatment_response.evaluation.views import LesionSlice
from treatment_response.paths import bundle_root
from treatment_response.problems import DataProblem, Problem

SHOWN_PER_CLASS = 6
UNTRAINED_SEED = 1


def report_from_folders(
    dataset_dir: Path,
    run_dir: Path,
    out: Path,
    cams_dir: Path | None = None,
    truth_dir: Path | None = None,
    shuffled_run: Path | None = None,
    config_files: Sequence[str] = (),
) -> Path:
    """Write the report.

    Args:
        dataset_dir: a prepared data set. run_dir: a run's folder after evaluation, or a cross-validation's.
        out: folder for ``report.html`` and ``figures/``.
        cams_dir: the inference folder, linked from the page.
        truth_dir: a synthetic cohort's ``truth/``; with it the maps are scored against the planted niches, and the
            scores are written to ``localisation.csv``.
        shuffled_run: the like of `run_dir`, trained on shuffled labels: one more control of localisation.
        config_files: the configs that the run was trained with; the bundle's ``train.json`` by default.

    Returns:
        The page's path.

    Raises:
        DataProblem: something that the page needs is missing.
    """
    inputs = read_inputs(dataset_dir, run_dir)
    if cams_dir is not None and not (cams_dir / "lesions.csv").is_file():
        raise DataProblem(Problem(str(cams_dir), "holds no lesions.csv", "name the folder that inference.json wrote"))
    trained = trained_run(run_dir)
    parser = _parser(config_files, dataset_dir)
    slices = _slices(parser, dataset_dir)
    out.mkdir(parents=True, exist_ok=True)
    views, localisation = [], None
    if (trained / "models" / "model.pt").is_file():
        network = _network(parser, trained)
        views = lesion_views(network, _to_show(slices, inputs.predictions))
        if truth_dir is not None:
            localisation = _localisation(parser, slices, run_dir, shuffled_run, truth_dir)
            localisation.to_csv(out / "localisation.csv", index=False, float_format="%.6g")
    links = _links(out, dataset_dir, run_dir, cams_dir, localisation is not None)
    return build_report(replace(inputs, views=views, localisation=localisation, files=links), out)


def _localisation(
    parser: ConfigParser, slices: Sequence[LesionSlice], run_dir: Path, shuffled_run: Path | None, truth_dir: Path
) -> pd.DataFrame:
    """Score every fitted model's maps on the lesions that it has not trained on (protocol A has none: on all)."""
    tables = []
    untrained = _network(parser, None)
    for model_dir in model_folders(run_dir):
        mine = _scored_lesions(pd.read_csv(model_dir / "predictions.csv", dtype={"subject": str, "lesion": str}))
        part = [one for one in slices if (one.subject, one.lesion) in mine]
        controls = {"untrained": untrained}
        if shuffled_run is not None:
            fold = shuffled_run / model_dir.name
            controls["label-shuffled"] = _network(parser, fold if fold.is_dir() else shuffled_run)
        tables.append(localisation_table(_network(parser, model_dir), controls, part, niche_cells(part, truth_dir)))
    return pd.concat(tables, ignore_index=True)


def _scored_lesions(predictions: pd.DataFrame) -> set[tuple[str, str]]:
    """(subject, lesion) of the primary role."""
    rows = predictions[predictions["role"] == primary_role(predictions)]
    return set(zip(rows["subject"], rows["lesion"], strict=True))


def _parser(config_files: Sequence[str], dataset_dir: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(list(config_files) or [f"{bundle_root()}/configs/train.json"])
    parser["dataset_dir"] = str(dataset_dir)
    parser["device"] = "$torch.device('cpu')"
    parser.parse()
    return parser


def _slices(parser: ConfigParser, dataset_dir: Path) -> list[LesionSlice]:
    """MRI 1 of every lesion, preprocessed as the config says."""
    names = ("image_transforms", "lesion_transforms", "patch_transforms")
    return lesion_slices(load_datalist(dataset_dir), *(_instances(parser, name) for name in names))


def _instances(parser: ConfigParser, name: str) -> list[Any]:
    return [parser.get_parsed_content(f"{name}#{index}") for index in range(len(parser[name]))]


def _network(parser: ConfigParser, run_dir: Path | None) -> torch.nn.Module:
    """The config's network with a run's weights, or untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        parser.parse(reset=True)
        network = parser.get_parsed_content("network_def")
    if run_dir is not None:
        path = run_dir / "models" / "model.pt"
        if not path.is_file():
            raise DataProblem(Problem(str(run_dir), "the run has no models/model.pt", "train it first"))
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
        except (RuntimeError, KeyError) as error:
            what = f"the weights do not fit the network ({str(error).splitlines()[0]})"
            raise DataProblem(Problem(str(path), what, "name the configs that it was trained with")) from error
    return network.eval()


def _to_show(slices: Sequence[LesionSlice], predictions: pd.DataFrame) -> list[LesionSlice]:
    """Up to six lesions per class in the order of their ids, those that the network has not trained on first."""
    if "model" in predictions:  # a cross-validation: the page shows its first model
        predictions = predictions[predictions["model"] == predictions["model"].min()]
    held_out = _scored_lesions(predictions)
    ordered = sorted(slices, key=lambda one: ((one.subject, one.lesion) not in held_out, one.subject, one.lesion))
    return [one for label in (1, 0) for one in [s for s in ordered if s.label == label][:SHOWN_PER_CLASS]]


def _links(out: Path, dataset: Path, run: Path, cams: Path | None, localisation: bool) -> list[tuple[str, str]]:
    files = [
        ("lesions of the data set", dataset / "lesions.csv"),
        ("what was taken and left out", dataset / "ingest_report.txt"),
        ("predictions per lesion", run / "predictions.csv"),
        ("metrics", run / "metrics.json"),
        ("model weights", trained_run(run) / "models" / "model.pt"),
    ]
    if localisation:
        files.append(("localisation scores per lesion", out / "localisation.csv"))
    if cams is not None:
        files += [("predictions and maps per lesion", cams / "lesions.csv"), ("class activation maps (NIfTI)", cams)]
    return [(name, os.path.relpath(path, out)) for name, path in files if path.exists()]
