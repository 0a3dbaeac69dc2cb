"""Every stored fold held out once, by a protocol that holds patients out; the held-out predictions are pooled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from treatment_response.cases.samples import MRI1, MRI2, Samples
from treatment_response.classes import RESPONSE, Classes, read_classes
from treatment_response.cohort.case import with_case
from treatment_response.cohort.dataset import dataset_digest, read_dataset
from treatment_response.cohort.doubtful_counts import DoubtfulCounts
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.splits import persons_in, with_persons
from treatment_response.configs import fingerprints, planned_epochs, read_configs
from treatment_response.evaluation.claim import claim
from treatment_response.evaluation.ensemble import certainty_of, write_ensemble
from treatment_response.evaluation.final_test import final_test
from treatment_response.evaluation.training_gap import training_gap
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.evaluation.written import ENSEMBLE, KEY
from treatment_response.files import write_whole
from treatment_response.metrics.bootstrap import metric, patient_bootstrap
from treatment_response.metrics.class_intervals import class_metric, metric_names, spread_over_models
from treatment_response.metrics.class_scores import class_averages, class_scores_by_role
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS, auc_range, doubtful_content, doubtful_of
from treatment_response.metrics.ordinal import far_misses
from treatment_response.metrics.scores import METRICS, lesion_averages, metrics_by_role
from treatment_response.metrics.thresholds import held_out_decisions, operating_point
from treatment_response.problems import DataProblem, Problem, check_least
from treatment_response.protocols import Protocol, protocol_of
from treatment_response.training.experiment import read_samples


def cross_validate(
    dataset_dir: Path,
    out: Path,
    folds: int = 5,
    overlays: Sequence[str] = (),
    seed: int = 0,
    epochs: int | None = None,
    shuffle_labels: int | None = None,
    workers: int = 2,
    cluster: str | None = None,
    console: Console | None = None,
    test: bool = False,
) -> pd.DataFrame:
    """Train and score every fold, pool the predictions, write ``predictions.csv`` and ``metrics.json``.

    The protocol is that of the configs. Cases without a label are predicted by the model that held out their patient;
    their predictions go to ``unlabelled_predictions.csv``. A fold that is finished in `out` is skipped, an interrupted
    one resumed. For other classes than PULSAR's the networks are calibrated together and written as one ensemble,
    ``ensemble/model.pt``, unless they tell no classes apart or the protocol leaks.

    Args:
        dataset_dir: a prepared data set; its stored folds are used, never recomputed.
        out: gets ``fold_0/`` … (each a run's folder) and the pooled tables.
        folds: how many folds the data set is expected to hold.
        overlays: configs on top of ``train.json``. seed: of weights and batches.
        epochs: per fold; None: what the configs say.
        shuffle_labels: seed of a patient-level shuffle of the labels, for the null check; None trains on the truth.
        workers: processes with one thread each. cluster: address of a Dask scheduler to use instead of them.
        console: where the progress goes.
        test: also predict the patients kept apart, see `final_test`. Not for PULSAR's data sets, which keep none apart.

    Returns:
        The pooled predictions with the column ``model``: the fold that the fitted model held out.

    Raises:
        DataProblem: the data set has other folds, the protocol holds nobody out, a number is out of range, or `out` was
            made with other settings.
    """
    check_least(("--epochs", epochs, 1), ("--seed", seed, 0), ("--shuffle-labels", shuffle_labels, 0))
    content = read_dataset(dataset_dir)
    if test and not content.get("test"):
        what = "the data set keeps no patients apart (no list 'test' in dataset.json)"
        raise DataProblem(Problem("--test", what, "leave it out, or prepare the data set with test patients"))
    if test and shuffle_labels is not None:
        raise DataProblem(Problem("--test", "labels are shuffled", "leave one of the two out"))
    protocol = holding_out(overlays)
    stored = sorted({protocol.fold_of(sample) for sample in content["training"]})
    if len(stored) != folds:
        what = f"the data set holds {len(stored)} folds, {folds} were asked for"
        raise DataProblem(Problem("--folds", what, f"say --folds {len(stored)}, or prepare it with other folds"))
    configs = [list(file) for file in fingerprints(["train.json", *overlays]).items()]
    epochs = epochs or planned_epochs(overlays)
    made = {
        "dataset": dataset_digest(dataset_dir),
        "configs": configs,
        "seed": seed,
        "epochs": epochs,
        "shuffle": shuffle_labels,
    }
    claim(out / "cross_validation.json", made)
    trials = [
        Trial(
            f"fold {fold}",
            out / f"fold_{fold}",
            {
                "protocol": protocol.name,
                "fold": fold,
                "seed": seed,
                "max_epochs": epochs,
                "dataset_dir": str(dataset_dir),
                **({"val_interval": 1} if protocol.chooses_epoch else {}),
            },
            epochs,
        )
        for fold in stored
    ]
    if not all(trial.finished() for trial in trials):
        samples = read_protocol_samples(overlays, protocol, dataset_dir)
        if shuffle_labels is not None:
            samples = shuffled_by_patient(samples, shuffle_labels)
        run_trials(trials, {trial.name: samples for trial in trials}, overlays, workers, console, cluster)
    persons = persons_in(content)
    pooled = with_persons(
        pd.concat(
            [_read(t.output_dir / "predictions.csv").assign(model=t.overrides["fold"]) for t in trials],
            ignore_index=True,
        ),
        persons,
    )
    files = [t.output_dir / UNLABELLED_PREDICTIONS for t in trials]
    parts = [_read(file) for file in files if file.is_file()]
    unlabelled = with_persons(pd.concat(parts, ignore_index=True), persons) if parts else None
    write_whole(out / "predictions.csv", pooled.to_csv(index=False, float_format="%.8g"))
    if unlabelled is None:
        (out / UNLABELLED_PREDICTIONS).unlink(missing_ok=True)
    else:
        write_whole(out / UNLABELLED_PREDICTIONS, unlabelled.to_csv(index=False, float_format="%.8g"))
    classes = read_classes(content, DATALIST)
    if classes == RESPONSE:
        # A shuffled label says nothing, so it has no range either.
        scored = unlabelled if shuffle_labels is None else None
        metrics = pooled_metrics(pooled, doubtful_of(content), scored)
    else:
        metrics = pooled_class_metrics(pooled, classes)
        # Calibrated on patients whom it has trained on, an ensemble would be too sure of itself.
        unfit = shuffle_labels is not None or bool(protocol.leak)
        certainty = None if unfit else certainty_of(pooled, classes)
        members = [trial.output_dir / "models" / "model.pt" for trial in trials]
        if certainty is not None:
            write_ensemble(out / ENSEMBLE, members, certainty)
        if test:
            final_test(dataset_dir, out, members, overlays, pooled, classes, certainty)
    write_whole(out / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return pooled


def pooled_metrics(
    pooled: pd.DataFrame, doubtful: DoubtfulCounts, unlabelled: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Per role the metrics and their patient-bootstrap intervals (finding: response), and AUC (i) − (ii).

    Args:
        pooled: the predictions of all folds.
        doubtful: how many lesions of the data set have no label.
        unlabelled: the predictions of these, if there are any.
    """
    averaged = lesion_averages(pooled)
    result = metrics_by_role(pooled)
    for role, rows in averaged.groupby("role"):
        result[str(role)]["interval_positive_response"] = {
            name: patient_bootstrap(rows, metric(name)).as_dict() for name in METRICS
        }
    gap = training_gap(pooled)
    found = auc_range(pooled, unlabelled, doubtful)
    return {
        **result,
        "training_minus_heldout_auc": None if gap is None else gap.true.as_dict(),
        "doubtful": doubtful_content(doubtful, found),
    }


def pooled_class_metrics(pooled: pd.DataFrame, classes: Classes) -> dict[str, Any]:
    """Per role the scores of K classes, and under ``intervals`` each score with its patient-bootstrap interval.

    Also ``folds``, the spread over the folds (`spread_over_models`). Ordered classes have ``far_misses``, the cases of
    the worst class that were called much better. Of two classes also ``at_threshold``: sensitivity and specificity for
    the finding, each fold at the threshold that the held-out patients of the other folds choose.

    Args:
        pooled: the predictions of all folds.
    """
    result = class_scores_by_role(pooled, classes)
    for role, rows in class_averages(pooled, classes).groupby("role"):
        result[str(role)]["intervals"] = {
            name: patient_bootstrap(rows, class_metric(name, classes)).as_dict() for name in metric_names(classes)
        }
        own = with_case(pooled)
        result[str(role)]["folds"] = spread_over_models(own[own["role"] == role], classes)
        if classes.order:
            result[str(role)]["far_misses"] = far_misses(rows, classes)
        decided = held_out_decisions(rows.merge(_folds(pooled), on=["subject", "case"]), classes)
        if decided is not None:
            result[str(role)]["at_threshold"] = operating_point(decided, classes)
    return result


def _folds(pooled: pd.DataFrame) -> pd.DataFrame:
    return with_case(pooled)[["subject", "case", "fold"]].drop_duplicates()


def holding_out(overlays: Sequence[str]) -> Protocol:
    """The protocol of ``train.json`` with these overlays.

    Raises:
        DataProblem: an overlay cannot be used, or its protocol holds nobody out.
    """
    protocol = protocol_of(read_configs(["train.json", *overlays])["protocol"])
    if not protocol.holds_out:
        what = f"protocol {protocol.name} holds nobody out, so nothing can be scored fairly"
        raise DataProblem(Problem("--overlay", what, "set a protocol that holds patients out, such as patients"))
    return protocol


def read_protocol_samples(overlays: Sequence[str], protocol: Protocol, dataset_dir: Path, **settings: Any) -> Samples:
    """The cases of a data set as ``train.json`` with these overlays preprocesses them, for training and scoring.

    Args:
        settings: ids of the configs and their values, instead of the overlays'.
    """
    sessions = None if protocol.session is None else (MRI1, MRI2)
    given = {**settings, "dataset_dir": str(dataset_dir), "protocol": protocol.name}
    return read_samples(("train.json", *overlays), sessions, **given)


def shuffled_by_patient(samples: Samples, seed: int) -> Samples:
    """The same lesions with labels dealt out anew: patients are put in a random order and their labels handed on.

    A patient's labels stay together as far as the numbers of lesions allow, so the shuffled data are clustered as the
    true ones are. Both sessions and all turned copies of a lesion get the same label. A patient is a person: subjects
    that are one person stay together. Lesions without a label get none.
    """
    labels = {(row.unit, row.subject, row.case): row.label for row in samples.rows if row.label is not None}
    lesions = sorted(labels.items())
    order = np.random.default_rng(seed).permutation(sorted({person for (person, _, _), _ in lesions}))
    dealt = [label for patient in order for (person, _, _), label in lesions if person == patient]
    new = {key: label for (key, _), label in zip(lesions, dealt, strict=True)}
    rows = [replace(row, label=new.get((row.unit, row.subject, row.case))) for row in samples.rows]
    return samples.with_rows(rows)


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=KEY)
