"""The methods that are compared: what each of them sees of a lesion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from treatment_response.features.clinical import CLINICAL_GROUP, SIZE_GROUP, clinical_features
from treatment_response.features.extraction import extract_dataset
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.radiomics import DOSE_GROUP, RADIOMICS_GROUP
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem, Problem
from treatment_response.training.samples import MRI1, MRI2

NETWORK = "cnn"
MEASURED = {
    "radiomics": (RADIOMICS_GROUP,),
    "gradient": (GRADIENT_GROUP,),
    "dose": (DOSE_GROUP,),
    "ensemble": (RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP),
}
"""Methods on features of the images, with their groups of features."""
METHODS = ("size", "clinical", *MEASURED, NETWORK)
USUAL = ("size", "clinical", "radiomics", "gradient", NETWORK)
Tables = dict[str, dict[str, pd.DataFrame]]
"""Method → session → features, index ``(subject, lesion)``."""


def check_methods(methods: Sequence[str]) -> None:
    """Refuse names that are no method, twice the same, or none.

    Raises:
        DataProblem: with the names to choose from.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        what = f"'{unknown[0]}' is no method" if unknown else "name at least one method, each once"
        raise DataProblem(Problem("--methods", what, f"choose from {', '.join(METHODS)}"))


def feature_tables(
    dataset_dir: Path, methods: Sequence[str], cache_dir: Path, processes: int = 2, console: Console | None = None
) -> Tables:
    """What the classical methods see, in MRI 1 and in MRI 2 under the same names.

    A model is fitted on MRI 1. To score MRI 2 it gets the size or the texture measured there; clinical facts known
    before treatment stay what they were.

    Raises:
        DataProblem: a lesion cannot be measured; all of them are named.
    """
    tables: Tables = {}
    facts = clinical_features(dataset_dir)
    before = facts.known_by(Known.BEFORE_TREATMENT)
    if "size" in methods:
        second = facts.values[["size.volume_mri2"]].rename(columns={"size.volume_mri2": "size.volume"})
        tables["size"] = {MRI1: before.of_groups(SIZE_GROUP).values, MRI2: second}
    if "clinical" in methods:
        table = before.of_groups(CLINICAL_GROUP).values
        tables["clinical"] = {MRI1: table, MRI2: table}
    measured = [method for method in methods if method in MEASURED]
    if measured:
        groups = sorted({group for method in measured for group in MEASURED[method]})
        everything = extract_dataset(dataset_dir, (MRI1, MRI2), cache_dir, processes, groups, console)
        for method in measured:
            mine = everything.of_groups(*MEASURED[method])
            tables[method] = {session: mine.at(session).values for session in (MRI1, MRI2)}
    return tables
