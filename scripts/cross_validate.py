"""Hold out every fold of a prepared data set once; pool the predictions, with intervals over patients."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from treatment_response.classes import RESPONSE, Classes, read_classes
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.splits import persons_of
from treatment_response.commands import command
from treatment_response.evaluation.cross_validation import cross_validate, holding_out
from treatment_response.evaluation.training_gap import training_gap
from treatment_response.evaluation.written import ENSEMBLE, TEST_METRICS, TEST_PREDICTIONS
from treatment_response.metrics.bootstrap import metric, patient_bootstrap
from treatment_response.metrics.class_intervals import METRIC_NAMES, ORDINAL_ERROR_WORDS, class_metric, metric_names
from treatment_response.metrics.class_scores import class_averages
from treatment_response.metrics.doubtful import UNLABELLED_PREDICTIONS
from treatment_response.metrics.intervals import COVERED
from treatment_response.metrics.scores import METRICS, ROLES, lesion_averages


@command("the same command goes on from the last checkpoints")
def main() -> int:
    """Read the arguments, make one call, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="prepared data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for the folds' runs and the pooled tables")
    parser.add_argument("--folds", type=int, default=5, help="folds that the data set holds (default 5)")
    parser.add_argument("--overlay", nargs="+", default=[], help="a system's or other configs on top of train.json")
    parser.add_argument("--epochs", type=int, help="per fold (default: what the configs say, 150 for train.json)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffle-labels", type=int, metavar="SEED", help="null check: shuffle labels over patients")
    parser.add_argument(
        "--test", action="store_true", help="also the patients kept apart, by the folds' networks together"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler whose workers run the folds instead")
    a = parser.parse_args()
    console = Console(stderr=True)
    pooled = cross_validate(
        a.dataset,
        a.out,
        a.folds,
        a.overlay,
        a.seed,
        a.epochs,
        a.shuffle_labels,
        a.workers,
        a.cluster,
        console,
        a.test,
    )
    out = Console(width=max(100, console.width))
    classes = read_classes(read_dataset(a.dataset), DATALIST)
    if classes == RESPONSE:
        _show_responses(pooled, a.out, out)
    else:
        _show_classes(pooled, classes, out)
    unlabelled, ensemble = a.out / UNLABELLED_PREDICTIONS, a.out / ENSEMBLE
    print(f"wrote {a.out / 'predictions.csv'} and {a.out / 'metrics.json'}")
    if unlabelled.is_file():
        print(f"wrote {unlabelled}: what the models say of the cases without a label")
    if ensemble.is_file():
        print(f"wrote {ensemble}: the folds' networks as one, calibrated")
    elif leak := holding_out(a.overlay).leak:
        print(f"The protocol leaks: {leak} It is for measuring what that is worth; wrote no ensemble.")
    elif classes != RESPONSE and a.shuffle_labels is None:
        print("wrote no ensemble: the networks do not tell the classes of held-out patients apart")
    if a.test:
        _show_test(json.loads((a.out / TEST_METRICS).read_text(encoding="utf-8")), classes, out)
        print(f"wrote {a.out / TEST_PREDICTIONS} and {a.out / TEST_METRICS}")
    return 0


def _show_responses(pooled: pd.DataFrame, folder: Path, out: Console) -> None:
    """Response as the finding: six metrics per role, the range with doubtful lesions, training minus held-out."""
    doubtful = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["doubtful"]
    averaged = lesion_averages(pooled)
    table = Table("finding: response", *(_heading(role, averaged) for role in averaged["role"].unique()))
    for name in METRICS:
        intervals = [patient_bootstrap(rows, metric(name)) for _, rows in averaged.groupby("role")]
        table.add_row(name, *(escape(str(interval)) for interval in intervals))
    if doubtful["auc"]:
        out.print(f"Headline: {doubtful['auc']['sentence']}", markup=False)
    out.print(table)
    out.print(doubtful["note"], markup=False)
    out.print(f"(iii) is primary; (i) is the paper's way. {COVERED}", markup=False)
    if (gap := training_gap(pooled)) is not None:
        out.print(f"Training minus held-out, AUC (i) − (ii) in the same fitted models: {gap.true}", markup=False)
        shuffled = "the same difference of a run with --shuffle-labels, and report.py --run with both"
        out.print(f"What recognising a lesion is worth: not computed; it takes {shuffled}.")


def _show_classes(pooled: pd.DataFrame, classes: Classes, out: Console) -> None:
    """Every score of K classes per role, the primary one first."""
    averaged = class_averages(pooled, classes)
    roles = list(averaged["role"].unique())
    table = Table("", *(f"{ROLES[role]}\n{_counts(averaged[averaged['role'] == role], 'cases')}" for role in roles))
    for name in sorted(metric_names(classes), key=lambda name: name != classes.primary_metric):
        score = class_metric(name, classes)
        intervals = [patient_bootstrap(averaged[averaged["role"] == role], score) for role in roles]
        primary = " (primary)" if name == classes.primary_metric else ""
        table.add_row(METRIC_NAMES[name] + primary, *(escape(str(interval)) for interval in intervals))
    out.print(table)
    out.print(f"Classes: {', '.join(classes.names)}. {COVERED}", markup=False)
    if classes.order:
        out.print(ORDINAL_ERROR_WORDS.format(order=", ".join(classes.order)), markup=False)


def _show_test(metrics: dict[str, Any], classes: Classes, out: Console) -> None:
    """What the networks together say of the patients kept apart, with exact intervals where they are few."""
    table = Table(f"test, {metrics['n']} cases, {metrics['patients']} patients", "95 %")
    shares = {"accuracy": metrics["accuracy"]}
    shares |= {f"recall of {name}": metrics["recall"][name] for name in classes.names}
    if "at_threshold" in metrics:
        at = metrics["at_threshold"]
        where = f"for {at['finding']}, P ≥ {at['thresholds'][0]:.2f}"
        shares |= {f"{name} {where}": at[name] for name in ("sensitivity", "specificity")}
    for name in ("auc", "brier", "macro_f1"):
        shares[METRIC_NAMES[name]] = metrics["intervals"][name]
    for name, share in shares.items():
        hits = f" ({share['hits']}/{share['n']})" if "hits" in share else ""
        table.add_row(name + hits, _ends(share))
    out.print(table)
    calibrated = "calibrated" if metrics["calibrated"] else "not calibrated"
    out.print(f"Class by {metrics['decision']}; probabilities are their mean, {calibrated}.", markup=False)


def _ends(share: dict[str, Any]) -> str:
    if share["estimate"] is None:
        return "undefined"
    ends = "no interval" if share["low"] is None else f"{share['low']:.3f}, {share['high']:.3f}"
    return escape(f"{share['estimate']:.3f} [{ends}]")


def _counts(rows: pd.DataFrame, noun: str) -> str:
    return f"{len(rows)} {noun}, {persons_of(rows).nunique()} patients"


def _heading(role: str, averaged: pd.DataFrame) -> str:
    rows = averaged[averaged["role"] == role]
    return f"{ROLES[role].split(' ')[0]} {role}\n{_counts(rows, 'lesions')}"


if __name__ == "__main__":
    raise SystemExit(main())
