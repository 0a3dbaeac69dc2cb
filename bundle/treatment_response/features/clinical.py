"""What is known of a lesion without looking at its texture: size, plan, the patient's number of lesions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.cohort.layout import LESIONS
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
_LESIONS = Feature("clinical.lesions_of_patient", CLINICAL_GROUP)
_CHANGE = Feature("size.change_to_mri2", SIZE_GROUP, Known.AFTER_MRI_2)
FEATURES = (*_BY_COLUMN.values(), _CHANGE, _LESIONS)


def clinical_features(dataset_dir: str | Path) -> FeatureTable:
    """Size and clinical variables from ``lesions.csv``, one row per lesion.

    The site is left out on purpose: a model that uses it has learnt where a patient was treated. Nothing of the
    follow-up is read.

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
    table[_CHANGE.name] = table["size.volume_mri2"] / table["size.volume"] - 1.0
    table[_LESIONS.name] = table.groupby("subject")["size.volume"].transform("size").astype(np.float64)
    return FeatureTable(table[[feature.name for feature in FEATURES]].sort_index(), FEATURES)
