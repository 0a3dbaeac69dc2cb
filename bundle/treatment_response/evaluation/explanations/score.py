"""Score the explanations of a run on a data set: every lesion by a network that has not trained on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.cohort.dataset import dataset_digest, read_dataset
from treatment_response.cohort.splits import persons_in
from treatment_response.evaluation.explanations import lesion_scores, models, plan
from treatment_response.evaluation.explanations.gradient_features import gradient_cells
from treatment_response.evaluation.explanations.maps import SCORE_COLUMNS, with_predicted_class
from treatment_response.evaluation.explanations.parts import (
    LIBRARIES,
    SHARES,
    PartInputs,
    PartScores,
    keep,
    kept,
    score_part,
)
from treatment_response.evaluation.explanations.tables import measures_of, summarise
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.niche import niche_cells
from treatment_response.explain import faithfulness, integrated_gradients, spatial_null, stability
from treatment_response.explain.target import TargetClass
from treatment_response.files import check_folder, write_whole
from treatment_response.metrics.doubtful import doubtful_of
from treatment_response.problems import DataProblem, Problem

FRESH_NETWORKS = 3
RETRAINED = 4
"""At most so many other networks are compared with the one that explains a lesion."""
SYNTHETIC = "Synthetic data. Rankings on synthetic data reflect its design."
RESEARCH = "Research use only."
PARTS = "parts"
"""Folder of the finished parts, while others are not."""
COMPLETENESS = 0.1
"""A gap above this share of what Integrated Gradients typically explains is told."""


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

    Stopped at any moment, the same call goes on with the unfinished parts (a part is one network's lesions) and ends
    with the same bytes.

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
    if seed < 0:
        raise DataProblem(Problem("--seed", f"{seed} is negative", "say 0 or more"))
    check_folder(out)
    content, digest = read_dataset(dataset_dir), dataset_digest(dataset_dir)
    models.check_made_from(digest, run_dirs, shuffled_run)
    trained = [model for run in run_dirs for model in models.find_models(run)]
    controls = models.find_models(shuffled_run) if shuffled_run else []
    parser = models.run_configs(config_files, dataset_dir)
    fresh = [models.untrained_network(parser, seed + number) for number in range(1, FRESH_NETWORKS + 1)]
    models.trained_network(parser, trained[0])
    everything = models.dataset_slices(parser, dataset_dir)
    slices, notes = plan.fit_to_score(everything, fresh[0], trained)
    keys = [(one.subject, one.lesion) for one in slices]
    explained_by = models.explainers(trained, keys)
    cell_count = plan.cells_of(fresh[0], slices[:1]).shape[-1]
    niche = torch.from_numpy(niche_cells(slices, truth_dir, cell_count)) if truth_dir else None
    parts = plan.parts_of(explained_by, models.explainers(controls, keys) if controls else {}, keys)
    notes = [RESEARCH, *([SYNTHETIC] if content.get("synthetic") else []), *notes]
    notes += [*plan.notes_of(explained_by, truth_dir, shuffled_run), doubtful_of(content).note]

    loaded: dict[Path, torch.nn.Module] = {}

    def network(model: models.TrainedModel) -> torch.nn.Module:
        if model.folder not in loaded:
            loaded[model.folder] = models.trained_network(parser, model)
        return loaded[model.folder]

    done: list[PartScores] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task("gradient features", total=len(slices) * (1 + sum(SHARES.values())))
        features = gradient_cells(slices, dataset_dir, cell_count, advance=lambda: progress.advance(task))
        for number, part in enumerate(parts):
            of_controls = {"untrained": fresh[0]}
            if part.shuffled is not None:
                of_controls["label-shuffled"] = network(part.shuffled)
            others: dict[torch.nn.Module, list[int]] = {}
            for index, lesion in enumerate(part.lesions):
                for other in explained_by[keys[lesion]][1 : 1 + RETRAINED]:
                    if other.held_out:
                        others.setdefault(network(other), []).append(index)
            group = lesion_scores.LesionGroup(
                network(part.explainer),
                stack([slices[i] for i in part.lesions]),
                [keys[i] for i in part.lesions],
                of_controls,
                fresh,
                seed * 100 + number,
            )
            own_niche = None if niche is None else niche[part.lesions]
            inputs = PartInputs(group, own_niche, others, [features[i] for i in part.lesions])
            file, key = out / PARTS / f"part_{number:03d}.json", inputs.key()
            found = kept(file, key)
            if found is None:
                found = PartScores()
                for step in score_part(inputs, found):
                    progress.update(task, description=step)
                    progress.advance(task, SHARES[step] * len(part.lesions))
                keep(file, key, found)
            else:
                progress.advance(task, sum(SHARES.values()) * len(part.lesions))
            done.append(found)

    modules = done[0].modules
    predicted = {
        (subject, lesion): TargetClass(number) for found in done for subject, lesion, number in found.predicted
    }
    shares = {(subject, lesion): share for found in done for subject, lesion, share in found.niche_shares}
    rows = [row for found in done for row in found.rows]
    completeness = max(found.gap for found in done)
    scores = with_predicted_class(pd.DataFrame(rows, columns=SCORE_COLUMNS), predicted)
    measures = measures_of(modules)
    persons = persons_in(content)
    summary = summarise(scores, measures, shares, persons)
    if completeness > COMPLETENESS:
        notes.append(
            f"Integrated Gradients misses up to {completeness:.0%} of the change of the logit that it explains."
        )
    result = {
        "notes": notes,
        "settings": _settings(seed, completeness, run_dirs, truth_dir, shuffled_run, config_files, modules),
        "model": {
            "network": type(fresh[0]).__name__,
            "parameters": sum(p.numel() for p in fresh[0].parameters()),
            "data_set": content.get("name"),
            "data_set_sha256": digest,
            "synthetic": bool(content.get("synthetic")),
            "networks": len({part.explainer.folder for part in parts}),
            "lesions": len(explained_by),
            "patients": len({persons.get(subject, subject) for subject, _ in explained_by}),
        },
        "measures": {m.id: {"title": m.shown, "group": m.group, "source": m.source} for m in measures},
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_whole(out / "scores.csv", scores.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "summary.csv", summary.to_csv(index=False, float_format="%.6g"))
    write_whole(out / "explanations.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(out / PARTS)
    return summary, result


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
        "least_cells": plan.LEAST_CELLS,
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
        "randomisation": {
            "from_the_head_down": [name or "the network itself" for name in modules],
            "initialisations": FRESH_NETWORKS,
        },
        "spatial_null": {
            "turns_degrees": spatial_null.TURN_DEGREES,
            "mirrored": True,
            "shortest_shift_cells": spatial_null.SHORTEST_SHIFT,
            "least_overlap": spatial_null.LEAST_OVERLAP,
        },
    }
