"""Audit the synthetic cohort's design: ceilings, shortcuts that must tell nothing, and a control that must."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from synthetic.audit import TOLERANCE, measure_lesions, positive_control, shortcut_aucs
from synthetic.ceilings import ceilings
from treatment_response.cohort.synthetic.lesion import NICHE_KINDS
from treatment_response.commands import command


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; exit status 1 if a shortcut is outside 0.5 ± 0.03."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lesions", type=int, default=5000, help="rendered for the shortcut audit")
    parser.add_argument(
        "--ceiling-lesions", type=int, default=20_000, help="simulated for the ceilings; 0 leaves them out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--niche", choices=NICHE_KINDS, default="texture")
    parser.add_argument("--non-response", type=float, default=0.35)
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    options = parser.parse_args(arguments)
    console = Console()
    found = measure_lesions(options.lesions, options.seed, options.niche, options.non_response)
    aucs = shortcut_aucs(found)
    failed = [name for name, auc in aucs.items() if abs(auc - 0.5) > TOLERANCE]
    table = Table("shortcut", "AUC (response)", f"within 0.5 ± {TOLERANCE}", title=f"{len(found)} lesions")
    for name, auc in aucs.items():
        table.add_row(name, f"{auc:.3f}", "no" if name in failed else "yes")
    console.print(table)
    control = positive_control(found)
    console.print(f"positive control, five simple image features and logistic regression: AUC {control:.3f}")
    result = {
        "lesions": len(found),
        "seed": options.seed,
        "niche": options.niche,
        "non_response": float(1 - found["label"].mean()),
        "mean_p_response": float(found["p_response"].mean()),
        "shortcuts": aucs,
        "failed": failed,
        "positive_control": control,
    }
    if options.ceiling_lesions:
        result["ceilings"] = ceilings(options.ceiling_lesions, options.seed, options.non_response)
        console.print("ceilings (AUC): " + ", ".join(f"{key} {value:.4g}" for key, value in result["ceilings"].items()))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if failed:
        print(f"shortcuts outside 0.5 ± {TOLERANCE}: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
