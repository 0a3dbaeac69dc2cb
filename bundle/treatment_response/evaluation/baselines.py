"""What can be predicted without looking at the picture: from the lesion's size, or from clinical facts alone.

They stand beside the network in every table: a network that does not beat them has found nothing new. Only facts known
before treatment enter.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

BASELINES = {
    "size only": ["volume_ses-01_mm3"],
    "clinical only": ["max_dose_gy", "prescription_gy", "gradient_index", "lesions_of_patient", "site"],
}


def baseline_predictions(lesions: pd.DataFrame, name: str) -> pd.DataFrame:
    """Held-out P(response) of a logistic regression on a few columns, with the data set's own folds.

    Args:
        lesions: rows of ``lesions.csv``. A column ``lesions_of_patient`` counts lesions without a label too; without it
            the rows are counted.
        name: a key of `BASELINES`.

    Returns:
        ``subject, lesion, label, p_response``; a lesion whose fold leaves only one class to train on gets that class's
        share of the training lesions.
    """
    table = lesions.copy()
    if "lesions_of_patient" not in table:
        table["lesions_of_patient"] = table.groupby("subject")["lesion"].transform("size")
    table["site"] = table["site"].fillna("not stated").astype(str)
    columns = [column for column in BASELINES[name] if table[column].notna().any()]
    numbers = [column for column in columns if column != "site"]
    # log1p because volumes span three decades; it leaves doses and counts in order.
    scaled = make_pipeline(SimpleImputer(strategy="median"), FunctionTransformer(np.log1p), StandardScaler())
    parts = [("numbers", scaled, numbers)]
    if "site" in columns:
        parts.append(("site", OneHotEncoder(handle_unknown="ignore"), ["site"]))
    table["p_response"] = float(table["label"].mean())
    for fold in table["fold"].unique():
        held = table["fold"] == fold
        train = table[~held]
        if train["label"].nunique() < 2:
            table.loc[held, "p_response"] = float(train["label"].mean()) if len(train) else 0.5
            continue
        model = make_pipeline(ColumnTransformer(parts), LogisticRegression(max_iter=1000))
        model.fit(train[columns], train["label"])
        table.loc[held, "p_response"] = model.predict_proba(table.loc[held, columns])[:, 1]
    return table[["subject", "lesion", "label", "p_response"]]
