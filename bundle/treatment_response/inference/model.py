"""The weights that predict, and what is known about how they came to be."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from treatment_response.explain.scale import check_fitted
from treatment_response.problems import DataProblem, Problem

RESEARCH_ONLY = "RESEARCH ONLY"
"""The mark on everything that shows an answer; with it the descriptions of all DICOM series of this software begin."""


def load_model(network: torch.nn.Module, model_path: str | Path, device: torch.device) -> torch.nn.Module:
    """Load weights strictly and give the network back on the device, in evaluation mode.

    Args:
        network: built from the config.
        model_path: ``model.pt`` of a training run: ``{"model": state dict}``. It is read without unpickling code.
        device: where to.

    Raises:
        DataProblem: the file is missing or is no such file, the weights do not fit the network, or they hold no scale
            for the maps.
    """
    path = Path(model_path)
    if not path.is_file():
        remedy = "train a model first, or name its weights (--model_path RUN/models/model.pt)"
        raise DataProblem(Problem("--model_path", f"there is no file {path.name}", remedy))
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        what = f"{path.name} cannot be read as weights ({type(error).__name__})"
        raise DataProblem(Problem("--model_path", what, "use a model.pt that a training run wrote")) from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        what = f"{path.name} has no entry 'model' with weights"
        raise DataProblem(Problem("--model_path", what, "use a model.pt that a training run wrote"))
    try:
        network.load_state_dict(content["model"], strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        what = f"the weights in {path.name} do not fit the network of the config ({detail})"
        raise DataProblem(Problem("--model_path", what, "use the config that the weights were trained with")) from error
    network.to(device).eval()
    check_fitted(network.cam_scale)
    return network


def describe_model(model_path: str | Path) -> dict[str, Any]:
    """Where the weights come from, for every answer that they give.

    Args:
        model_path: ``RUN/models/model.pt``; the run's ``provenance.json`` is looked for in ``RUN`` and beside it.

    Returns:
        ``sha256`` of the weights' file, and of the training data ``training_data`` (its name), ``synthetic``,
        ``training_lesions``, ``training_patients``, ``protocol``, ``fold`` (None where unknown), ``calibrated``.
    """
    path = Path(model_path)
    provenance: dict[str, Any] = {}
    for folder in (path.parent.parent, path.parent):
        if (folder / "provenance.json").is_file():
            provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
            break
    data = provenance.get("dataset", {})
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training_data": data.get("name"),
        "synthetic": data.get("synthetic"),
        "training_lesions": data.get("training_lesions"),
        "training_patients": data.get("training_patients"),
        "protocol": provenance.get("protocol"),
        "fold": provenance.get("fold"),
        "calibrated": False,
    }


def training_data_sentence(model: dict[str, Any]) -> str:
    """The training data in one line, such as ``demo (synthetic), 55 lesions of 31 patients``."""
    if model["training_data"] is None:
        return "unknown training data"
    kind = {True: "synthetic", False: "real", None: "kind unknown"}[model["synthetic"]]
    lesions, patients = model["training_lesions"], model["training_patients"]
    return f"{model['training_data']} ({kind}), {lesions} lesions of {patients} patients"


def notice(model: dict[str, Any]) -> str:
    """What stands on every answer of the model."""
    return (
        f"{RESEARCH_ONLY}, not for clinical decisions. Trained on {training_data_sentence(model)}; "
        f"the probabilities are {'calibrated' if model['calibrated'] else 'not calibrated'}."
    )
