"""What the best possible model could reach, by simulation without images."""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu

from treatment_response.cohort.synthetic.rice.label_model import KNOWN, LabelModel

PATIENTS = 100_000


def ceilings(model: LabelModel, patients: int = PATIENTS, seed: int = 0) -> dict[str, dict[str, float]]:
    """AUC for recurrence of the true P(recurrence | x) of every observer of `KNOWN`.

    Returns:
        By observer: ``auc`` (simulated), ``standard_error`` (of the simulation) and ``closed_form``.
    """
    rng = np.random.default_rng([seed, 25])
    labels = (rng.random(patients) < model.strengths.recurrence_share).astype(int)
    evidence = model.draw(labels, rng)
    table = {}
    for known in KNOWN:
        p = model.p_recurrence(evidence, known)
        recurrences, effects = p[labels == 1], p[labels == 0]
        auc = float(mannwhitneyu(recurrences, effects).statistic / (len(recurrences) * len(effects)))
        table[known] = {
            "auc": auc,
            "standard_error": auc_standard_error(auc, labels),
            "closed_form": model.auc(known),
        }
    return table


def auc_standard_error(auc: float, labels: np.ndarray) -> float:
    """Standard error of an AUC of independent patients (Hanley and McNeil, Radiology 1982)."""
    positive = int((np.asarray(labels) == 1).sum())
    negative = len(labels) - positive
    one, other = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (one - auc**2) + (negative - 1) * (other - auc**2)
    return float(np.sqrt(variance / (positive * negative)))
