"""What each part of a design brings to the prediction and to its map, on seeds that are not reported."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthetic.ablation import FOLDS, LESIONS, Settings, ablation
from synthetic.designs import DESIGNS
from treatment_response.commands import command


@command("the same command goes on from the last checkpoints")
def main() -> int:
    """Read the arguments, make one call, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table, its runs and cached lesions")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103], help="of the cohorts (not 0)")
    parser.add_argument("--niche", nargs="+", choices=("texture", "intensity"), default=["texture", "intensity"])
    parser.add_argument("--designs", nargs="+", help=f"default: all of {', '.join(d.name for d in DESIGNS)}")
    parser.add_argument("--lesions", type=int, default=LESIONS, help="per cohort")
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--epochs", type=int, help="of every network (default: what its config says)")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each (default 2)")
    a = parser.parse_args()
    designs = tuple(a.designs) if a.designs else None
    settings = Settings(tuple(a.seeds), tuple(a.niche), designs, a.lesions, a.folds, a.epochs, a.workers)
    table = ablation(a.out, settings)
    for row in table.itertuples():
        print(
            f"{row.niche:9} {row.design:20} AUC {row.auc:.3f} [{row.low:.3f}, {row.high:.3f}]  to the paper's network "
            f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]  "
            f"map {row.cam_auc:.2f} [{row.cam_low:.2f}, {row.cam_high:.2f}]  flips {row.flips:.0%}  {row.changed}"
        )
    print("Research use only. Synthetic data. Rankings on synthetic data reflect its design.")
    print(f"wrote {a.out / 'ablation.csv'}, .json and .png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
