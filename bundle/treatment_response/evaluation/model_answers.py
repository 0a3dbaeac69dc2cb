"""What trained networks together answer for cases that none of them has seen, and how often that is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from treatment_response.cases.samples import Samples
from treatment_response.certainty import Certainty
from treatment_response.classes import Classes
from treatment_response.cohort.splits import persons_of
from treatment_response.configs import read_configs
from treatment_response.inference.case_answer import Decision, case_answer
from treatment_response.inference.case_maps import CaseMaps
from treatment_response.metrics.bootstrap import patient_bootstrap
from treatment_response.metrics.class_intervals import class_metric, metric_names
from treatment_response.metrics.thresholds import share_with_interval
from treatment_response.weights import load_state

_OF_PROBABILITIES = ("auc", "brier")
"""Scores of probabilities; the others are of decisions, which may be votes."""


def network_logits(
    samples: Samples, states: Iterable[Mapping[str, torch.Tensor]], configs: Sequence[str]
) -> torch.Tensor:
    """The logits of each network for each sample, ``(F, N, 1 or K)`` float64, one network on the device at a time.

    Args:
        states: the weights of each. configs: ``train.json`` and what is on top of it, of their training.

    Raises:
        DataProblem: weights do not fit the configs.
    """
    parser = read_configs(configs)
    network, device = parser.get_parsed_content("network_def"), parser.get_parsed_content("device")
    found = []
    for number, state in enumerate(states):
        load_state(network, state, f"network {number}", "--model")
        network.to(device).eval()
        with torch.no_grad():
            each = [
                network(torch.as_tensor(samples[n]["image"])[None].to(device, torch.float32))
                for n in range(len(samples))
            ]
        found.append(torch.cat(each).double().cpu())
        network.cpu()
    return torch.stack(found)


def answers_table(
    samples: Samples,
    logits: torch.Tensor,
    classes: Classes,
    certainty: Certainty | None,
    decision: Decision,
    role: str,
    fold: int,
) -> pd.DataFrame:
    """One row per case: ``subject, case, session, role, fold, label, p_<class>`` and how the networks came to it.

    The further columns are ``decided, class, votes_<class>, agreement, lowest, highest`` (of the finding's probability
    among the networks), ``calibrated``, ``conformal_set`` (names, one after the other) and ``in_set_<class>``.

    Args:
        logits: of `network_logits`. certainty: of the networks; None: they are not calibrated.
    """
    rows = []
    finding = classes.names.index(classes.finding)
    for number, row in enumerate(samples.rows):
        of_case = logits[:, number, None]
        answer = case_answer(CaseMaps(of_case.mean(dim=0), of_case, {}, {}), classes, certainty, decision)
        said = [member[finding] for member in answer.members]
        votes = {f"votes{column[1:]}": count for column, count in zip(classes.columns, answer.votes, strict=True)}
        rows.append(
            {
                "subject": row.subject,
                "case": row.case,
                "session": row.session,
                "role": role,
                "fold": fold,
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
                **{
                    column: name in answer.certainty["set"]
                    for column, name in zip(set_columns(classes), classes.names, strict=True)
                },
            }
        )
    return pd.DataFrame(rows)


def set_columns(classes: Classes) -> list[str]:
    """Whether the conformal set holds a class: a column per class, in their order."""
    return [f"in_set{column[1:]}" for column in classes.columns]


def decision_scores(table: pd.DataFrame, classes: Classes) -> dict[str, Any]:
    """Accuracy and recalls of the decisions, exact where patients are few, and every score over patients.

    Args:
        table: of `answers_table`.

    Returns:
        ``n, patients, classes, accuracy, recall`` (by class) and ``intervals`` (score → interval).
    """
    decided = table.assign(**{column: (table["decided"] == n) * 1.0 for n, column in enumerate(classes.columns)})
    right = table["decided"] == table["label"]
    return {
        "n": len(table),
        "patients": int(persons_of(table).nunique()),
        "classes": classes.content(),
        "accuracy": share_with_interval(table, right),
        "recall": {
            name: share_with_interval(table[table["label"] == n], right[table["label"] == n])
            for n, name in enumerate(classes.names)
        },
        "intervals": {
            name: patient_bootstrap(
                table if name in _OF_PROBABILITIES else decided, class_metric(name, classes)
            ).as_dict()
            for name in metric_names(classes)
        },
    }
