"""The weights that predict, and what is known about how they came to be."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from treatment_response.cases.explanations import CellCams, Explanations
from treatment_response.certainty import TemperatureCalibration
from treatment_response.classes import RESPONSE
from treatment_response.cohort.dataset import TEST_FOLD
from treatment_response.explain.scale import fitted_scales, without_scale
from treatment_response.model_description import MapScales
from treatment_response.networks.ensemble import Ensemble
from treatment_response.notice import shown_name
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import leak_of
from treatment_response.weights import Weights, load_into, load_state, read_weights


def read_models(model_path: str | Path | Sequence[str | Path]) -> Weights:
    """The weights of one model, or of several runs of one design as an ensemble.

    The members of an ensemble stand where fold models do; a map explains their mean, and its scale is the mean of
    theirs.

    Args:
        model_path: of one ``model.pt``, or a list of them.

    Raises:
        DataProblem: one cannot be used, or they are not of the same classes and explanations.
    """
    if isinstance(model_path, str | Path):
        return read_weights(model_path)
    members = [read_weights(path) for path in model_path]
    if not members:
        raise DataProblem(Problem("--model_path", "the list of models is empty", "name at least one model.pt"))
    first = members[0]
    if any(one.classes != first.classes for one in members):
        what = "the models of the list have different classes"
        raise DataProblem(Problem("--model_path", what, "name models of one system"))
    if any(one.training_data.preparation != first.training_data.preparation for one in members):
        what = "the models of the list were trained on images that were put on an atlas in different ways"
        raise DataProblem(Problem("--model_path", what, "name models of one data set"))
    data, same = first.training_data, {one.training_data.name for one in members}
    name = data.name if len(same) == 1 else "several data sets"
    return replace(
        first,
        file=", ".join(one.file for one in members),
        sha256=hashlib.sha256("".join(one.sha256 for one in members).encode()).hexdigest(),
        map_scales=mean_scales([one.map_scales for one in members]),
        training_data=replace(data, name=name, lesions=None, patients=None, fold=None),
        folds=tuple(one.state for one in members),
        certainty=None,
        ensemble=True,
    )


def mean_scales(scales: Sequence[MapScales | None]) -> MapScales | None:
    """The mean of several networks' scales, of the explanations that all have; None if one has none."""
    known = [each for each in scales if each is not None]
    if len(known) != len(scales):
        return None
    return {name: _mean_scale([each[name] for each in known]) for name in known[0] if all(name in o for o in known)}


def _mean_scale(scales: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Of one explanation: class → mean; None where a member has none."""
    known = [each for each in scales if each is not None]
    if len(known) != len(scales):
        return None
    return {label: sum(each[label] for each in known) / len(known) for label in known[0]}


def load_model(
    network: torch.nn.Module,
    weights: Weights,
    device: torch.device,
    explanation: Explanations | None = None,
) -> torch.nn.Module:
    """Put weights into the network that serves, and give it back on the device, in evaluation mode.

    Args:
        network: built from the config.
        weights: from `read_models`; those of an ensemble give the mean of its members.
        device: where to.
        explanation: whose maps are drawn; PULSAR's by default.

    Raises:
        DataProblem: the weights do not fit the network, or the scale of their maps was never fitted.
    """
    explanation = explanation or CellCams()
    if weights.ensemble:
        if isinstance(explanation, CellCams):
            what = "several models were named, and these maps explain the cells of one"
            raise DataProblem(Problem("--model_path", what, "name one model.pt, whose fold models lie beside it"))
        made: torch.nn.Module = Ensemble(load_fold_models(network, weights, device), *_curve(weights))
    else:
        load_into(network, weights)
        made = network
    fitted_scales(weights.map_scales, drawn_names(explanation, weights), weights.classes.names)
    return made.to(device).eval()


def drawn_names(explanation: Explanations, weights: Weights) -> tuple[str, ...]:
    """The explanations that have maps: all but those whose scale could not be fitted."""
    absent = without_scale(weights.map_scales)
    return tuple(name for name in explanation.names if name not in absent)


def _curve(weights: Weights) -> tuple[float, float]:
    """By what the members' logits are multiplied, and what is added, before their mean: their calibration."""
    if weights.certainty is None:
        return 1.0, 0.0
    curve = weights.certainty.calibration
    return (1 / curve.temperature, 0.0) if isinstance(curve, TemperatureCalibration) else (curve.slope, curve.intercept)


def load_fold_models(network: torch.nn.Module, weights: Weights, device: torch.device) -> list[torch.nn.Module]:
    """The fold models of some weights, each a network like `network`, on the device, in evaluation mode.

    Raises:
        DataProblem: their weights do not fit the network.
    """
    networks = [copy.deepcopy(network) for _ in weights.folds]
    for number, (own, state) in enumerate(zip(networks, weights.folds, strict=True)):
        load_state(own, state, f"fold model {number} of {weights.file}", "--model_path")
        own.to(device).eval()
    return networks


def describe_model(weights: Weights) -> dict[str, Any]:
    """Where the weights come from, for every answer that they give.

    Returns:
        ``sha256`` of the weights' file, and of the training data ``training_data`` (its `shown_name`), ``synthetic``,
        ``training_lesions``, ``training_patients``, ``protocol``, ``fold`` (None where unknown); ``calibrated``, and by
        class how many ``calibration_lesions`` and ``calibration_patients`` that and the conformal sets come from (empty
        without fold models); where they are no lesions, ``cases``: what its system calls them; where its images were
        put on an atlas, ``preparation``.
    """
    data = weights.training_data
    words = {} if weights.classes == RESPONSE else {"cases": shown_name(data.cases or "cases")}
    sets = weights.certainty.conformal if weights.certainty else None
    prepared = {} if data.preparation is None else {"preparation": data.preparation}
    return {
        "sha256": weights.sha256,
        "training_data": None if data.name is None else shown_name(data.name),
        "synthetic": data.synthetic,
        "training_lesions": data.lesions,
        "training_patients": data.patients,
        "protocol": data.protocol,
        "fold": data.fold,
        "calibrated": sets is not None,
        "calibration_lesions": sets.lesions() if sets else {},
        "calibration_patients": sets.patients() if sets else {},
        **words,
        **prepared,
    }


def seen_in_training(case: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """Whether a case's patient was trained on: same data set, not in the fold held out, and not kept apart.

    A model whose protocol holds out time points has trained on other time points of every patient.

    Args:
        case: with ``dataset`` (name; None where unknown) and ``fold``.
        model: from :func:`describe_model`.
    """
    if case["dataset"] is None or shown_name(case["dataset"]) != model["training_data"]:
        return False
    everybody = model["protocol"] == "A" or bool(leak_of(model["protocol"]))
    return case["fold"] != TEST_FOLD and bool(everybody or case["fold"] != model["fold"])
