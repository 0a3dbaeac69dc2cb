"""Is the explanation right? Score every map and its controls; each lesion by a network that has not trained on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from treatment_response.commands import command
from treatment_response.evaluation.explanations.plan import Scoring
from treatment_response.evaluation.explanations.score import score_explanations
from treatment_response.evaluation.explanations.tables import show


@command("the same command goes on with the unfinished networks")
def main() -> int:
    """Read the arguments, make one call, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="prepared data set")
    parser.add_argument(
        "--run",
        type=Path,
        nargs="+",
        required=True,
        help="run, cross-validation or folder of a comparison's trials; further ones for agreement after retraining",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the scores")
    parser.add_argument("--truth", type=Path, help="truth/ of the synthetic cohort, for localisation")
    parser.add_argument("--shuffled", type=Path, help="run trained on shuffled labels, a control")
    parser.add_argument("--config", nargs="+", default=[], help="configs of the run (default: the bundle's train.json)")
    parser.add_argument(
        "--measures",
        nargs="+",
        default=[],
        help="groups of measures (place faithfulness stability randomisation), of explanations that a config names; "
        "all by default. Place is quick, the others compute maps about thirty times per case",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random maps, orders, noise and initialisations")
    a = parser.parse_args()
    console = Console(stderr=True)
    scoring = Scoring(a.dataset, a.run, a.truth, a.shuffled, a.config, a.seed, a.measures)
    summary, content = score_explanations(scoring, a.out, console)
    show(summary, content, Console(width=max(160, console.width)))
    print(f"wrote {a.out / 'scores.csv'}, summary.csv and explanations.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
