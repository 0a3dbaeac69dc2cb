"""Audit a synthetic cohort's design: ceilings, shortcuts that must tell nothing, and a control that must."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from synthetic import rice_audit
from synthetic.audit import TOLERANCE, measure_lesions, positive_control, shortcut_aucs
from synthetic.ceilings import CEILING_LESIONS, ceilings
from treatment_response.cohort.synthetic.lesion import NICHE_KINDS
from treatment_response.cohort.synthetic.rice.strengths import SETTINGS
from treatment_response.commands import check_options, command

OPTIONS = {"pulsar": ("ceiling_lesions", "niche", "non_response"), "rice": ("strengths",)}
"""What not every system's cohort has."""


@command("nothing was written")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; exit status 1 if a shortcut tells the label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=OPTIONS, default="pulsar", help="whose cohort (pulsar)")
    parser.add_argument("--lesions", type=int, help="rendered for the audit (5000; 2000 of rice, one per patient)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    pulsar = parser.add_argument_group("of pulsar")
    pulsar.add_argument("--ceiling-lesions", type=int, help="simulated for the ceilings (20000); 0 leaves them out")
    pulsar.add_argument("--niche", choices=NICHE_KINDS, help="(texture)")
    pulsar.add_argument("--non-response", type=float, help="share of it (0.35)")
    rice = parser.add_argument_group("of rice")
    rice.add_argument("--strengths", choices=SETTINGS, help="(default)")
    options = parser.parse_args(arguments)
    check_options(options, OPTIONS)
    console = Console()
    result = {"pulsar": _audit_pulsar, "rice": _audit_rice}[options.system](options, console)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["failed"]:
        print(f"shortcuts outside 0.5 ± {result['tolerance']:.3f}: {', '.join(result['failed'])}", file=sys.stderr)
    return 1 if result["failed"] else 0


def _audit_pulsar(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    niche, non_response = options.niche or "texture", options.non_response or 0.35
    found = measure_lesions(options.lesions or 5000, options.seed, niche, non_response)
    aucs = shortcut_aucs(found)
    result = {
        "lesions": len(found),
        "seed": options.seed,
        "niche": niche,
        "non_response": float(1 - found["label"].mean()),
        "mean_p_response": float(found["p_response"].mean()),
        "shortcuts": aucs,
        "tolerance": TOLERANCE,
        "failed": _failed(aucs, TOLERANCE),
        "positive_control": positive_control(found),
    }
    _show(console, f"{len(found)} lesions", "AUC (response)", aucs, TOLERANCE)
    control = result["positive_control"]
    console.print(f"positive control, five simple image features and logistic regression: AUC {control:.3f}")
    ceiling_lesions = CEILING_LESIONS if options.ceiling_lesions is None else options.ceiling_lesions
    if ceiling_lesions:
        result["ceilings"] = ceilings(ceiling_lesions, options.seed, non_response)
        console.print("ceilings (AUC): " + ", ".join(f"{key} {value:.4g}" for key, value in result["ceilings"].items()))
    return result


def _audit_rice(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    setting = options.strengths or "default"
    found = rice_audit.measure_patients(options.lesions or 2000, options.seed, setting)
    limit = rice_audit.tolerance(found)
    aucs, others = rice_audit.nuisance_aucs(found), rice_audit.other_aucs(found)
    _show(console, f"{len(found)} patients: must not tell the label", "AUC (recurrence)", aucs, limit)
    _show(console, "may tell it", "AUC (recurrence)", others, None)
    return {
        "patients": len(found),
        "seed": options.seed,
        "strengths": setting,
        "shortcuts": aucs,
        "tolerance": limit,
        "failed": _failed(aucs, limit),
        "others": others,
    }


def _failed(aucs: dict[str, float], tolerance: float) -> list[str]:
    return [name for name, auc in aucs.items() if abs(auc - 0.5) > tolerance]


def _show(console: Console, title: str, heading: str, aucs: dict[str, float], tolerance: float | None) -> None:
    columns = [heading] if tolerance is None else [heading, f"within 0.5 ± {tolerance:.3f}"]
    table = Table("shortcut" if tolerance else "", *columns, title=title)
    for name, auc in aucs.items():
        verdict = [] if tolerance is None else ["no" if abs(auc - 0.5) > tolerance else "yes"]
        table.add_row(name, f"{auc:.3f}", *verdict)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
