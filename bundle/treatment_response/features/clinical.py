"""What is known of a lesion without looking at its texture: size, plan, the patient's number of lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.cohort.layout import LESIONS, read_volume
from treatment_response.features.table import LESION_KEY, Feature, FeatureTable, Known
from treatment_response.problems import DataProblem, Problem

SIZE_GROUP, CLINICAL_GROUP = "size", "clinical"
_BY_COLUMN = {
    "volume_ses-01_mm3": Feature("size.volume", SIZE_GROUP, unit="mm³"),
    "volume_ses-02_mm3": Feature("size.volume_mri2", SIZE_GROUP, Known.AFTER_MRI_2, "mm³"),
    "prescription_gy": Feature("clinical.prescription", CLINICAL_GROUP, unit="Gy"),
    "max_dose_gy": Feature("clinical.max_dose", CLINICAL_GROUP, unit="Gy"),
    "gradient_index": Feature("clinical.gradient_index", CLINICAL_GROUP),
    "days_ses-02": Feature("clinical.days_to_mri2", CLINICAL_GROUP, Known.AFTER_MRI_2, "days"),
}
COUNT = "lesions_of_patient"
"""Column of a lesion table: lesions of the patient, those without a label too."""
_LESIONS = Feature("clinical.lesions_of_patient", CLINICAL_GROUP)
_CHANGE = Feature("size.change_to_mri2", SIZE_GROUP, Known.AFTER_MRI_2)
FEATURES = (*_BY_COLUMN.values(), _CHANGE, _LESIONS)


def clinical_features(dataset_dir: str | Path, unlabelled: Sequence[Mapping[str, Any]] = ()) -> FeatureTable:
    """Size and clinical variables from ``lesions.csv``, one row per lesion.

    The site is left out on purpose: a model that uses it has learnt where a patient was treated. Nothing of the
    follow-up is read.

    Args:
        dataset_dir: a prepared data set.
        unlabelled: MRI 1 of the lesions without a label, as `cohort.dataset.load_datalist` gives them. Each gets a row
            after the others, and counts among its patient's lesions. It may hold columns of ``lesions.csv``. Without a
            volume the voxels of its mask are counted; other facts are then missing.

    Raises:
        DataProblem: the table is missing, lacks a column or holds text where a number belongs.
    """
    path = Path(dataset_dir) / LESIONS
    try:
        rows = pd.read_csv(path, usecols=[*LESION_KEY, *_BY_COLUMN], dtype=dict.fromkeys(LESION_KEY, str))
        table = rows.set_index(LESION_KEY).astype(float).rename(columns={c: f.name for c, f in _BY_COLUMN.items()})
    except FileNotFoundError:
        raise DataProblem(Problem("data set", f"{LESIONS} is missing", "prepare the data set again")) from None
    except ValueError as error:
        raise DataProblem(Problem("data set", f"{LESIONS} cannot be used ({error})", "prepare it again")) from None
    if unlabelled:
        extra = pd.DataFrame([_facts_of(entry) for entry in unlabelled]).set_index(LESION_KEY).astype(float)
        table = pd.concat([table, extra.reindex(columns=table.columns)])
    return _with_derived(table)


def clinical_features_of(lesions: pd.DataFrame) -> FeatureTable:
    """`clinical_features` of rows of ``lesions.csv`` that were read already.

    Args:
        lesions: a column ``lesions_of_patient`` counts lesions without a label too; without it the rows are counted.
    """
    renamed = {column: feature.name for column, feature in _BY_COLUMN.items()} | {COUNT: _LESIONS.name}
    table = lesions.set_index(LESION_KEY).rename(columns=renamed)
    return _with_derived(table[[name for name in renamed.values() if name in table]].astype(float))


def _with_derived(table: pd.DataFrame) -> FeatureTable:
    table = table.assign(**{_CHANGE.name: table["size.volume_mri2"] / table["size.volume"] - 1.0})
    if _LESIONS.name not in table:
        counts = table.groupby("subject")["size.volume"].transform("size")
        table = table.assign(**{_LESIONS.name: counts.astype(np.float64)})
    return FeatureTable(table[[feature.name for feature in FEATURES]].sort_index(), FEATURES)


def lacks_facts(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a lesion without a label lacks its volume, its dose or its prescription."""
    early = [column for column, feature in _BY_COLUMN.items() if feature.known is Known.BEFORE_TREATMENT]
    return any(column not in entry for column in early)


def _facts_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a lesion without a label; only what is known before treatment."""
    early = {c: feature.name for c, feature in _BY_COLUMN.items() if feature.known is Known.BEFORE_TREATMENT}
    facts = {name: entry.get(column) for column, name in early.items()}
    if facts["size.volume"] is None:
        mask = read_volume(Path(entry["mask"]), f"{entry['subject']} {entry['session']} {entry['lesion']} mask")
        voxel_mm3 = abs(float(np.linalg.det(mask.affine[:3, :3])))
        facts["size.volume"] = float(np.count_nonzero(mask.array)) * voxel_mm3
    return {**{key: entry[key] for key in LESION_KEY}, **facts}
