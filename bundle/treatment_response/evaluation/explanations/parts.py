"""One part of the scoring: a group of lesions through all measures, kept so that a stopped command goes on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from treatment_response.evaluation.explanations import lesion_scores
from treatment_response.evaluation.explanations.gradient_features import Cells
from treatment_response.files import write_whole

REVISION = 3
"""Raise it when the measures give other values than before: parts that were kept are scored again."""
PARTS = "parts"
"""Folder of the finished parts, while others are not."""
LIBRARIES = ("treatment-response", "torch", "captum", "numpy", "scipy")
SHARES = {
    "localisation": 1,
    "removal of cells": 8,
    "shifts and noise": 4,
    "retrained networks": 1,
    "randomised parameters": 5,
    "correlation with gradients": 1,
}
"""Steps and roughly how long they take per lesion, for the remaining time."""


@dataclass
class PartScores:
    """The scores of a part.

    Attributes:
        rows: of ``scores.csv``.
        predicted: (subject, lesion, number of the predicted class).
        niche_shares: (subject, lesion, niche share of the lesion).
        gap: of Integrated Gradients, as a share of what it explains.
        modules: of the network, from the head down.
    """

    rows: lesion_scores.Rows = field(default_factory=list)
    predicted: list[tuple[str, str, int]] = field(default_factory=list)
    niche_shares: list[tuple[str, str, float]] = field(default_factory=list)
    gap: float = 0.0
    modules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PartInputs:
    """All that decides a part's scores.

    Attributes:
        group: lesions and networks. niche: ``(N, H, W)`` or None. features: gradient features, one per lesion.
        others: further networks → indices of the lesions that they have not trained on either.
    """

    group: lesion_scores.LesionGroup
    niche: torch.Tensor | None
    others: Mapping[torch.nn.Module, Sequence[int]]
    features: Sequence[Cells]

    def key(self) -> str:
        """A hash of the pixels, the weights, the truth, the seed and the libraries."""
        group = self.group
        digest = hashlib.sha256(json.dumps([REVISION, group.seed, list(group.keys), sorted(group.controls)]).encode())
        digest.update(json.dumps(versions()).encode())
        for network in (group.network, *group.controls.values(), *group.fresh, *self.others):
            for tensor in network.state_dict().values():
                digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
        digest.update(json.dumps([list(indices) for indices in self.others.values()]).encode())
        digest.update(group.x.numpy().tobytes())
        digest.update(b"" if self.niche is None else self.niche.numpy().tobytes())
        for cells in self.features:
            digest.update(b"".join(np.ascontiguousarray(values).tobytes() for values in cells.values()))
        return digest.hexdigest()


def score_part(inputs: PartInputs, found: PartScores) -> Iterator[str]:
    """Fill `found`; yields the name of each step (`SHARES`) when it is finished."""
    group = inputs.group
    found.predicted = [(*key, target.value) for key, target in zip(group.keys, group.predicted, strict=True)]
    found.gap = group.completeness_gap()
    if inputs.niche is not None:
        rows, shares = lesion_scores.localisation_rows(group, inputs.niche)
        found.rows += rows
        found.niche_shares = [(*key, share) for key, share in zip(group.keys, shares.tolist(), strict=True)]
    yield "localisation"
    found.rows += lesion_scores.faithfulness_rows(group)
    yield "removal of cells"
    found.rows += lesion_scores.stability_rows(group)
    yield "shifts and noise"
    if inputs.others:
        found.rows += lesion_scores.retrained_rows(group, inputs.others)
    yield "retrained networks"
    rows, found.modules = lesion_scores.randomisation_rows(group)
    found.rows += rows
    yield "randomised parameters"
    found.rows += lesion_scores.gradient_rows(group, inputs.features)
    yield "correlation with gradients"


def versions() -> dict[str, str]:
    """The versions of the libraries that decide the numbers."""
    return {name: version(name) for name in LIBRARIES}


def keep(file: Path, key: str, found: PartScores) -> None:
    """Write a finished part."""
    write_whole(file, json.dumps({"key": key, **asdict(found)}))


def kept(file: Path, key: str) -> PartScores | None:
    """A part that was finished with the same inputs, or None."""
    if not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    return PartScores(**content) if content.pop("key", None) == key else None
