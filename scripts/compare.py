"""Several methods on the same splits by patient: the paper's Table 1 with intervals and paired differences."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from treatment_response.evaluation.comparison.methods import METHODS, USUAL
from treatment_response.evaluation.comparison.run import Comparison, compare
from treatment_response.evaluation.comparison.tables import show
from treatment_response.problems import DataProblem
from treatment_response.stopping import stop_on_terminate


def main() -> int:
    """Read the arguments, make one call, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="prepared data set")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, predictions and finished trials")
    parser.add_argument("--methods", nargs="+", default=list(USUAL), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--trials", type=int, default=50, help="splits, the same for every method (default 50)")
    parser.add_argument("--protocol", default="B", help="B: patients held out (default); A: the paper's, none held out")
    parser.add_argument("--threshold", type=float, help="loss of volume that counts as response (default: data set's)")
    parser.add_argument("--shuffle-labels", type=int, default=0, metavar="N", help="null check with N shuffles")
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("--epochs", type=int, default=150, help="of the network")
    parser.add_argument("--overlay", nargs="+", default=[], help="configs on top of train.json for the network")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    a = parser.parse_args()
    stop_on_terminate()
    console = Console(stderr=True)
    settings = Comparison(
        tuple(a.methods),
        a.trials,
        a.protocol,
        a.threshold,
        a.shuffle_labels,
        a.seed,
        a.epochs,
        tuple(a.overlay),
        a.workers,
    )
    try:
        table, content = compare(a.dataset, a.out, settings, console)
    except DataProblem as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the unfinished trials", file=sys.stderr)
        return 130
    show(content, table, Console(width=max(140, console.width)))
    print(f"wrote {a.out / 'table.csv'}, table.json, predictions.csv, splits.json and provenance.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
