"""What is scored of explanations that a config names: which cases, by which networks. Nothing is scored here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from treatment_response.cases.explanations import InRegion
from treatment_response.cases.lesion_transforms import LesionTransforms
from treatment_response.cases.load_samples import samples_of_copy
from treatment_response.cases.samples import SampleRow
from treatment_response.classes import Classes, read_classes
from treatment_response.cohort.dataset import dataset_digest, load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.evaluation.explanations import models
from treatment_response.evaluation.explanations.models import Key, TrainedModel
from treatment_response.evaluation.explanations.plan import RESEARCH, RETRAINED, SYNTHETIC, Scoring, notes_of
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import protocol_of

RANDOMISATION = "randomisation"
GROUPS = ("place", "faithfulness", "stability", RANDOMISATION)
"""Groups of measures, in the order in which a case goes through them."""
NOT_SCORED = (
    "Not scored: agreement with single codes, which needs a network whose cells have codes of their own, and "
    "correlation with gradient features, which are features of one outlined tumour."
)
"""Measures that explanations of other networks have and these have not, and why."""


@dataclass(frozen=True)
class CasePlan:
    """A scoring that was checked and can be run.

    Attributes:
        scoring: what was asked for. content, digest: of the data set. classes: of the data set.
        parser: the configs of the runs. explanation: theirs.
        entries: of the data list, one per scored case, in its order.
        explained_by: case → networks that may explain it; the first one does.
        shuffled: the same of the networks trained on shuffled labels; empty without such a run.
        notes: to stand under the tables.
    """

    scoring: Scoring
    content: dict[str, Any]
    digest: str
    classes: Classes
    parser: ConfigParser
    explanation: InRegion
    entries: list[dict[str, Any]]
    explained_by: dict[Key, list[TrainedModel]]
    shuffled: dict[Key, list[TrainedModel]]
    notes: list[str]
    _loaded: dict[Path, torch.nn.Module] = field(default_factory=dict, init=False, repr=False)

    @property
    def groups(self) -> list[str]:
        """The groups of measures that are scored."""
        return [group for group in GROUPS if not self.scoring.groups or group in self.scoring.groups]

    def network(self, model: TrainedModel) -> torch.nn.Module:
        """A trained network, read once."""
        if model.folder not in self._loaded:
            self._loaded[model.folder] = models.trained_network(self.parser, model)
        return self._loaded[model.folder]

    def others(self, key: Key) -> list[TrainedModel]:
        """Further networks that have not trained on a case either."""
        return [model for model in self.explained_by[key][1 : 1 + RETRAINED] if model.held_out]

    def inputs(self) -> Iterator[tuple[Key, torch.Tensor, dict[str, torch.Tensor]]]:
        """Each case, the network's input ``(1, C, *grid)`` and its parts ``(1, *grid)``; large ones need no room.

        Raises:
            DataProblem: a case cannot be preprocessed.
        """
        transforms = LesionTransforms(*(models.instances(self.parser, name) for name in models.TRANSFORMS))
        for entry in self.entries:
            case = transforms.lesion(entry, transforms.image(entry))
            copy = transforms.patch({**case, "angle": 0.0})
            row = SampleRow(entry["subject"], entry["case"], entry["session"], int(entry["fold"]), entry["label"])
            slices = torch.stack([image for image, _ in samples_of_copy(copy, row)])
            sizes = self.explanation.region(slices).flatten(1).sum(dim=1)
            largest = int(sizes.argmax())  # where every slice is an input, the one with most of the region
            found = (
                {}
                if len(slices) > 1
                else {name: part(entry, copy["image"]) for name, part in self.explanation.parts.items()}
            )
            parts = {name: part[None] for name, part in found.items() if part is not None}
            yield (entry["subject"], entry["case"]), slices[largest : largest + 1], parts


def make_case_plan(scoring: Scoring, parser: ConfigParser, explanation: InRegion) -> CasePlan:
    """Read the data set, find the networks and decide who explains which case.

    Args:
        parser: the configs of the runs. explanation: what they name.

    Raises:
        DataProblem: the data set or a run cannot be used.
    """
    if scoring.seed < 0:
        raise DataProblem(Problem("--seed", f"{scoring.seed} is negative", "say 0 or more"))
    if unknown := sorted(set(scoring.groups) - set(GROUPS)):
        what = f"there is no group of measures {', '.join(unknown)}"
        raise DataProblem(Problem("--measures", what, f"choose from {', '.join(GROUPS)}"))
    if set(scoring.groups) == {"place"} and not explanation.parts:
        what = "the config's explanation names no parts, so nothing says where a map should lie"
        raise DataProblem(Problem("--measures", what, "name 'parts' in its explanation, or other groups"))
    if scoring.truth_dir is not None:
        what = "the truth of planted niches is for maps of cells of a tumour, these explanations have other maps"
        raise DataProblem(Problem("--truth", what, "leave it out"))
    content, digest = read_dataset(scoring.dataset_dir), dataset_digest(scoring.dataset_dir)
    models.check_made_from(digest, scoring.run_dirs, scoring.shuffled_run)
    trained = [model for run in scoring.run_dirs for model in models.find_models(run)]
    controls = models.find_models(scoring.shuffled_run) if scoring.shuffled_run else []
    session = protocol_of(parser["protocol"]).roles[-1].session
    listed = load_datalist(scoring.dataset_dir, None if session is None else (session,))
    known = frozenset().union(*(model.lesions for model in trained))
    entries = [entry for entry in listed if (entry["subject"], entry["case"]) in known]
    if not entries:
        what = "none of its networks has scored a case of this data set"
        raise DataProblem(Problem(str(trained[0].folder), what, "name the data set that the run was made from"))
    keys = [(entry["subject"], entry["case"]) for entry in entries]
    explained_by = models.explainers(trained, keys)
    shuffled = {key: found for key, found in models.explainers(controls, keys).items() if found}
    return CasePlan(
        scoring,
        content,
        digest,
        read_classes(content, DATALIST),
        parser,
        explanation,
        entries,
        explained_by,
        shuffled,
        _notes(content, scoring, explained_by, len(listed) - len(entries)),
    )


def _notes(
    content: dict[str, Any], scoring: Scoring, explained_by: dict[Key, list[TrainedModel]], left_out: int
) -> list[str]:
    skipped = [group for group in GROUPS if scoring.groups and group not in scoring.groups]
    return [
        RESEARCH,
        *([SYNTHETIC] if content.get("synthetic") else []),
        *([f"Left out: {left_out} cases that every network has trained on, or none has scored."] if left_out else []),
        NOT_SCORED,
        *([f"Not asked for, so not scored: {', '.join(skipped)}."] if skipped else []),
        *notes_of(explained_by, None, scoring.shuffled_run, "cases", "case"),
    ]
