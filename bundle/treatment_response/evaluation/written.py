"""Read the records and tables that earlier commands wrote, their faults told in a sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.problems import DataProblem, Problem

KEY = {"subject": str, "lesion": str, "case": str}
TEST_PREDICTIONS, TEST_METRICS = "test_predictions.csv", "test_metrics.json"
"""What a cross-validation's folder holds of the patients kept apart."""
EXTERNAL_VALIDATION = "external.json"
"""What an external validation's folder holds besides ``predictions.csv``."""
ENSEMBLE = "ensemble/model.pt"
"""Where its networks together lie."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file with a mapping; empty where there is no file.

    Raises:
        DataProblem: it is no JSON.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataProblem(Problem(str(path), f"no valid JSON ({error})", "write it again")) from None
    return content if isinstance(content, dict) else {}


def read_table(path: Path, columns: Sequence[str], remedy: str, comment: str | None = None) -> pd.DataFrame:
    """A CSV with at least these columns and one row; ids are text.

    Raises:
        DataProblem: it is no such table; `remedy` says what to do then.
    """
    try:
        table = pd.read_csv(path, dtype=KEY, comment=comment)
    except ValueError as error:
        raise DataProblem(Problem(str(path), f"no valid table ({str(error).splitlines()[0]})", remedy)) from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataProblem(Problem(str(path), f"columns missing: {', '.join(missing)}", remedy))
    if table.empty:
        raise DataProblem(Problem(str(path), "it has no rows", remedy))
    return table
