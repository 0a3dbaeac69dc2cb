"""What is scored: which lesions, by which networks, in which parts. Checked before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from treatment_response.cohort.dataset import dataset_digest, read_dataset
from treatment_response.evaluation.explanations import models
from treatment_response.evaluation.explanations.models import Key, TrainedModel
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.niche import niche_cells
from treatment_response.evaluation.views import LesionSlice
from treatment_response.metrics.doubtful import doubtful_of
from treatment_response.problems import DataProblem, Problem

LEAST_CELLS = 9
FRESH_NETWORKS = 3
RETRAINED = 4
"""At most so many other networks are compared with the one that explains a lesion."""
SYNTHETIC = "Synthetic data. Rankings on synthetic data reflect its design."
RESEARCH = "Research use only."


@dataclass(frozen=True)
class Scoring:
    """What is asked for.

    Attributes:
        dataset_dir: a prepared data set; MRI 1 is explained.
        run_dirs: runs, cross-validations or folders of a comparison's trials.
        truth_dir: a synthetic cohort's ``truth/``; without it there is no localisation.
        shuffled_run: like a run, trained on shuffled labels: one more control.
        config_files: the configs of the runs; the bundle's ``train.json`` by default.
        seed: of everything random.
        groups: of measures, for explanations that a config names; all where empty.
    """

    dataset_dir: Path
    run_dirs: Sequence[Path]
    truth_dir: Path | None = None
    shuffled_run: Path | None = None
    config_files: Sequence[str] = ()
    seed: int = 0
    groups: Sequence[str] = ()


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


@dataclass(frozen=True)
class Plan:
    """A scoring that was checked and can be run.

    Attributes:
        scoring: what was asked for. content, digest: of the data set.
        parser: the configs of the runs. fresh: untrained networks.
        slices: of the lesions that are scored. niche: ``(N, H, W)`` in [0, 1]; None without a truth.
        explained_by: lesion → the networks that may explain it; the first one does.
        parts: the lesions, in groups that share their networks.
        notes: to stand under the tables.
    """

    scoring: Scoring
    content: dict[str, Any]
    digest: str
    parser: ConfigParser
    fresh: list[torch.nn.Module]
    slices: list[LesionSlice]
    niche: torch.Tensor | None
    explained_by: dict[Key, list[TrainedModel]]
    parts: list[Part]
    notes: list[str]
    _loaded: dict[Path, torch.nn.Module] = field(default_factory=dict, init=False, repr=False)

    @property
    def keys(self) -> list[Key]:
        """(subject, lesion) of the slices."""
        return [(one.subject, one.lesion) for one in self.slices]

    @property
    def cell_count(self) -> int:
        """Cells along a side of a map."""
        return int(cells_of(self.fresh[0], self.slices[:1]).shape[-1])

    def network(self, model: TrainedModel) -> torch.nn.Module:
        """A trained network, read once."""
        if model.folder not in self._loaded:
            self._loaded[model.folder] = models.trained_network(self.parser, model)
        return self._loaded[model.folder]


def make_plan(scoring: Scoring) -> Plan:
    """Read the data set, find the networks and decide who explains whom.

    Raises:
        DataProblem: the data set, a run or the truth cannot be used.
    """
    if scoring.seed < 0:
        raise DataProblem(Problem("--seed", f"{scoring.seed} is negative", "say 0 or more"))
    if scoring.groups:
        what = "groups of measures are chosen for explanations that a config names; these are scored as a whole"
        raise DataProblem(Problem("--measures", what, "leave it out"))
    content, digest = read_dataset(scoring.dataset_dir), dataset_digest(scoring.dataset_dir)
    models.check_made_from(digest, scoring.run_dirs, scoring.shuffled_run)
    trained = [model for run in scoring.run_dirs for model in models.find_models(run)]
    controls = models.find_models(scoring.shuffled_run) if scoring.shuffled_run else []
    parser = models.run_configs(scoring.config_files, scoring.dataset_dir)
    fresh = [models.untrained_network(parser, scoring.seed + number) for number in range(1, FRESH_NETWORKS + 1)]
    models.trained_network(parser, trained[0])
    slices, left_out = fit_to_score(models.dataset_slices(parser, scoring.dataset_dir), fresh[0], trained)
    keys = [(one.subject, one.lesion) for one in slices]
    explained_by = models.explainers(trained, keys)
    cell_count = cells_of(fresh[0], slices[:1]).shape[-1]
    truth_dir = scoring.truth_dir
    niche = torch.from_numpy(niche_cells(slices, truth_dir, cell_count)) if truth_dir else None
    parts = parts_of(explained_by, models.explainers(controls, keys) if controls else {}, keys)
    notes = [RESEARCH, *([SYNTHETIC] if content.get("synthetic") else []), *left_out]
    notes += [*notes_of(explained_by, truth_dir, scoring.shuffled_run), doubtful_of(content).note]
    return Plan(scoring, content, digest, parser, fresh, slices, niche, explained_by, parts, notes)


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
    cases: str = "lesions",
    case: str = "lesion",
) -> list[str]:
    """Sentences about what is missing from the scores.

    Args:
        cases, case: what is explained, in words.
    """
    notes = []
    seen = sum(not found[0].held_out for found in explained_by.values())
    if seen:
        share = "" if seen == len(explained_by) else f" ({seen} of {len(explained_by)} {cases})"
        notes.append(f"Protocol A: the networks have trained on the {cases} that they explain{share}.")
    if truth_dir is None:
        notes.append("No truth was given: localisation is not scored.")
    if shuffled_run is None:
        notes.append("No run on shuffled labels was given: that control is missing.")
    if not any(other.held_out for found in explained_by.values() for other in found[1:]):
        notes.append(
            f"Retraining is not scored: no second network was given that has not trained on the {case} either "
            "(more runs, or a comparison's trials)."
        )
    return notes
