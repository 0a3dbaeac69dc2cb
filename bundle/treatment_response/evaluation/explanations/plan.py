"""Which lesions are scored, and in which parts: lesions that share their networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from treatment_response.evaluation.explanations.models import Key, TrainedModel
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.views import LesionSlice
from treatment_response.problems import DataProblem, Problem

LEAST_CELLS = 9


@dataclass(frozen=True)
class Part:
    """Lesions that share their networks.

    Attributes:
        explainer: has not trained on them. shuffled: the same, trained on shuffled labels; None without such a run.
        lesions: indices into the slices.
    """

    explainer: TrainedModel
    shuffled: TrainedModel | None
    lesions: list[int]


def fit_to_score(
    slices: Sequence[LesionSlice], network: torch.nn.Module, trained: Sequence[TrainedModel]
) -> tuple[list[LesionSlice], list[str]]:
    """The lesions with enough cells that a network may explain, and sentences about those left out."""
    large = [
        one for one, cells in zip(slices, cells_of(network, slices), strict=True) if int(cells.sum()) >= LEAST_CELLS
    ]
    known = frozenset().union(*(model.lesions for model in trained))
    taken = [one for one in large if (one.subject, one.lesion) in known]
    notes = []
    if len(large) < len(slices):
        notes.append(
            f"Left out: {len(slices) - len(large)} of {len(slices)} lesions with fewer than {LEAST_CELLS} cells."
        )
    if len(taken) < len(large):
        notes.append(
            f"Left out: {len(large) - len(taken)} lesions that every network has trained on, or none has scored."
        )
    if not large:
        what = f"every lesion has fewer than {LEAST_CELLS} cells in its slice"
        raise DataProblem(Problem("data set", what, "there is nothing to tell apart inside so small lesions"))
    if not taken:
        what = "none of its networks has scored a lesion of this data set"
        raise DataProblem(Problem(str(trained[0].folder), what, "name the data set that the run was made from"))
    return taken, notes


def cells_of(network: torch.nn.Module, slices: Sequence[LesionSlice]) -> torch.Tensor:
    """The lesions' cells, ``(N, H, W)``."""
    with torch.no_grad():
        cells: torch.Tensor = network.cell_mask(stack(slices))[:, 0]
    return cells


def parts_of(
    explained_by: dict[Key, list[TrainedModel]],
    shuffled: dict[Key, list[TrainedModel]],
    keys: Sequence[Key],
) -> list[Part]:
    """Group the lesions by their networks.

    Args:
        explained_by, shuffled: lesion → networks that have not trained on it. keys: of the slices, in their order.
    """
    parts: dict[tuple[Path, Path | None], Part] = {}
    for index, key in enumerate(keys):
        explainer, control = explained_by[key][0], next(iter(shuffled.get(key, [])), None)
        folders = (explainer.folder, control.folder if control else None)
        parts.setdefault(folders, Part(explainer, control, [])).lesions.append(index)
    return list(parts.values())


def notes_of(
    explained_by: dict[Key, list[TrainedModel]],
    truth_dir: Path | None,
    shuffled_run: Path | None,
) -> list[str]:
    """Sentences about what is missing from the scores."""
    notes = []
    seen = sum(not found[0].held_out for found in explained_by.values())
    if seen:
        share = "" if seen == len(explained_by) else f" ({seen} of {len(explained_by)} lesions)"
        notes.append(f"Protocol A: the networks have trained on the lesions that they explain{share}.")
    if truth_dir is None:
        notes.append("No truth was given: localisation is not scored.")
    if shuffled_run is None:
        notes.append("No run on shuffled labels was given: that control is missing.")
    if not any(other.held_out for found in explained_by.values() for other in found[1:]):
        notes.append(
            "Retraining is not scored: no second network was given that has not trained on the lesion either "
            "(more runs, or a comparison's trials)."
        )
    return notes
