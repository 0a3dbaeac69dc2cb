"""Score the explanations that a config names, case by case. Stopped at any moment, it goes on with the next case."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.cases.description import describe
from treatment_response.cases.map_parts import is_outside
from treatment_response.cohort.splits import persons_in
from treatment_response.evaluation.explanations import models
from treatment_response.evaluation.explanations.case_plan import RANDOMISATION, CasePlan
from treatment_response.evaluation.explanations.case_scores import (
    CaseExplained,
    Rows,
    faithfulness_rows,
    part_rows,
    randomisation_rows,
    randomised_positions,
    retrained_rows,
    stability_rows,
)
from treatment_response.evaluation.explanations.measures import (
    ANY_REGION,
    part_measure,
    randomisation_measure,
    share_measure,
)
from treatment_response.evaluation.explanations.parts import PARTS, REVISION, PartScores, keep, kept, versions
from treatment_response.evaluation.explanations.tables import descriptions, summarise, write_tables
from treatment_response.explain import faithfulness, stability

ROWS: dict[str, tuple[Callable[[CaseExplained], Rows], ...]] = {
    "place": (part_rows,),
    "faithfulness": (faithfulness_rows,),
    "stability": (stability_rows, retrained_rows),
}
"""Group of measures → what scores it; the randomisation also tells the network's modules."""
COLUMNS = ["subject", "case", "map", "kind", "measure", "value"]


def score_cases(plan: CasePlan, out: Path, console: Console | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score every case of a plan; write ``scores.csv``, ``summary.csv`` and ``explanations.json``.

    Args:
        out: gets the files, and keeps finished cases in ``parts/`` while others are not.
        console: where the progress goes.

    Returns:
        ``summary.csv``, and the content of ``explanations.json``.

    Raises:
        DataProblem: a case or a network cannot be read, or a map is not finite.
    """
    fresh = models.initial_network(plan.parser, plan.scoring.seed + 1)
    done = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as progress:
        task = progress.add_task("cases", total=len(plan.entries))
        for number, (key, x, parts) in enumerate(plan.inputs()):
            controls = {"untrained": fresh}
            if key in plan.shuffled:
                controls["label-shuffled"] = plan.network(plan.shuffled[key][0])
            case = CaseExplained(
                key,
                x,
                plan.network(plan.explained_by[key][0]),
                plan.explanation,
                plan.classes,
                controls,
                fresh,
                [plan.network(model) for model in plan.others(key)],
                plan.scoring.seed * 10_000 + number,
                parts,
            )
            file, mark = out / PARTS / f"case_{number:05d}.json", _mark(case, plan.groups)
            found = kept(file, mark)
            if found is None:
                found = _scored(case, plan.groups)
                keep(file, mark, found)
            done.append(found)
            progress.advance(task)
    return _write(plan, done, fresh, out)


def _scored(case: CaseExplained, groups: Sequence[str]) -> PartScores:
    found = PartScores(predicted=[(*case.key, case.predicted)])
    for group in groups:
        if group == RANDOMISATION:
            rows, found.modules = randomisation_rows(case)
            found.rows += rows
        else:
            found.rows += [row for scored in ROWS[group] for row in scored(case)]
    return found


def _mark(case: CaseExplained, groups: Sequence[str]) -> str:
    """A hash of all that decides a case's scores."""
    facts = [REVISION, case.seed, case.key, case.classes.content(), sorted(case.controls), describe(case.explanation)]
    facts += [list(groups), versions()]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for tensor in (case.x, *case.parts.values()):
        digest.update(tensor.numpy().tobytes())
    for network in (case.network, *case.controls.values(), case.fresh, *case.others):
        for tensor in network.state_dict().values():
            digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _write(
    plan: CasePlan, done: Sequence[PartScores], network: torch.nn.Module, out: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    modules, persons = done[0].modules, persons_in(plan.content)
    scores = pd.DataFrame([row for found in done for row in found.rows], columns=COLUMNS)
    there = set(scores["measure"])
    parts = plan.explanation.parts
    of_parts = [part_measure(name, outside=is_outside(part)) for name, part in parts.items()]
    of_parts += [share_measure(name) for name in parts]
    measures = [
        *(measure for measure in of_parts if measure.id in there),
        *(measure for measure in ANY_REGION if measure.group in plan.groups),
        *(randomisation_measure(n, modules) for n in randomised_positions(len(modules))),
    ]
    summary = summarise(scores, measures, {}, persons).rename(columns={"lesions": "cases"})
    explainers = {plan.explained_by[key][0].folder for key in plan.explained_by}
    result = {
        "notes": plan.notes,
        "settings": {
            "seed": plan.scoring.seed,
            "runs": [run.name for run in plan.scoring.run_dirs],
            "shuffled": plan.scoring.shuffled_run is not None,
            "configs": [Path(name).name for name in plan.scoring.config_files] or ["train.json"],
            "explanations": list(plan.explanation.names),
            "measures": list(plan.groups),
            "random_pairs": faithfulness.RANDOM_PAIRS,
            "steps": faithfulness.STEPS,
            "noise": stability.NOISE,
            "noise_draws": stability.NOISE_DRAWS,
            "modules": modules,
        },
        "model": {
            "network": type(network).__name__,
            "parameters": sum(p.numel() for p in network.parameters()),
            "data_set": plan.content.get("name"),
            "data_set_sha256": plan.digest,
            "synthetic": bool(plan.content.get("synthetic")),
            "classes": plan.classes.content(),
            "networks": len(explainers),
            "cases": len(plan.entries),
            "patients": len({persons.get(entry["subject"], entry["subject"]) for entry in plan.entries}),
        },
        "measures": descriptions(measures),
        "versions": versions(),
    }
    write_tables(out, scores, summary, result)
    return summary, result
