"""What can be predicted without looking at the picture: from the lesion's size, or from clinical facts alone.

They stand beside the network in every table: a network that does not beat them has found nothing new. They are the
methods of that name of a comparison: the same features, all known before treatment and none of them the site, and the
same model.
"""

from __future__ import annotations

import pandas as pd

from treatment_response.cases.samples import MRI1
from treatment_response.evaluation.comparison.feature_methods import FEATURE_METHODS, fit_trial
from treatment_response.evaluation.comparison.measurements import Seen
from treatment_response.evaluation.comparison.splits import Split
from treatment_response.features.clinical import clinical_features_of
from treatment_response.features.table import LESION_KEY
from treatment_response.metrics.scores import HELD_OUT


def baseline_predictions(lesions: pd.DataFrame, method: str) -> pd.DataFrame:
    """Held-out P(response) of a baseline, with the data set's own folds.

    Args:
        lesions: rows of ``lesions.csv``, see `clinical_features_of`.
        method: of `comparison.methods.BASELINES`.

    Returns:
        ``subject, lesion, label, p_response``; a lesion whose fold leaves only one class to train on gets that class's
        share of the training lesions.
    """
    seen = Seen({MRI1: clinical_features_of(lesions).values})
    rows = lesions.assign(has_mri2=False)
    table = lesions[[*LESION_KEY, "label"]].assign(p_response=float("nan")).set_index(LESION_KEY)
    for fold in lesions["fold"].unique():
        split = Split(0, 0, tuple(lesions.loc[lesions["fold"] == fold, "subject"].unique()))
        training = split.training(lesions)["label"]
        held = pd.MultiIndex.from_frame(split.held_out_lesions(lesions)[LESION_KEY])
        if training.nunique() < 2:
            table.loc[held, "p_response"] = float(training.mean()) if len(training) else 0.5
            continue
        predictions, _, _ = fit_trial(FEATURE_METHODS[method], split, rows, seen)
        held_out = predictions[predictions["role"] == HELD_OUT].set_index(LESION_KEY)
        table.loc[held_out.index, "p_response"] = held_out["p_response"]
    return table.reset_index()
