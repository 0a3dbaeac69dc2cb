"""Which trained network explains which lesion: one that has not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from treatment_response.cohort.dataset import load_datalist
from treatment_response.evaluation.lesion_views import lesion_slices
from treatment_response.evaluation.metrics import HELD_OUT, primary_role
from treatment_response.evaluation.overlays import overlay_files
from treatment_response.evaluation.views import LesionSlice
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import load_into, read_weights

Key = tuple[str, str]
"""(subject, lesion)."""
INTERFACE = ("encode", "cell_mask", "classify")
TRANSFORMS = ("image_transforms", "lesion_transforms", "patch_transforms")
"""What a config calls the steps from a lesion to its slice."""


@dataclass(frozen=True)
class TrainedModel:
    """A fitted network of a run.

    Attributes:
        folder: holds ``models/model.pt`` and ``predictions.csv``.
        lesions: the lesions that it may explain: those that it has not trained on (all, under protocol A).
        held_out: whether they were held out.
    """

    folder: Path
    lesions: frozenset[Key]
    held_out: bool


def find_models(run_dir: Path) -> list[TrainedModel]:
    """The networks of a single run, of a cross-validation (``fold_*``) or of a comparison's trials (``trial_*``).

    Raises:
        DataProblem: there is no trained and scored network.
    """
    weights = [run_dir / "models" / "model.pt"]
    weights += [path for name in ("fold_*", "trial_*") for path in sorted(run_dir.glob(f"{name}/models/model.pt"))]
    folders = [path.parent.parent for path in weights if path.is_file()]
    scored = [folder for folder in folders if (folder / "predictions.csv").is_file()]
    if not scored:
        what = "it holds no trained and scored network (models/model.pt and predictions.csv)"
        remedy = "name a run after evaluate.json, a cross-validation, or the folder of a comparison's trials"
        raise DataProblem(Problem(str(run_dir), what, remedy))
    return [_model(folder) for folder in scored]


def check_made_from(digest: str, run_dirs: Sequence[Path], shuffled_run: Path | None) -> None:
    """Refuse folders of other data or other labels than they are given for, where they say what they were made from.

    Data sets name their patients alike, so “held out” would be true of the other data set's patients only.

    Args:
        digest: of the data set. shuffled_run: has to be of shuffled labels, the others of the true ones.

    Raises:
        DataProblem: about all such folders at once.
    """
    problems = []
    for folder in (*run_dirs, *([] if shuffled_run is None else [shuffled_run])):
        # A cross-validation says it in its own folder, a comparison two above its trials (trials/cnn).
        above = folder.resolve().parent.parent
        record = read_json(folder / "cross_validation.json") or read_json(above / "comparison.json")
        if record.get("dataset", digest) != digest:
            what, remedy = "its networks were trained on another data set", "name the data set that it was made from"
            problems.append(Problem(str(folder), what, remedy))
        elif "shuffle" in record and (record["shuffle"] is not None) != (folder == shuffled_run):
            labels, option = ("true", "--run") if record["shuffle"] is None else ("shuffled", "--shuffled")
            problems.append(
                Problem(str(folder), f"its networks were trained on {labels} labels", f"give it as {option}")
            )
    if problems:
        raise DataProblem(*problems)


def _model(folder: Path) -> TrainedModel:
    columns, remedy = ("subject", "lesion", "role"), "score the network again (evaluate.json)"
    predictions = read_table(folder / "predictions.csv", columns, remedy)
    role = primary_role(predictions)
    rows = predictions[predictions["role"] == role]
    return TrainedModel(folder, frozenset(zip(rows["subject"], rows["lesion"], strict=True)), role == HELD_OUT)


def explainers(models: Sequence[TrainedModel], lesions: Sequence[Key]) -> dict[Key, list[TrainedModel]]:
    """For each lesion the networks that may explain it, in the order of `models`; those of protocol A come last."""
    unseen_first = sorted(models, key=lambda model: not model.held_out)
    return {key: [model for model in unseen_first if key in model.lesions] for key in lesions}


def read_configs(config_files: Sequence[str], dataset_dir: Path) -> ConfigParser:
    """The configs that a run was trained with, on the CPU; names are those of `overlay_files`.

    Args:
        config_files: ``train.json`` and overlays; none means the bundle's ``train.json``.

    Raises:
        DataProblem: a file is missing or no config, or together they do not describe a network and its input.
    """
    files = overlay_files(config_files or ("train.json",), "--config")
    parser = ConfigParser()
    try:
        parser.read_config([str(file) for file in files])
        absent = [name for name in (*TRANSFORMS, "network_def") if name not in parser]
    except KeyError as error:  # of an overlay without what it changes
        absent = [str(error.args[0]).rpartition(" ")[2]]
    if absent:
        what, remedy = f"it has no {' and no '.join(absent)}", "name train.json first, then what goes on top of it"
        raise DataProblem(Problem("--config", what, remedy))
    parser["dataset_dir"] = str(dataset_dir)
    parser["device"] = "$torch.device('cpu')"
    parser.parse()
    return parser


def dataset_slices(parser: ConfigParser, dataset_dir: Path) -> list[LesionSlice]:
    """MRI 1 of every lesion, preprocessed as the config says."""
    return lesion_slices(load_datalist(dataset_dir), *(_instances(parser, name) for name in TRANSFORMS))


def _instances(parser: ConfigParser, name: str) -> list[Any]:
    return [parser.get_parsed_content(f"{name}#{index}") for index in range(len(parser[name]))]


def untrained_network(parser: ConfigParser, seed: int) -> torch.nn.Module:
    """The config's network as it is initialised.

    Raises:
        DataProblem: it lacks what the maps are made of.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parser.parse(reset=True)
        network = parser.get_parsed_content("network_def")
    missing = [name for name in INTERFACE if not callable(getattr(network, name, None))]
    if missing:
        what = f"the network {type(network).__name__} has no {' and no '.join(missing)}"
        raise DataProblem(Problem("--config", what, f"use one with {', '.join(INTERFACE)}, as the bundle's networks"))
    result: torch.nn.Module = network.eval()
    return result


def trained_network(parser: ConfigParser, model: TrainedModel) -> torch.nn.Module:
    """The config's network with a run's weights.

    Raises:
        DataProblem: the weights are missing or do not fit, or the network lacks what the maps are made of.
    """
    network, where = untrained_network(parser, 0), str(model.folder)
    path = model.folder / "models" / "model.pt"
    if not path.is_file():
        raise DataProblem(Problem(where, "the run has no models/model.pt", "train it first"))
    load_into(network, read_weights(path, where), where)
    return network.eval()
