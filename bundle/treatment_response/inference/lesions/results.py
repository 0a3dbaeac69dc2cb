"""One lesion's answer, and the two tables of an inference folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from treatment_response.explain.target import TargetClass
from treatment_response.inference.lesions.answer import LesionAnswer
from treatment_response.inference.lesions.inferer import SliceMaps
from treatment_response.inference.lesions.score import LesionScore
from treatment_response.model_description import MapScales
from treatment_response.notice import RESEARCH_ONLY, notice, training_data_sentence

TABLE, DETAILS = "lesions.csv", "lesions.json"
COLUMNS = (
    "subject",
    "lesion",
    "session",
    "p_response",
    "p_non_response",
    "class",
    "threshold",
    "calibrated",
    "conformal_set",
    "slices",
    "warnings",
    "model",
    "training_data",
    "notice",
)


def lesion_result(
    case: dict[str, Any],
    maps: SliceMaps,
    answer: LesionAnswer,
    score: LesionScore,
    threshold: float,
    warnings: Sequence[str],
    files: dict[str, str],
) -> dict[str, Any]:
    """What is told about one lesion.

    Args:
        case: as :class:`~treatment_response.inference.lesions.preprocessing.LesionPreprocessing` returns it.
        maps: of all its slices; they and the slices' probabilities are the single network's.
        answer: for the lesion as a whole.
        score: which slices the probability comes from.
        threshold: P(response) from which the class is ``response``.
        warnings: sentences.
        files: map files, relative to the inference folder, by ``variant/class/raw|scaled``.
    """
    probabilities = torch.sigmoid(maps.logits.double()).tolist()
    largest = case["largest"]
    return {
        "subject": case["subject"],
        "lesion": case["lesion"],
        "session": case["session"],
        "p_response": round(answer.p_response, 6),
        "p_non_response": round(1 - answer.p_response, 6),
        "p_single": round(answer.p_single, 6),
        "p_folds": [round(p, 6) for p in answer.p_folds],
        "class": answer.target.label,
        "threshold": threshold,
        "certainty": answer.certainty,
        "score": str(score),
        "scored_slices": score.slices(case),
        "largest_slice": case["slice"][largest],
        "slices": [
            {"slice": index, "p_response": round(p, 6), "cells": int(cells.sum()), "coarse": coarse}
            for index, p, cells, coarse in zip(
                case["slice"], probabilities, maps.cell_mask, case["coarse"], strict=True
            )
        ],
        "maps": [
            {
                "variant": variant,
                "class": of.label,
                "evidence": bool(raw.any()),
                "highest_raw": float(raw.max()),
                "raw": files[f"{variant}/{of.label}/raw"],
                "scaled": files[f"{variant}/{of.label}/scaled"],
            }
            for (variant, of), raw in maps.raw.items()
        ],
        "warnings": list(warnings),
    }


def write_tables(
    folder: Path, results: Sequence[dict[str, Any]], model: dict[str, Any], threshold: float, map_scales: MapScales
) -> None:
    """Write ``lesions.json`` (everything) and ``lesions.csv`` (one row per lesion).

    Args:
        folder: the inference folder.
        results: from :func:`lesion_result`.
        model: from :func:`~treatment_response.inference.model.describe_model`.
        threshold: P(response) from which the class is ``response``.
        map_scales: of the model.
    """
    content = {
        "notice": notice(model),
        "model": model,
        "threshold": threshold,
        "positive_class": TargetClass.RESPONSE.label,
        "cam": {
            "raw": "contribution to the class's logit; 0 is no evidence",
            "scaled": "raw / scale, clipped to [0, 1]; the scale was fitted on the training lesions, never on this map",
            "scale": map_scales,
            "explains": "the single network (p_single), also where p_response is the mean of its fold models",
        },
        "lesions": list(results),
    }
    (folder / DETAILS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    same = {
        "model": model["sha256"][:12],
        "training_data": training_data_sentence(model),
        "notice": RESEARCH_ONLY,
    }
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for result in results:
            certainty = result["certainty"]
            shown = {"calibrated": certainty["calibrated"], "conformal_set": certainty["set_text"]}
            shown |= {"slices": len(result["slices"]), "warnings": " ".join(result["warnings"])}
            table.writerow({**result, **shown, **same})
