"""Writes an inference folder case by case: probabilities of every class, and maps on an image's own grid."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
from ignite.engine import Engine
from monai.utils import CommonKeys

from treatment_response.cases.explanations import MapKey
from treatment_response.inference.case_answer import Decision, case_answer, case_result, no_evidence, no_scale
from treatment_response.inference.case_maps import CaseMaps
from treatment_response.inference.model import seen_in_training
from treatment_response.inference.writer import WriteFolder
from treatment_response.notice import RESEARCH_ONLY, notice, training_data_sentence
from treatment_response.transforms.grid_to_volume import GridToVolume
from treatment_response.weights import Weights

TABLE, DETAILS = "cases.csv", "cases.json"


class WriteCases(WriteFolder):
    """Handler of the evaluator: ``cases.csv``, ``cases.json`` and per case a map of every explanation and class.

    Args:
        output_dir: the inference folder.
        weights: those that answer; their origin is told with every answer.
        decision: how the class comes from several networks, see `Decision`.

    Raises:
        ValueError: a decision that is none.
        DataProblem: at the start, when the folder holds something else than an earlier inference.
    """

    details = DETAILS

    def __init__(self, output_dir: str, weights: Weights, decision: str = "mean") -> None:
        super().__init__(output_dir, weights)
        self.decision = Decision(decision)

    def write_case(self, engine: Engine) -> None:
        case: Any = engine.state.batch
        output: Any = engine.state.output
        maps: CaseMaps = output[CommonKeys.PRED]
        classes, certainty = self.weights.classes, self.weights.certainty
        answer = case_answer(maps, classes, certainty, self.decision)
        files = self._write(case, maps)
        warnings = [*no_evidence(maps), *no_scale(self.weights.map_scales)]
        if seen_in_training(case, self.model):
            warnings.append("The patient was in the model's training data.")
        result = case_result(maps, answer, classes, self.decision)
        for told in result["maps"]:
            told |= {kind: files[told["explanation"], told["class"], kind] for kind in ("raw", "scaled")}
        ids = {"subject": case["subject"], "case": case["lesion"], "session": case["session"]}
        ids["map_image"] = case["map_image"]
        self.results.append({**ids, **result, "warnings": warnings})

    def write_tables(self) -> None:
        classes = self.weights.classes
        content = {
            "notice": notice(self.model),
            "model": self.model,
            "classes": classes.content(),
            "maps": {
                "raw": "contribution to the class's score; 0 is no evidence",
                "scaled": "raw / scale, clipped to [0, 1]; the scale was fitted on the training cases",
                "scale": self.weights.map_scales,
            },
            "cases": self.results,
        }
        (self.partial / DETAILS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        same = {"model": self.model["sha256"][:12], "training_data": training_data_sentence(self.model)}
        same["notice"] = RESEARCH_ONLY
        columns = ("subject", "case", "session", *classes.columns, "class", "calibrated", "conformal_set", "warnings")
        with (self.partial / TABLE).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [*columns, *same], extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            for result in self.results:
                certainty = result["certainty"]
                shown = {"calibrated": certainty["calibrated"], "conformal_set": " ".join(certainty["set"])}
                table.writerow({**result, **shown, **same, "warnings": " ".join(result["warnings"])})

    def _write(self, case: dict[str, Any], maps: CaseMaps) -> dict[tuple[str, str, str], str]:
        """Write a case's maps; returns their paths relative to the folder."""
        subject, session = case["subject"], case["session"]
        stem = f"{subject}/{session}/{subject}_{session}_case-{case['lesion']}"
        families: dict[str, dict[MapKey, Any]] = {"raw": maps.raw, "scaled": maps.scaled}
        jobs: dict[tuple[str, str, str], tuple[str, np.ndarray]] = {
            (name, label, kind): (
                f"{stem}_map-{name}_class-{label.replace('-', '').replace(' ', '')}_{kind}.nii.gz",
                cells[0].float().numpy(),
            )
            for kind, family in families.items()
            for (name, label), cells in family.items()
        }
        to_volume = GridToVolume(case["affine"], case["image"].shape[2:], case["mr_affine"], case["mr_shape"])
        self.write_maps(list(jobs.values()), to_volume, case["mr_affine"])
        return {key: path for key, (path, _) in jobs.items()}
