"""Write the report of a run, of comparisons, or of both: one self-contained page, with tables and figures beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from treatment_response.commands import command
from treatment_response.report.from_folders import report_from_folders


@command("the same command writes the report anew")
def main() -> int:
    """Read the arguments, make one call, say where the page is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared data set")
    parser.add_argument(
        "--run",
        type=Path,
        nargs="+",
        default=[],
        help="training run after evaluation, or cross-validation; and its like on shuffled labels, as a control",
    )
    parser.add_argument("--comparison", type=Path, nargs="+", default=[], help="folders of compare.py, main one first")
    parser.add_argument("--explanations", type=Path, help="folder of score_explanations.py")
    parser.add_argument(
        "--cams",
        type=Path,
        help="inference folder: linked, and for other classes than response of lesions shown in three planes",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for report.html, tables/ and figures/")
    a = parser.parse_args()
    page = report_from_folders(a.dataset, a.run, a.out, a.cams, a.comparison, a.explanations)
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
