"""Carry out a plan part by part. Stopped at any moment, it goes on with the unfinished parts."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.evaluation.explanations.gradient_features import Cells, gradient_cells
from treatment_response.evaluation.explanations.lesion_scores import LesionGroup
from treatment_response.evaluation.explanations.parts import (
    PARTS,
    SHARES,
    PartInputs,
    PartScores,
    keep,
    kept,
    score_part,
)
from treatment_response.evaluation.explanations.plan import RETRAINED, Plan
from treatment_response.evaluation.lesion_views import stack


def run_parts(plan: Plan, out: Path, console: Console | None = None) -> list[PartScores]:
    """Score every part; what is finished is kept in ``parts/`` of `out`, and read from there.

    Args:
        console: where the progress goes.

    Raises:
        DataProblem: an image or a network cannot be read.
    """
    done: list[PartScores] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task("gradient features", total=len(plan.slices) * (1 + sum(SHARES.values())))
        features = gradient_cells(
            plan.slices, plan.scoring.dataset_dir, plan.cell_count, advance=lambda: progress.advance(task)
        )
        for number, part in enumerate(plan.parts):
            inputs = part_inputs(plan, number, [features[lesion] for lesion in part.lesions])
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
    return done


def part_inputs(plan: Plan, number: int, features: list[Cells]) -> PartInputs:
    """All that decides the scores of a part.

    Args:
        number: of the part. features: gradient features of its lesions.
    """
    part, keys = plan.parts[number], plan.keys
    controls = {"untrained": plan.fresh[0]}
    if part.shuffled is not None:
        controls["label-shuffled"] = plan.network(part.shuffled)
    others: dict[torch.nn.Module, list[int]] = {}
    for index, lesion in enumerate(part.lesions):
        for other in plan.explained_by[keys[lesion]][1 : 1 + RETRAINED]:
            if other.held_out:
                others.setdefault(plan.network(other), []).append(index)
    group = LesionGroup(
        plan.network(part.explainer),
        stack([plan.slices[lesion] for lesion in part.lesions]),
        [keys[lesion] for lesion in part.lesions],
        controls,
        plan.fresh,
        plan.scoring.seed * 100 + number,
    )
    return PartInputs(group, None if plan.niche is None else plan.niche[part.lesions], others, features)
