"""Several methods on the same splits by patient: the paper's Table 1 with intervals and paired differences."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from treatment_response.classes import RESPONSE, read_classes
from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.commands import command
from treatment_response.evaluation.comparison.case_methods import CASE_METHODS, FEATURES, PREVALENCE
from treatment_response.evaluation.comparison.case_run import CaseComparison, compare_cases
from treatment_response.evaluation.comparison.methods import METHODS, USUAL
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare, compare_external, compare_thresholds
from treatment_response.evaluation.comparison.screen import show, show_cases, show_thresholds
from treatment_response.evaluation.comparison.variants import NETWORK
from treatment_response.problems import DataProblem, Problem

WRITTEN = (
    "table.csv, table.json, predictions.csv, importances.csv, splits.json and provenance.json; "
    "unlabelled_predictions.csv too if lesions are doubtful"
)


@command("the same command goes on with the unfinished trials")
def main() -> int:
    """Read the arguments, make one call, print the tables."""
    parser = _arguments()
    a = parser.parse_args()
    console = Console(stderr=True)
    screen = Console(width=max(100, console.width))
    if read_classes(read_dataset(a.dataset), DATALIST) != RESPONSE:
        if a.external is not None:
            what = "of these classes a trained model is validated, which fits nothing anew"
            raise DataProblem(Problem("--external", what, "use scripts/validate_external.py"))
        _refuse_other(a, parser, ("threshold", "icc", "protocol"), "the classes of this data set")
        usual = (PREVALENCE, *((FEATURES,) if a.features else ()), NETWORK)
        cases = CaseComparison(
            methods=tuple(a.methods or usual),
            features=tuple(a.features),
            variants=a.variants,
            stored_folds=a.folds == "stored",
            **_trials(a),
        )
        show_cases(compare_cases(a.dataset, a.out, cases, console), screen)
        print(f"wrote {a.out}: table.csv, table.json, predictions.csv, splits.json and provenance.json")
        return 0
    _refuse_other(a, parser, ("features", "variants", "folds"), "response of lesions, whose methods are its own")
    thresholds = a.threshold or [None]
    settings = Comparison(
        methods=tuple(a.methods or USUAL),
        protocol=a.protocol,
        threshold=thresholds[0],
        least_icc=a.icc,
        **_trials(a),
    )
    if a.external is not None and len(thresholds) > 1:
        raise DataProblem(Problem("--external", "several thresholds were asked for", "ask for one at a time"))
    if a.external is not None:
        show(compare_external(a.dataset, a.external, a.out, settings, console), screen)
        print(f"wrote {a.out}: {WRITTEN}")
        return 0
    if len(thresholds) == 1:
        show(compare(a.dataset, a.out, settings, console), screen)
        print(f"wrote {a.out}: {WRITTEN}")
        return 0
    results = compare_thresholds(a.dataset, a.out, thresholds, settings, console)
    for threshold, result in results.items():
        screen.rule(f"response: a loss of more than {threshold:.0%} of the volume")
        show(result, screen)
    show_thresholds(results, screen)
    print(f"wrote {a.out}, one folder per threshold: {WRITTEN}")
    return 0


def _trials(a: argparse.Namespace) -> dict[str, Any]:
    """The settings of trials that every comparison has."""
    return {
        "trials": a.trials,
        "shuffles": a.shuffle_labels,
        "seed": a.seed,
        "epochs": a.epochs,
        "shuffle_epochs": a.shuffle_epochs,
        "overlays": tuple(a.overlay),
        "workers": a.workers,
        "cluster": a.cluster,
    }


def _refuse_other(a: argparse.Namespace, parser: argparse.ArgumentParser, names: tuple[str, ...], what: str) -> None:
    """Refuse options that say nothing about what is compared."""
    given = [f"--{name}" for name in names if getattr(a, name) != parser.get_default(name)]
    if given:
        raise DataProblem(Problem(" ".join(given), f"it does not apply to {what}", "leave it out"))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="prepared data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, predictions and finished trials")
    parser.add_argument(
        "--methods",
        nargs="+",
        help=f"of {', '.join(METHODS)} (default {' '.join(USUAL)}); for other classes than response of lesions: "
        f"{', '.join(CASE_METHODS)}",
    )
    parser.add_argument(
        "--features",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of cases.csv for the methods features and each; all known before the case is to be classified",
    )
    parser.add_argument("--variants", metavar="FILE", help="several networks: ids of the config that each sets")
    parser.add_argument(
        "--folds",
        choices=("drawn", "stored"),
        default="drawn",
        help="patients held out: drawn anew in every repeat (default), or the data set's own folds in every repeat",
    )
    parser.add_argument(
        "--external",
        type=Path,
        metavar="DATASET",
        help="fit once on all lesions of the first data set and score this one; no trials, no shuffles",
    )
    parser.add_argument("--trials", type=int, default=50, help="splits, the same for every method (default 50)")
    parser.add_argument("--protocol", default="B", help="B: patients held out (default); A: the paper's, none held out")
    parser.add_argument(
        "--threshold",
        type=float,
        nargs="+",
        help="loss of volume that counts as response (default: the data set's); several make a folder each",
    )
    parser.add_argument(
        "--icc",
        type=float,
        default=0.75,
        metavar="LEAST",
        help="leave out features whose ICC under small changes of contour and image is lower (default 0.75; 0: off)",
    )
    parser.add_argument("--shuffle-labels", type=int, default=0, metavar="N", help="null check with N shuffles")
    parser.add_argument("--shuffle-epochs", type=int, metavar="N", help="of networks in the null check (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("--epochs", type=int, help="of networks (default: what their configs say, 150 for cnn)")
    parser.add_argument(
        "--overlay",
        nargs="+",
        default=[],
        help="a system's, or configs on top of every network's, e.g. sequential.json",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler whose workers run the trials instead")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
