"""What a comparison was made with, for its record and for a Methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.methods import FUSED, FUSION, MEASURED, groups_of
from treatment_response.features.groups import GROUPS
from treatment_response.features.robustness import CORRELATION_MM, PERTURBATIONS

LIBRARIES = (
    "treatment-response",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "SimpleITK",
    "pyradiomics",
    "torch",
    "monai",
)


def data_set(content: Mapping[str, Any], lesions: pd.DataFrame, threshold: float | None) -> dict[str, Any]:
    """Who was compared on.

    Args:
        content: of ``dataset.json``. threshold: loss of volume that counted as response.
    """
    return {
        "name": content.get("name"),
        "synthetic": bool(content.get("synthetic")),
        "lesions": len(lesions),
        "patients": int(persons_of(lesions).nunique()),
        "response": int(lesions["label"].sum()),
        "response_threshold": threshold,
    }


def features(dataset_dir: Path, methods: Sequence[str], least_icc: float) -> dict[str, Any]:
    """Group → how many features and their settings; and the perturbations of the ICC filter, if it was on."""
    groups = groups_of(dataset_dir, methods)
    said: dict[str, Any] = {
        name: {"features": len(GROUPS[name].features), "settings": GROUPS[name].settings} for name in groups
    }
    if groups and least_icc:
        changes = [asdict(change) for change in PERTURBATIONS]
        said["robustness"] = {"least_icc": least_icc, "correlation_mm": CORRELATION_MM, "perturbations": changes}
    return said


def models(
    methods: Sequence[str], networks: Mapping[str, Any], selected: Mapping[str, float], least_icc: float
) -> dict[str, Any]:
    """Method → what it is: steps of a pipeline with their settings, configs of a network, parts of the fusion.

    Args:
        networks: network → its overlays and epochs. selected: method → mean number of features that a trial looks at.
    """
    from treatment_response.evaluation.classical import build, describe

    found: dict[str, Any] = {}
    for method in methods:
        if method == FUSION:
            found[method] = {"mean_of_logits": list(FUSED)}
        elif method in networks:
            found[method] = {"config": "train.json", **networks[method]}
        else:
            filtered = method in MEASURED and least_icc > 0
            ratings = pd.DataFrame() if filtered else None
            steps = describe(build(method, 0, ratings=ratings, least_icc=least_icc))
            found[method] = {"steps": steps, "mean_number_of_features": round(selected[method], 3)}
    return found


def versions() -> dict[str, str]:
    """Library → its version."""
    return {name: version(name) for name in LIBRARIES}
