"""The final test: what the networks of a cross-validation say of the patients who were kept apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.certainty import Certainty
from treatment_response.classes import Classes
from treatment_response.cohort.dataset import TEST, TEST_FOLD
from treatment_response.evaluation.model_answers import answers_table, decision_scores, network_logits
from treatment_response.evaluation.written import TEST_METRICS, TEST_PREDICTIONS
from treatment_response.files import write_whole
from treatment_response.inference.case_answer import Decision
from treatment_response.metrics.class_scores import class_averages
from treatment_response.metrics.thresholds import best_threshold, decided_at, operating_point
from treatment_response.training.experiment import read_samples
from treatment_response.weights import read_weights


def final_test(
    dataset_dir: Path,
    out: Path,
    members: Sequence[Path],
    overlays: Sequence[str],
    pooled: pd.DataFrame,
    classes: Classes,
    certainty: Certainty | None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predict the list ``test`` of a data set; write ``test_predictions.csv`` and ``test_metrics.json``.

    The class of a case is the one that most networks decide. Its probabilities are the mean of the networks', each
    calibrated on the patients that it had held out. Nothing is chosen on the test patients: of two classes, sensitivity
    and specificity are also given at the threshold that the held-out predictions of the other patients choose.

    Args:
        dataset_dir: a prepared data set. out: the cross-validation's folder.
        members: ``model.pt`` of each network. overlays: configs on top of ``train.json``.
        pooled: held-out predictions of all folds. classes: of the data set.
        certainty: of the networks; None: they are not calibrated.

    Raises:
        DataProblem: the data set has no test patients, or a network cannot be read.
    """
    configs = ("train.json", *overlays)
    samples = read_samples(configs, None, dataset_dir=str(dataset_dir), case_list=TEST)
    logits = network_logits(samples, (read_weights(member).state for member in members), configs)
    table = answers_table(samples, logits, classes, certainty, Decision.VOTE, TEST, TEST_FOLD)
    metrics = _metrics(table, pooled, classes, certainty)
    write_whole(out / TEST_PREDICTIONS, table.to_csv(index=False, float_format="%.8g"))
    write_whole(out / TEST_METRICS, json.dumps(metrics, indent=1) + "\n")
    return table, metrics


def _metrics(
    table: pd.DataFrame, pooled: pd.DataFrame, classes: Classes, certainty: Certainty | None
) -> dict[str, Any]:
    result = decision_scores(table, classes) | {
        "calibrated": certainty is not None,
        "decision": "majority vote of the networks",
    }
    if len(classes.names) == 2:
        finding = classes.names.index(classes.finding)
        held_out = class_averages(_calibrated(pooled, classes, certainty), classes)
        threshold = best_threshold(held_out["label"] == finding, held_out[classes.columns[finding]])
        result["at_threshold"] = operating_point(decided_at(table, classes, threshold), classes)
    return result


def _calibrated(pooled: pd.DataFrame, classes: Classes, certainty: Certainty | None) -> pd.DataFrame:
    """The held-out predictions with the probabilities that the calibrated networks give."""
    if certainty is None:
        return pooled
    columns = ["logit"] if "logit" in pooled else [name.replace("p_", "logit_", 1) for name in classes.columns]
    p = np.array([certainty.calibration.probabilities(row) for row in pooled[columns].to_numpy().tolist()])
    return pooled.assign(**dict(zip(classes.columns, p.T, strict=True)))
