"""What a comparison was made with, for its record and for a Methods paragraph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.comparison.method import Method
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


def features(groups: Sequence[str], least_icc: float) -> dict[str, Any]:
    """Group → how many features and their settings; and the perturbations of the ICC filter, if it was on."""
    said: dict[str, Any] = {
        name: {"features": len(GROUPS[name].features), "settings": GROUPS[name].settings} for name in groups
    }
    if groups and least_icc:
        changes = [asdict(change) for change in PERTURBATIONS]
        said["robustness"] = {"least_icc": least_icc, "correlation_mm": CORRELATION_MM, "perturbations": changes}
    return said


def models(
    methods: Sequence[Method], networks: Mapping[str, Any], selected: Mapping[str, float], least_icc: float
) -> dict[str, Any]:
    """Method → what it is: steps of a pipeline with their settings, configs of a network, parts of the fusion.

    Args:
        networks: network → its overlays and epochs. selected: method → mean number of features that a trial looks at.
    """
    return {
        method.name: method.describe(least_icc, networks.get(method.name), selected[method.name]) for method in methods
    }


def versions() -> dict[str, str]:
    """Library → its version."""
    return {name: version(name) for name in LIBRARIES}
