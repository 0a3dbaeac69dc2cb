"""The networks of a cross-validation as one model: calibrated together, stored as one pair of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from treatment_response.certainty import Certainty
from treatment_response.classes import Classes
from treatment_response.evaluation.fit_certainty import fit_certainty
from treatment_response.inference.model import mean_scales
from treatment_response.metrics.scores import primary_role
from treatment_response.problems import DataProblem
from treatment_response.weights import read_weights, write_pair


def certainty_of(pooled: pd.DataFrame, classes: Classes) -> Certainty | None:
    """The calibration and conformal scores of a cross-validation's networks; None if they tell no classes apart.

    Args:
        pooled: the predictions of all folds, with logits; their primary role is what each network did not see.
    """
    try:
        return fit_certainty(pooled[pooled["role"] == primary_role(pooled)], classes=classes)
    except DataProblem:
        return None


def write_ensemble(path: Path, members: Sequence[Path], certainty: Certainty) -> None:
    """Write the networks as the fold models of one ``model.pt``, whose mean predicts and is explained.

    Its own weights are those of the first network, so that any loader finds a network in it. The scales of its maps are
    the mean of theirs.

    Args:
        path: of the ``model.pt`` to write. members: ``model.pt`` of each network, in the order of the folds.
        certainty: what belongs to them.

    Raises:
        DataProblem: a network cannot be read.
    """
    weights = [read_weights(member) for member in members]
    scored = [of for fold in certainty.conformal.folds for of in fold.values()]
    patients = len({patient for of in scored for patient in of.patients})
    cases = sum(len(of.scores) for of in scored)  # each network held some out, and others have trained on these
    data = replace(weights[0].training_data, lesions=cases, patients=patients, fold=None)
    content = {
        "sha256": None,
        "classes": weights[0].classes.content(),
        "map_scales": mean_scales([each.map_scales for each in weights]),
        **certainty.content(),
        "ensemble": True,
        "training_data": asdict(data),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pair(path, members[0].read_bytes(), content, [member.read_bytes() for member in members])
