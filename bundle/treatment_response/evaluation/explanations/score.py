"""Score the explanations of a run on a data set: every lesion by a network that has not trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.evaluation.explanations.plan import Scoring, make_plan
from treatment_response.evaluation.explanations.run import run_parts
from treatment_response.evaluation.explanations.write import write_scores
from treatment_response.files import check_folder


def score_explanations(
    scoring: Scoring, out: Path, console: Console | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score every map and its controls; write ``scores.csv``, ``summary.csv`` and ``explanations.json``.

    Stopped at any moment, the same call goes on with the unfinished parts (a part is one network's lesions) and ends
    with the same bytes. The first network that has not trained on a lesion explains it; further ones (up to
    `plan.RETRAINED`) tell how much retraining changes the map.

    Args:
        scoring: what is scored. out: gets the three files. console: where the progress goes.

    Returns:
        ``summary.csv``, and the content of ``explanations.json``.

    Raises:
        DataProblem: the data set, a run or the truth cannot be used.
    """
    check_folder(out)
    plan = make_plan(scoring)
    return write_scores(plan, run_parts(plan, out, console), out)
