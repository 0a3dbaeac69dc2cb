"""Score the explanations of a run on a data set: every lesion by a network that has not trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cases.explanations import InRegion
from treatment_response.evaluation.explanations.case_plan import make_case_plan
from treatment_response.evaluation.explanations.case_run import score_cases
from treatment_response.evaluation.explanations.models import run_configs
from treatment_response.evaluation.explanations.plan import Scoring, make_plan
from treatment_response.evaluation.explanations.run import run_parts
from treatment_response.evaluation.explanations.write import write_scores
from treatment_response.files import check_folder


def score_explanations(
    scoring: Scoring, out: Path, console: Console | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score every map and its controls; write ``scores.csv``, ``summary.csv`` and ``explanations.json``.

    The config's ``explanation`` says which maps: `CellCams` are scored cell by cell with all that is known of a lesion,
    any others over their region (`case_scores`). Stopped at any moment, the same call goes on with the unfinished parts
    (one network's lesions, or one case) and ends with the same bytes. The first network that has not trained on a
    lesion or case explains it; further ones (up to `plan.RETRAINED`) tell how much retraining changes the map.

    Args:
        scoring: what is scored. out: gets the three files. console: where the progress goes.

    Returns:
        ``summary.csv``, and the content of ``explanations.json``.

    Raises:
        DataProblem: the data set, a run or the truth cannot be used.
    """
    check_folder(out)
    parser = run_configs(scoring.config_files, scoring.dataset_dir)
    explanation = parser.get_parsed_content("explanation") if "explanation" in parser else None
    if isinstance(explanation, InRegion):
        return score_cases(make_case_plan(scoring, parser, explanation), out, console)
    plan = make_plan(scoring)
    return write_scores(plan, run_parts(plan, out, console), out)
