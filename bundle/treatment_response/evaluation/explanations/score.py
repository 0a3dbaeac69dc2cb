"""Score the explanations of a run on a data set: every lesion by a network that has not trained on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.cohort.dataset import read_dataset
from treatment_response.evaluation.explanations import lesion_scores, models
from treatment_response.evaluation.explanations.gradient_features import Cells, gradient_cells
from treatment_response.evaluation.explanations.maps import SCORE_COLUMNS, with_predicted_class
from treatment_response.evaluation.explanations.tables import measures_of, summarise
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.niche import niche_cells
from treatment_response.evaluation.views import LesionSlice
from treatment_response.explain import faithfulness, integrated_gradients, spatial_null, stability
from treatment_response.explain.target import TargetClass
from treatment_response.files import write_whole
from treatment_response.problems import DataProblem, Problem

LEAST_CELLS = 9
FRESH_NETWORKS = 3
RETRAINED = 4
"""At most so many other networks are compared with the one that explains a lesion."""
SYNTHETIC = "Synthetic data. Rankings on synthetic data reflect its design."
RESEARCH = "Research use only."
LIBRARIES = ("treatment-response", "torch", "captum", "numpy", "scipy")
COMPLETENESS = 0.1
"""A gap above this share of what Integrated Gradients typically explains is told."""


SHARES = {
    "gradient features": 1,
    "localisation": 1,
    "removal of cells": 8,
    "shifts and noise": 4,
    "retrained networks": 1,
    "randomised parameters": 5,
    "correlation with gradients": 1,
}
"""Steps and roughly how long they take per lesion, for the remaining time."""


@dataclass(frozen=True)
class _Part:
    """Lesions that share their networks: indices into the slices, and which networks."""

    explainer: models.TrainedModel
    shuffled: models.TrainedModel | None
    lesions: list[int]


@dataclass
class _Found:
    """What has been scored so far.

    Attributes:
        rows: of ``scores.csv``. predicted: lesion → predicted class. shares: lesion → niche share.
        gaps: of Integrated Gradients, as shares of what it explains. modules: of the network, from the head down.
    """

    rows: lesion_scores.Rows = field(default_factory=list)
    predicted: dict[models.Key, TargetClass] = field(default_factory=dict)
    shares: dict[models.Key, float] = field(default_factory=dict)
    gaps: list[float] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)

    def score(
        self,
        group: lesion_scores.LesionGroup,
        niche: torch.Tensor | None,
        others: Mapping[torch.nn.Module, Sequence[int]],
        features: Sequence[Cells],
    ) -> Iterator[str]:
        """Add all measures of a group; yields the step that is finished."""
        self.predicted |= dict(zip(group.keys, group.predicted, strict=True))
        self.gaps.append(group.completeness_gap())
        if niche is not None:
            rows, share = lesion_scores.localisation_rows(group, niche)
            self.rows += rows
            self.shares |= dict(zip(group.keys, share.tolist(), strict=True))
        yield "localisation"
        self.rows += lesion_scores.faithfulness_rows(group)
        yield "removal of cells"
        self.rows += lesion_scores.stability_rows(group)
        yield "shifts and noise"
        if others:
            self.rows += lesion_scores.retrained_rows(group, others)
        yield "retrained networks"
        rows, self.modules = lesion_scores.randomisation_rows(group)
        self.rows += rows
        yield "randomised parameters"
        self.rows += lesion_scores.gradient_rows(group, features)
        yield "correlation with gradients"


def score_explanations(
    dataset_dir: Path,
    run_dirs: Sequence[Path],
    out: Path,
    truth_dir: Path | None = None,
    shuffled_run: Path | None = None,
    config_files: Sequence[str] = (),
    seed: int = 0,
    console: Console | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score every map and its controls; write ``scores.csv``, ``summary.csv`` and ``explanations.json``.

    Args:
        dataset_dir: a prepared data set; MRI 1 is explained.
        run_dirs: runs, cross-validations or folders of a comparison's trials. The first network that has not trained on
            a lesion explains it; further ones (up to `RETRAINED`) tell how much retraining changes the map.
        out: gets the three files.
        truth_dir: a synthetic cohort's ``truth/``; without it there is no localisation.
        shuffled_run: like a run, trained on shuffled labels: one more control.
        config_files: the configs of the runs; the bundle's ``train.json`` by default.
        seed: of everything random. console: where the progress goes.

    Returns:
        ``summary.csv``, and the content of ``explanations.json``.

    Raises:
        DataProblem: the data set, a run or the truth cannot be used.
    """
    content = read_dataset(dataset_dir)
    trained = [model for run in run_dirs for model in models.find_models(run)]
    controls = models.find_models(shuffled_run) if shuffled_run else []
    parser = models.read_configs(config_files, dataset_dir)
    fresh = [models.untrained_network(parser, seed + number) for number in range(1, FRESH_NETWORKS + 1)]
    models.trained_network(parser, trained[0])
    everything = models.dataset_slices(parser, dataset_dir)
    slices, notes = _fit_to_score(everything, fresh[0], trained)
    keys = [(one.subject, one.lesion) for one in slices]
    explained_by = models.explainers(trained, keys)
    cell_count = _cells(fresh[0], slices[:1]).shape[-1]
    niche = torch.from_numpy(niche_cells(slices, truth_dir, cell_count)) if truth_dir else None
    parts = _parts(explained_by, models.explainers(controls, keys) if controls else {}, keys)
    notes = [RESEARCH, *([SYNTHETIC] if content.get("synthetic") else []), *notes]
    notes += _notes(trained, explained_by, truth_dir, shuffled_run)

    found = _Found()
    loaded: dict[Path, torch.nn.Module] = {}

    def network(model: models.TrainedModel) -> torch.nn.Module:
        if model.folder not in loaded:
            loaded[model.folder] = models.trained_network(parser, model)
        return loaded[model.folder]

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task("gradient features", total=len(slices) * sum(SHARES.values()))
        features = gradient_cells(slices, dataset_dir, cell_count, advance=lambda: progress.advance(task))
        for number, part in enumerate(parts):
            progress.update(task, description="maps")
            of_controls = {"untrained": fresh[0]}
            if part.shuffled is not None:
                of_controls["label-shuffled"] = network(part.shuffled)
            group = lesion_scores.LesionGroup(
                network(part.explainer),
                stack([slices[i] for i in part.lesions]),
                [keys[i] for i in part.lesions],
                of_controls,
                fresh,
                seed * 100 + number,
            )
            others: dict[torch.nn.Module, list[int]] = {}
            for index, key in enumerate(group.keys):
                for other in explained_by[key][1 : 1 + RETRAINED]:
                    if other.held_out:
                        others.setdefault(network(other), []).append(index)
            steps = found.score(
                group,
                None if niche is None else niche[part.lesions],
                others,
                [features[i] for i in part.lesions],
            )
            for name in steps:
                progress.update(task, description=name)
                progress.advance(task, SHARES[name] * len(part.lesions))

    scores = with_predicted_class(pd.DataFrame(found.rows, columns=SCORE_COLUMNS), found.predicted)
    measures = measures_of(found.modules)
    summary = summarise(scores, measures, found.shares)
    completeness = max(found.gaps)
    if completeness > COMPLETENESS:
        notes.append(
            f"Integrated Gradients misses up to {completeness:.0%} of the change of the logit that it explains."
        )
    result = {
        "notes": notes,
        "settings": _settings(seed, completeness, run_dirs, truth_dir, shuffled_run, config_files, found.modules),
        "model": {
            "network": type(fresh[0]).__name__,
            "parameters": sum(p.numel() for p in fresh[0].parameters()),
            "data_set": content.get("name"),
            "synthetic": bool(content.get("synthetic")),
            "networks": len({part.explainer.folder for part in parts}),
            "lesions": len(explained_by),
            "patients": len({subject for subject, _ in explained_by}),
        },
        "measures": {m.id: {"group": m.group, "source": m.source} for m in measures},
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_whole(out / "scores.csv", scores.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "summary.csv", summary.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "explanations.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return summary, result


def _fit_to_score(
    slices: Sequence[LesionSlice], network: torch.nn.Module, trained: Sequence[models.TrainedModel]
) -> tuple[list[LesionSlice], list[str]]:
    """The lesions with enough cells that a network may explain, and sentences about those left out."""
    large = [one for one, cells in zip(slices, _cells(network, slices), strict=True) if int(cells.sum()) >= LEAST_CELLS]
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


def _cells(network: torch.nn.Module, slices: Sequence[LesionSlice]) -> torch.Tensor:
    """``(N, H, W)``."""
    with torch.no_grad():
        cells: torch.Tensor = network.cell_mask(stack(slices))[:, 0]
    return cells


def _parts(
    explained_by: dict[models.Key, list[models.TrainedModel]],
    shuffled: dict[models.Key, list[models.TrainedModel]],
    keys: Sequence[models.Key],
) -> list[_Part]:
    parts: dict[tuple[Path, Path | None], _Part] = {}
    for index, key in enumerate(keys):
        explainer, control = explained_by[key][0], next(iter(shuffled.get(key, [])), None)
        folders = (explainer.folder, control.folder if control else None)
        parts.setdefault(folders, _Part(explainer, control, [])).lesions.append(index)
    return list(parts.values())


def _notes(
    trained: Sequence[models.TrainedModel],
    explained_by: dict[models.Key, list[models.TrainedModel]],
    truth_dir: Path | None,
    shuffled_run: Path | None,
) -> list[str]:
    notes = []
    if not all(found[0].held_out for found in explained_by.values()):
        notes.append("Protocol A: the networks have trained on the lesions that they explain.")
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


def _settings(
    seed: int,
    completeness: float,
    run_dirs: Sequence[Path],
    truth_dir: Path | None,
    shuffled_run: Path | None,
    config_files: Sequence[str],
    modules: Sequence[str],
) -> dict[str, Any]:
    return {
        "seed": seed,
        "runs": [run.name for run in run_dirs],
        "truth": truth_dir is not None,
        "shuffled": shuffled_run is not None,
        "configs": [Path(name).name for name in config_files] or ["train.json"],
        "least_cells": LEAST_CELLS,
        "integrated_gradients": {
            "baseline": "every pixel of the lesion at the lesion's mean",
            "steps": integrated_gradients.STEPS,
            "largest_completeness_gap": round(completeness, 6),
        },
        "removal": {
            "replacement": "the lesion's mean",
            "random_orders": 2 * faithfulness.RANDOM_PAIRS,
            "steps": faithfulness.STEPS,
        },
        "shifts_pixels": [list(shift) for shift in stability.SHIFTS],
        "noise": {"sd_of_the_lesions_sd": stability.NOISE, "draws": stability.NOISE_DRAWS},
        "retrained_networks": RETRAINED,
        "randomisation": {"from_the_head_down": list(modules), "initialisations": FRESH_NETWORKS},
        "spatial_null": {
            "turns_degrees": spatial_null.TURN_DEGREES,
            "mirrored": True,
            "shortest_shift_cells": spatial_null.SHORTEST_SHIFT,
            "least_overlap": spatial_null.LEAST_OVERLAP,
        },
    }
