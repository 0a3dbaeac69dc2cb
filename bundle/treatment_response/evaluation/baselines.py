"""What can be predicted without looking at the picture: from the lesion's size, or from clinical facts alone.

They stand beside the network in every table: a network that does not beat them has found nothing new. They are the
methods of that name of a comparison: the same features, all known before treatment and none of them the site, and the
same model.
"""

from __future__ import annotations

import pandas as pd

from treatment_response.evaluation.classical import build
from treatment_response.features.clinical import clinical_features_of
from treatment_response.features.table import LESION_KEY

BASELINES = ("size", "clinical")
"""Of `classical.METHODS`."""


def baseline_predictions(lesions: pd.DataFrame, method: str) -> pd.DataFrame:
    """Held-out P(response) of a baseline, with the data set's own folds.

    Args:
        lesions: rows of ``lesions.csv``, see `clinical_features_of`.
        method: of `BASELINES`.

    Returns:
        ``subject, lesion, label, p_response``; a lesion whose fold leaves only one class to train on gets that class's
        share of the training lesions.
    """
    features = clinical_features_of(lesions).values.loc[pd.MultiIndex.from_frame(lesions[LESION_KEY])]
    label = lesions["label"].to_numpy()
    table = lesions[[*LESION_KEY, "label"]].assign(p_response=float(label.mean()))
    for fold in lesions["fold"].unique():
        held = (lesions["fold"] == fold).to_numpy()
        if len(set(label[~held])) < 2:
            table.loc[held, "p_response"] = float(label[~held].mean()) if (~held).any() else 0.5
            continue
        model = build(method, 0).fit(features[~held], label[~held])
        table.loc[held, "p_response"] = model.predict_proba(features[held])[:, 1]
    return table
