import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from treatment_response.evaluation.baselines import BASELINES, baseline_predictions


@pytest.mark.parametrize("name", list(BASELINES))
def test_they_predict_every_lesion_from_the_other_folds(name, lesions):
    table = baseline_predictions(lesions, name)
    assert len(table) == len(lesions)
    assert table["p_response"].between(0, 1).all()
    held = lesions["fold"] == 0
    flipped = lesions.assign(label=np.where(held, 1 - lesions["label"], lesions["label"]))
    again = baseline_predictions(flipped, name)
    assert again.loc[held, "p_response"].tolist() == pytest.approx(table.loc[held, "p_response"].tolist())


def test_size_is_found_where_size_decides(lesions):
    volume = lesions["volume_ses-01_mm3"]
    table = baseline_predictions(lesions.assign(label=(volume > volume.median()).astype(int)), "size only")
    assert roc_auc_score(table["label"], table["p_response"]) > 0.97


def test_missing_dose_is_no_obstacle(lesions):
    table = baseline_predictions(lesions.assign(gradient_index=np.nan, max_dose_gy=np.nan, site=None), "clinical only")
    assert not table["p_response"].isna().any()


def test_one_class_or_one_fold_gives_the_share(lesions):
    assert set(baseline_predictions(lesions.assign(label=1), "size only")["p_response"]) == {1.0}
    table: pd.DataFrame = baseline_predictions(lesions.assign(fold=0), "size only")
    assert set(table["p_response"]) == {0.5}
