"""A trained model's scores, per case and in sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import Workflow

from treatment_response.cases.explanations import check_logits
from treatment_response.cases.samples import Samples
from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.case import case_column
from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.cohort.splits import PERSON, with_persons
from treatment_response.explain.finite import check_finite
from treatment_response.files import write_whole
from treatment_response.metrics.class_scores import class_scores_by_role
from treatment_response.metrics.doubtful import (
    UNLABELLED_COLUMNS,
    UNLABELLED_PREDICTIONS,
    auc_range,
    doubtful_content,
)
from treatment_response.metrics.scores import metrics_by_role
from treatment_response.networks.probabilities import probabilities
from treatment_response.training.scoring import case_logits


class WritePredictions:
    """Collect the logits of an evaluation and write ``predictions.csv`` and ``metrics.json`` when it ends.

    One row per case, session and role, whose logit is that of its slices (`case_logits`). Cases without a label go
    to ``unlabelled_predictions.csv``, which is written only if there are any; ``metrics.json`` tells their number.

    Args:
        output_dir: the run's folder.
        samples: what is scored, in the order of the evaluator's batches.
        roles: the role of each sample.
        doubtful: how many cases of the whole data set have no label.
        fold: that the model held out.
        threshold: P(response) from which on PULSAR decides "response", fixed beforehand; other systems decide the
            class of the largest probability.
    """

    def __init__(
        self,
        output_dir: str,
        samples: Samples,
        roles: list[str],
        doubtful: DoubtfulCounts,
        fold: int,
        threshold: float = 0.5,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.samples = samples
        self.roles = roles
        self.doubtful = doubtful
        self.fold = fold
        self.threshold = threshold
        self.logits: list[torch.Tensor] = []

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Workflow) -> None:
        self.logits = []

    def __call__(self, engine: Workflow) -> None:
        self.logits.append(engine.state.output["pred"].detach().cpu().double())

    def finish(self, engine: Workflow) -> None:
        logits = torch.cat(self.logits)
        check_finite(logits)
        classes = self.samples.classes
        check_logits(logits.shape[1], classes)
        rows, roles, logits = case_logits(self.samples, self.roles, logits)
        table = pd.DataFrame(
            {
                "subject": [row.subject for row in rows],
                case_column(classes): [row.case for row in rows],
                "session": [row.session for row in rows],
                "role": roles,
                "fold": [row.fold for row in rows],
                "label": [row.label for row in rows],
                **_logit_columns(logits, classes),
                **_probability_columns(logits, classes),
            }
        )
        table = with_persons(table, {row.subject: row.person for row in self.samples.rows if row.person})
        labelled = table["label"].notna()
        predictions = table[labelled].astype({"label": int})
        unlabelled = table[~labelled].assign(model=self.fold)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if classes == RESPONSE:
            columns = [name for name in (*UNLABELLED_COLUMNS, PERSON) if name in unlabelled]
            unlabelled = unlabelled[columns]
            metrics = metrics_by_role(predictions, self.threshold)
            range_of_auc = auc_range(predictions, unlabelled, self.doubtful)
        else:
            unlabelled = unlabelled.drop(columns="label")
            metrics, range_of_auc = class_scores_by_role(predictions, classes), None
        file = self.output_dir / UNLABELLED_PREDICTIONS
        if len(unlabelled):
            write_whole(file, unlabelled.to_csv(index=False, float_format="%.8g"))
        else:
            file.unlink(missing_ok=True)
        if classes == RESPONSE or len(unlabelled):
            metrics["doubtful"] = doubtful_content(self.doubtful, range_of_auc)
        write_whole(self.output_dir / "metrics.json", json.dumps(metrics, indent=1) + "\n")
        # Last, because a run that has this file counts as scored.
        write_whole(self.output_dir / "predictions.csv", predictions.to_csv(index=False, float_format="%.8g"))


def _logit_columns(logits: torch.Tensor, classes: Classes) -> dict[str, Any]:
    """``logit``, of the second class, of a network with one; else one column per class."""
    if logits.shape[1] == 1:
        return {"logit": logits[:, 0].numpy()}
    names = [name.replace("p_", "logit_", 1) for name in classes.columns]
    return dict(zip(names, logits.numpy().T, strict=True))


def _probability_columns(logits: torch.Tensor, classes: Classes) -> dict[str, Any]:
    """``p_<class>`` of every class; PULSAR's tables name the response alone."""
    columns = dict(zip(classes.columns, probabilities(logits).numpy().T, strict=True))
    return {"p_response": columns["p_response"]} if classes == RESPONSE else columns
