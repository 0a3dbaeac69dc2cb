"""A comparison as tables for a spreadsheet, with what has to be said under them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from treatment_response.cases.samples import MRI1
from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.methods import BASELINES
from treatment_response.evaluation.comparison.plan import Plan
from treatment_response.features.clinical import lacks_facts
from treatment_response.metrics.doubtful import AucRange, doubtful_notes
from treatment_response.metrics.intervals import COVERED

RESEARCH = "Research use only."
SYNTHETIC = "Synthetic data. Rankings on synthetic data reflect its design."
PAPER = {
    "radiomics": {
        "sensitivity": "0.503 ± 0.271",
        "specificity": "0.745 ± 0.128",
        "accuracy": "0.696 ± 0.107",
        "auc": "0.748 ± 0.143",
        "precision": "0.344 ± 0.197",
        "f1": "0.389 ± 0.193",
    },
    "gradient": {
        "sensitivity": "0.779 ± 0.267",
        "specificity": "0.723 ± 0.133",
        "accuracy": "0.733 ± 0.112",
        "auc": "0.826 ± 0.111",
        "precision": "0.434 ± 0.186",
        "f1": "0.541 ± 0.187",
    },
    "cnn": {
        "sensitivity": "0.877 ± 0.045",
        "specificity": "0.738 ± 0.39",
        "accuracy": "0.807 ± 0.027",
        "auc": "0.844 ± 0.03",
        "precision": "0.771 ± 0.027",
        "f1": "0.820 ± 0.027",
    },
}
"""Table 1 of arXiv 2506.17536 as printed; the class counted as positive is not stated there."""


def notes(
    plan: Plan,
    fallbacks: Sequence[Mapping[str, Any]] = (),
    without_dose: Mapping[str, int] | None = None,
    ranges: Mapping[str, AucRange] | None = None,
) -> list[str]:
    """What has to be said under every table.

    Args:
        fallbacks: of the fits, see `importances.fallbacks`. without_dose: see `measurements.without_dose`.
        ranges: method → its AUC with the doubtful lesions, where they are many.
    """
    settings, lesions = plan.settings, plan.lesions
    rarer = int(lesions["label"].value_counts().min())
    found = [
        RESEARCH,
        *doubtful_notes(plan.doubtful, ranges or {}),
        *_without_facts(plan),
        f"{len(lesions)} lesions of {persons_of(lesions).nunique()} patients, {rarer} of the rarer class. Two methods "
        "have an order only where the paired interval of their difference lies on one side of 0.",
        "mean ± SD is the spread over splits, not an interval; intervals resample patients (95 %).",
        COVERED,
        "The paper's column is its Table 1 as printed: other patients, network scored on MRI 2 of lesions trained on.",
    ]
    if settings.threshold is not None:
        found.append(f"Response is a loss of more than {settings.threshold:.0%} of the volume.")
    if settings.protocol == "A":
        found.append(
            "Protocol A: every lesion was trained on, nothing is held out; the trials differ in their seeds only."
        )
    found += [method.note for method in plan.methods if method.note]
    epochs = settings.shuffle_epochs
    if settings.shuffles and epochs and any(made["epochs"] != epochs for made in plan.networks.values()):
        trained = ", ".join(f"{name} {made['epochs']}" for name, made in plan.networks.items())
        found.append(f"With shuffled labels networks were trained for {epochs} epochs only (else: {trained}).")
    trials = len(plan.splits)
    found += [f"{each['method']}, {each['trials']} of {trials} trials: {each['note']}." for each in fallbacks]
    second = int(lesions["has_mri2"].sum())
    found += [
        f"{method}, {count} of {second} lesions at MRI 2: no dose of that session, so its features are the training "
        "medians; (i) and (ii) say nothing about dose there."
        for method, count in (without_dose or {}).items()
    ]
    if plan.content.get("synthetic"):
        found.append(SYNTHETIC)
    return found


def _without_facts(plan: Plan) -> list[str]:
    """What is missing of the doubtful lesions for the methods without images."""
    methods = [method for method in BASELINES if method in plan.settings.methods]
    entries = [entry for entry in plan.content.get("unlabelled", []) if entry["session"] == MRI1]
    lacking = sum(lacks_facts(entry) for entry in entries)
    if not lacking or not methods or plan.settings.protocol == "A":
        return []
    return [
        f"{', '.join(methods)}: the data set lacks facts of {lacking} doubtful lesions. A missing volume is counted in "
        "voxels of the mask, and a missing dose or prescription is the training median."
    ]


def csv_text(table: pd.DataFrame, said: Iterable[str]) -> str:
    """``table.csv``: the scores with the paper's column; the notes as comment lines that start with ``#``."""
    paper = [
        PAPER.get(method, {}).get(score, "") if finding == "response" else ""
        for method, score, finding in zip(table["method"], table["score"], table["finding"], strict=True)
    ]
    return with_notes(table.assign(paper=paper), said)


def with_notes(table: pd.DataFrame, said: Iterable[str]) -> str:
    """A table as CSV, with the notes as comment lines that start with ``#``."""
    return table.to_csv(index=False, float_format="%.6g") + "".join(f"# {note}\n" for note in said)
