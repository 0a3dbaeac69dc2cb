"""The final test: what the networks of a cross-validation say of the patients who were kept apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from treatment_response.cases.samples import Samples
from treatment_response.certainty import Certainty
from treatment_response.classes import Classes
from treatment_response.cohort.dataset import TEST, TEST_FOLD
from treatment_response.configs import read_configs
from treatment_response.evaluation.written import TEST_METRICS, TEST_PREDICTIONS
from treatment_response.files import write_whole
from treatment_response.inference.case_answer import Decision, case_answer
from treatment_response.inference.case_maps import CaseMaps
from treatment_response.metrics.bootstrap import patient_bootstrap
from treatment_response.metrics.class_intervals import class_metric, metric_names
from treatment_response.metrics.class_scores import class_averages
from treatment_response.metrics.thresholds import best_threshold, decided_at, operating_point, share_with_interval
from treatment_response.training.experiment import read_samples
from treatment_response.weights import load_into, read_weights

_WITHOUT_CLASSES = ("auc", "brier", "quadratic_kappa")
"""Scores of probabilities; the others are of decisions, which here are votes."""


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
    logits = member_logits(samples, members, configs)
    table = _table(samples, logits, classes, certainty)
    metrics = _metrics(table, pooled, classes, certainty)
    write_whole(out / TEST_PREDICTIONS, table.to_csv(index=False, float_format="%.8g"))
    write_whole(out / TEST_METRICS, json.dumps(metrics, indent=1) + "\n")
    return table, metrics


def member_logits(samples: Samples, members: Sequence[Path], configs: Sequence[str]) -> torch.Tensor:
    """The logits of each network for each sample, ``(F, N, 1 or K)`` float64, one network in memory at a time.

    Args:
        members: ``model.pt`` of each. configs: ``train.json`` and what is on top of it, of their training.

    Raises:
        DataProblem: a network cannot be read or does not fit the configs.
    """
    parser = read_configs(configs)
    network, device = parser.get_parsed_content("network_def"), parser.get_parsed_content("device")
    found = []
    for member in members:
        load_into(network, read_weights(member))
        network.to(device).eval()
        with torch.no_grad():
            each = [
                network(torch.as_tensor(samples[n]["image"])[None].to(device, torch.float32))
                for n in range(len(samples))
            ]
        found.append(torch.cat(each).double().cpu())
        network.cpu()
    return torch.stack(found)


def _table(samples: Samples, logits: torch.Tensor, classes: Classes, certainty: Certainty | None) -> pd.DataFrame:
    rows = []
    finding = classes.names.index(classes.finding)
    for number, row in enumerate(samples.rows):
        of_case = logits[:, number, None]
        answer = case_answer(CaseMaps(of_case.mean(dim=0), of_case, {}, {}), classes, certainty, Decision.VOTE)
        said = [member[finding] for member in answer.members]
        votes = {f"votes{column[1:]}": count for column, count in zip(classes.columns, answer.votes, strict=True)}
        rows.append(
            {
                "subject": row.subject,
                "case": row.case,
                "session": row.session,
                "role": TEST,
                "fold": TEST_FOLD,
                "label": row.label,
                **dict(zip(classes.columns, answer.probabilities, strict=True)),
                "decided": answer.decided,
                "class": classes.names[answer.decided],
                **votes,
                "agreement": max(answer.votes) / sum(answer.votes),
                "lowest": min(said),
                "highest": max(said),
                "calibrated": answer.certainty["calibrated"],
                "conformal_set": " ".join(answer.certainty["set"]),
            }
        )
    return pd.DataFrame(rows)


def _metrics(
    table: pd.DataFrame, pooled: pd.DataFrame, classes: Classes, certainty: Certainty | None
) -> dict[str, Any]:
    voted = table.assign(**{column: (table["decided"] == n) * 1.0 for n, column in enumerate(classes.columns)})
    intervals = {
        name: patient_bootstrap(table if name in _WITHOUT_CLASSES else voted, class_metric(name, classes)).as_dict()
        for name in metric_names(classes)
    }
    right = table["decided"] == table["label"]
    result: dict[str, Any] = {
        "n": len(table),
        "patients": int(table["subject"].nunique()),
        "classes": classes.content(),
        "calibrated": certainty is not None,
        "decision": "majority vote of the networks",
        "accuracy": share_with_interval(table, right),
        "recall": {
            name: share_with_interval(table[table["label"] == n], right[table["label"] == n])
            for n, name in enumerate(classes.names)
        },
        "intervals": intervals,
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
