"""Which trained network explains which lesion: one that has not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from treatment_response.cohort.case import with_case
from treatment_response.cohort.dataset import load_datalist
from treatment_response.configs import BASE_FIRST, read_configs
from treatment_response.evaluation.lesion_views import lesion_slices
from treatment_response.evaluation.views import LesionSlice
from treatment_response.evaluation.written import read_json, read_table
from treatment_response.metrics.scores import primary_role
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import PROTOCOLS
from treatment_response.weights import load_into, read_weights

Key = tuple[str, str]
"""(subject, case)."""
HELD_OUT = {protocol.roles[-1].name for protocol in PROTOCOLS.values() if protocol.holds_out}
"""The primary roles of protocols that hold patients out."""
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
    file, remedy = folder / "predictions.csv", "score the network again (evaluate.json)"
    predictions = with_case(read_table(file, ("subject", "role"), remedy))
    if "case" not in predictions:
        raise DataProblem(Problem(str(file), "columns missing: lesion or case", remedy))
    role = primary_role(predictions)
    rows = predictions[predictions["role"] == role]
    return TrainedModel(folder, frozenset(zip(rows["subject"], rows["case"], strict=True)), role in HELD_OUT)


def explainers(models: Sequence[TrainedModel], lesions: Sequence[Key]) -> dict[Key, list[TrainedModel]]:
    """For each lesion the networks that may explain it, in the order of `models`; those of protocol A come last."""
    unseen_first = sorted(models, key=lambda model: not model.held_out)
    return {key: [model for model in unseen_first if key in model.lesions] for key in lesions}


def run_configs(names: Sequence[str], dataset_dir: Path) -> ConfigParser:
    """The configs that a run was trained with, on the CPU; names are those of `config_files`.

    Args:
        names: ``train.json`` and overlays; none means the bundle's ``train.json``.

    Raises:
        DataProblem: a file is missing or no config, or together they do not describe a network and its input.
    """
    device = "$torch.device('cpu')"
    parser = read_configs(names or ("train.json",), "--config", dataset_dir=str(dataset_dir), device=device)
    absent = [name for name in (*TRANSFORMS, "network_def") if name not in parser]
    if absent:
        raise DataProblem(Problem("--config", f"it has no {' and no '.join(absent)}", BASE_FIRST))
    parser.parse()
    return parser


def dataset_slices(parser: ConfigParser, dataset_dir: Path) -> list[LesionSlice]:
    """MRI 1 of every lesion, preprocessed as the config says."""
    return lesion_slices(load_datalist(dataset_dir), *(instances(parser, name) for name in TRANSFORMS))


def instances(parser: ConfigParser, name: str) -> list[Any]:
    """What a list of the config declares, each built."""
    return [parser.get_parsed_content(f"{name}#{index}") for index in range(len(parser[name]))]


def initial_network(parser: ConfigParser, seed: int) -> torch.nn.Module:
    """The config's network as it is initialised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parser.parse(reset=True)
        network: torch.nn.Module = parser.get_parsed_content("network_def")
    return network.eval()


def untrained_network(parser: ConfigParser, seed: int) -> torch.nn.Module:
    """The config's network as it is initialised.

    Raises:
        DataProblem: it lacks what the maps of cells are made of.
    """
    network = initial_network(parser, seed)
    missing = [name for name in INTERFACE if not callable(getattr(network, name, None))]
    if missing:
        what = f"the network {type(network).__name__} has no {' and no '.join(missing)}"
        raise DataProblem(Problem("--config", what, f"use one with {', '.join(INTERFACE)}, as the bundle's networks"))
    return network


def trained_network(parser: ConfigParser, model: TrainedModel) -> torch.nn.Module:
    """The config's network with a run's weights.

    Raises:
        DataProblem: the weights are missing or do not fit.
    """
    network, where = initial_network(parser, 0), str(model.folder)
    path = model.folder / "models" / "model.pt"
    if not path.is_file():
        raise DataProblem(Problem(where, "the run has no models/model.pt", "train it first"))
    load_into(network, read_weights(path, where), where)
    return network.eval()
