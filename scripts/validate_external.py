"""Apply a trained model, or several as an ensemble, to another prepared data set, and score it there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from treatment_response.classes import classes_of
from treatment_response.commands import command
from treatment_response.evaluation.class_shares import SHARES_WORDS
from treatment_response.evaluation.external_validation import validate_externally
from treatment_response.evaluation.written import EXTERNAL_VALIDATION
from treatment_response.metrics.class_intervals import METRIC_NAMES, metric_names
from treatment_response.metrics.intervals import COVERED, ends_text
from treatment_response.notice import notice


@command("the same command begins anew; preprocessed cases are kept")
def main() -> int:
    """Read the arguments, make one call, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="prepared data set that the model was not trained on")
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="model.pt; several are an ensemble")
    parser.add_argument("--out", type=Path, required=True, help="folder for predictions.csv and external.json")
    parser.add_argument("--overlay", nargs="+", default=[], help="the system's configs on top of train.json")
    parser.add_argument(
        "--trained-on",
        type=Path,
        metavar="DATASET",
        help="the training data set: its classes' shares, and whether a person is in both",
    )
    a = parser.parse_args()
    _, content = validate_externally(a.dataset, a.model, a.out, a.overlay, a.trained_on)
    _show(content, Console(width=max(100, Console().width)))
    print(f"wrote {a.out / 'predictions.csv'} and {a.out / EXTERNAL_VALIDATION}")
    return 0


def _show(content: dict[str, Any], out: Console) -> None:
    classes, intervals = classes_of(content["classes"]), content["intervals"]
    scores = Table(f"{content['role']}, {content['n']} cases, {content['patients']} patients", "95 % over patients")
    for name in sorted(metric_names(classes), key=lambda name: name != classes.primary_metric):
        primary = " (primary)" if name == classes.primary_metric else ""
        scores.add_row(METRIC_NAMES[name] + primary, _ends(intervals[name]))
    out.print(scores)
    shares = Table("class", "share in training", "share here", "mean probability here", "recall")
    for name, share in content["class_shares"]["classes"].items():
        before = "not known" if share["training"] is None else f"{share['training']:.2f}"
        shares.add_row(name, before, _ends(share["here"]), f"{share['said']:.2f}", _ends(content["recall"][name]))
    out.print(shares)
    for sentence in (notice(content["model"]), SHARES_WORDS, *content["notes"], COVERED):
        out.print(f"- {sentence}", markup=False, highlight=False)


def _ends(found: dict[str, Any]) -> str:
    if found["estimate"] is None:
        return "undefined"
    ends = "no interval" if found["low"] is None else ends_text(found["low"], found["high"], ".2f")
    return escape(f"{found['estimate']:.2f} [{ends}]")


if __name__ == "__main__":
    raise SystemExit(main())
