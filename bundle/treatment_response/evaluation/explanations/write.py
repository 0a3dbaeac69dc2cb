"""Write the scores of all parts: per lesion, their means over patients, and what they were made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_in
from treatment_response.evaluation.explanations.maps import SCORE_COLUMNS, with_predicted_class
from treatment_response.evaluation.explanations.parts import PartScores, versions
from treatment_response.evaluation.explanations.plan import FRESH_NETWORKS, LEAST_CELLS, RETRAINED, Plan, Scoring
from treatment_response.evaluation.explanations.tables import descriptions, measures_of, summarise, write_tables
from treatment_response.explain import faithfulness, integrated_gradients, spatial_null, stability
from treatment_response.explain.target import TargetClass

COMPLETENESS = 0.1
"""A gap above this share of what Integrated Gradients typically explains is told."""


def write_scores(plan: Plan, done: Sequence[PartScores], out: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Write ``scores.csv``, ``summary.csv`` and ``explanations.json``; the kept parts go.

    Args:
        done: the scores of the plan's parts.

    Returns:
        ``summary.csv``, and the content of ``explanations.json``.
    """
    modules, content, network = done[0].modules, plan.content, plan.fresh[0]
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
    notes = list(plan.notes)
    if completeness > COMPLETENESS:
        notes.append(
            f"Integrated Gradients misses up to {completeness:.0%} of the change of the logit that it explains."
        )
    result = {
        "notes": notes,
        "settings": _settings(plan.scoring, completeness, modules),
        "model": {
            "network": type(network).__name__,
            "parameters": sum(p.numel() for p in network.parameters()),
            "data_set": content.get("name"),
            "data_set_sha256": plan.digest,
            "synthetic": bool(content.get("synthetic")),
            "networks": len({part.explainer.folder for part in plan.parts}),
            "lesions": len(plan.explained_by),
            "patients": len({persons.get(subject, subject) for subject, _ in plan.explained_by}),
        },
        "measures": descriptions(measures),
        "versions": versions(),
    }
    write_tables(out, scores, summary, result)
    return summary, result


def _settings(scoring: Scoring, completeness: float, modules: Sequence[str]) -> dict[str, Any]:
    return {
        "seed": scoring.seed,
        "runs": [run.name for run in scoring.run_dirs],
        "truth": scoring.truth_dir is not None,
        "shuffled": scoring.shuffled_run is not None,
        "configs": [Path(name).name for name in scoring.config_files] or ["train.json"],
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
