"""Learning curve on synthetic lesions: one fixed test set of other lesions, against the ceiling of a slice model."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthetic.ceilings import CEILING_LESIONS
from synthetic.learning_curve import SIZES, TEST_LESIONS, learning_curve
from treatment_response.commands import command


@command("the same command goes on from the last checkpoints")
def main() -> int:
    """Read the arguments, make one call, print the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the curve, its runs and cached lesions")
    parser.add_argument("--niche", nargs="+", choices=("texture", "intensity"), default=["texture"])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="training lesions")
    parser.add_argument("--test-lesions", type=int, default=TEST_LESIONS)
    parser.add_argument("--ceiling-lesions", type=int, default=CEILING_LESIONS, help="that the ceiling is of")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    a = parser.parse_args()
    table = learning_curve(
        a.out, a.niche, a.sizes, a.test_lesions, a.epochs, a.workers, ceiling_lesions=a.ceiling_lesions
    )
    for row in table.itertuples():
        print(
            f"{row.niche:9} {row.lesions:4} training lesions: AUC {row.auc:.3f} [{row.low:.3f}, {row.high:.3f}], "
            f"ceiling (c) {row.ceiling:.3f}"
        )
    first = table.iloc[0]
    print(f"on {first.test_lesions} other lesions of {first.test_patients} patients; 95 % intervals over patients.")
    print("Rankings on synthetic data reflect its design.")
    print(f"wrote {a.out / 'learning_curve.csv'}, .json and .png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
