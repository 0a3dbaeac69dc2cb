"""New weights in the place of the ones that are served, the old ones kept beside them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from treatment_response.configs import read_configs
from treatment_response.files import whole_file
from treatment_response.inference.model import load_model
from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import copy_pair, description_of, read_weights

PROVENANCE = "provenance.json"


def publish_model(run: Path, model_path: Path | None = None, configs: Sequence[Path] = ()) -> Path | None:
    """Put a run's weights where they are served from, after loading them strictly into the network that serves.

    ``model.pt``, the ``model.json`` that belongs to it and the ``provenance.json`` that describes its training are
    replaced; what was there stays beside them as ``model_<sha256[:12]>.pt``, ``model_<sha256[:12]>.json`` and
    ``provenance_<sha256[:12]>.json``.

    Args:
        run: a finished training run.
        model_path: the weights that are served; the config's by default.
        configs: those that serve; the bundle's ``inference.json`` by default.

    Returns:
        Where the earlier weights are kept; None if there were none.

    Raises:
        DataProblem: the weights do not fit the network that serves, or the place cannot be written.
    """
    new = run / "models" / "model.pt"
    parser = read_configs([str(config) for config in configs] or ["inference.json"], "config")
    model_path = model_path or Path(parser.get_parsed_content("model_path"))
    load_model(parser.get_parsed_content("network_def"), read_weights(new, "publish"), torch.device("cpu"))
    provenance = provenance_of(model_path)
    try:
        kept = _keep(model_path, provenance)
        with whole_file(provenance) as partial:
            shutil.copy2(run / PROVENANCE, partial)
        copy_pair(new, model_path)
    except OSError as error:
        what = f"the served weights cannot be replaced ({type(error).__name__}); the run itself is kept"
        raise DataProblem(Problem("publish", what, "make their folder writable, or start with --conf model")) from error
    return kept


def provenance_of(model_path: Path) -> Path:
    """The description that belongs to weights: that of their run's folder, else the one beside them, by their name."""
    beside_run = model_path.parent.parent / PROVENANCE
    name = PROVENANCE if model_path.stem == "model" else f"provenance_{model_path.stem}.json"
    return beside_run if beside_run.is_file() else model_path.parent / name


def _keep(model_path: Path, provenance: Path) -> Path | None:
    if not model_path.is_file():
        return None
    sha = hashlib.sha256(model_path.read_bytes()).hexdigest()[:12]
    kept = model_path.with_name(f"{model_path.stem}_{sha}{model_path.suffix}")
    if description_of(model_path).is_file():
        copy_pair(model_path, kept)
    else:  # weights of the earlier format hold everything themselves
        shutil.copy2(model_path, kept)
    if provenance.is_file():
        shutil.copy2(provenance, provenance.with_name(f"{provenance.stem}_{sha}{provenance.suffix}"))
    return kept
