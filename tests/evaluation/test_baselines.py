import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from treatment_response.evaluation.baselines import baseline_predictions
from treatment_response.evaluation.comparison.methods import BASELINES
from treatment_response.features.clinical import clinical_features_of


@pytest.mark.parametrize("name", BASELINES)
def test_they_see_neither_the_site_nor_what_came_later_nor_their_own_fold(name, lesions):
    table = baseline_predictions(lesions, name)
    assert table["p_response"].between(0, 1).all()
    told = lesions.assign(site=np.where(lesions["label"] == 1, "A", "B"), **{"volume_ses-02_mm3": lesions["label"] + 1})
    held = lesions["fold"] == 0
    told = told.assign(
        label=np.where(held, 1 - lesions["label"], lesions["label"]), **{"days_ses-02": lesions["label"]}
    )
    again = baseline_predictions(told, name)
    np.testing.assert_allclose(again.loc[held, "p_response"], table.loc[held, "p_response"])


def test_size_is_found_where_size_decides(lesions):
    volume = lesions["volume_ses-01_mm3"]
    table = baseline_predictions(lesions.assign(label=(volume > volume.median()).astype(int)), "size")
    assert roc_auc_score(table["label"], table["p_response"]) > 0.97


def test_missing_dose_is_no_obstacle_and_doubtful_lesions_count(lesions):
    table = baseline_predictions(lesions.assign(gradient_index=np.nan, max_dose_gy=np.nan, site=None), "clinical")
    assert not table["p_response"].isna().any()
    counted = clinical_features_of(lesions.assign(lesions_of_patient=7)).values
    assert set(counted["clinical.lesions_of_patient"]) == {7.0}


def test_one_class_or_one_fold_gives_the_share(lesions):
    assert set(baseline_predictions(lesions.assign(label=1), "size")["p_response"]) == {1.0}
    table: pd.DataFrame = baseline_predictions(lesions.assign(fold=0), "size")
    assert set(table["p_response"]) == {0.5}
