"""The weights that predict, and what is known about how they came to be."""

from __future__ import annotations

import copy
from typing import Any

import torch

from treatment_response.explain.scale import fitted_scales
from treatment_response.notice import shown_name
from treatment_response.weights import Weights, load_into, load_state


def load_model(network: torch.nn.Module, weights: Weights, device: torch.device) -> torch.nn.Module:
    """Put weights into the network that serves, and give it back on the device, in evaluation mode.

    Args:
        network: built from the config.
        weights: from `read_weights`.
        device: where to.

    Raises:
        DataProblem: the weights do not fit the network, or have no scale for their maps.
    """
    load_into(network, weights)
    fitted_scales(weights.map_scales)
    return network.to(device).eval()


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
        without fold models).
    """
    data = weights.training_data
    sets = weights.certainty.conformal if weights.certainty else None
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
    }
