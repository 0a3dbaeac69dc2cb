"""Localisation scores of maps against the planted niches: per lesion, averaged per patient, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from treatment_response.evaluation.explanations.maps import CONTROL, MAP, kind_of, localisation_maps
from treatment_response.evaluation.lesion_views import stack
from treatment_response.evaluation.views import LesionSlice
from treatment_response.explain.localisation import score_methods
from treatment_response.explain.target import TargetClass
from treatment_response.metrics.bootstrap import mean, patient_bootstrap
from treatment_response.metrics.intervals import SHARE


@dataclass(frozen=True)
class Measure:
    """A localisation score: what it is called and what a map without information gets (None: depends on the lesion)."""

    name: str
    chance: float | None


MEASURES = {
    "auc": Measure("AUC against the niche", 0.5),
    "pointing": Measure("pointing game (hottest cell lies in the niche)", None),
    "dice": Measure("Dice at the niche's area", None),
    "empty": Measure("share of empty maps (no evidence)", None),
}


KINDS = {MAP: "CAM", CONTROL: "control"}


def localisation_table(
    network: torch.nn.Module,
    controls: Mapping[str, torch.nn.Module],
    slices: Sequence[LesionSlice],
    niche: np.ndarray,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the network's maps and every control on the same lesions.

    Args:
        network: the trained network.
        controls: name → network whose maps are controls (``untrained``, ``label-shuffled``).
        slices: the lesions. niche: ``(N, h, w)`` niche fraction of each cell (`evaluation.niche`).
        seed: of the random map.

    Returns:
        ``subject, lesion, name, kind, measure, value``: what `localisation_summary` takes. Lesions without niche, or
        with nothing else, have no value.
    """
    x = stack(slices)
    truth = torch.from_numpy(niche)
    with torch.no_grad():
        mask = network.cell_mask(x)[:, 0]
    maps = localisation_maps(network, controls, x, truth, seed, (TargetClass.NON_RESPONSE,))
    rows = []
    for name, scores in score_methods(maps, truth, mask).items():
        for measure in MEASURES:
            values = getattr(scores, measure).numpy()
            rows += [
                (one.subject, one.lesion, name, KINDS[kind_of(name)], measure, float(value))
                for one, value in zip(slices, values, strict=True)
            ]
    return pd.DataFrame(rows, columns=["subject", "lesion", "name", "kind", "measure", "value"])


def localisation_summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over patients with a patient-bootstrap interval for every map and measure.

    Args:
        scores: columns ``subject, lesion, name, kind, measure, value``, one row per lesion, map and measure.

    Returns:
        ``name, kind, measure, mean, low, high, patients, lesions``, in the order in which the maps first occur.
    """
    rows = []
    for (name, kind, measure), part in scores.dropna(subset="value").groupby(["name", "kind", "measure"], sort=False):
        interval = patient_bootstrap(part, mean("value", SHARE))
        rows.append(
            (name, kind, measure, interval.estimate, interval.low, interval.high, interval.patients, interval.n)
        )
    return pd.DataFrame(rows, columns=["name", "kind", "measure", "mean", "low", "high", "patients", "lesions"])
