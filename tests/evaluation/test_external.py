"""External validation: fitted on one data set alone, scored on the other, nobody in both."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from toy_dataset import doubt_lesions, write_toy_dataset
from treatment_response.cohort.layout import DATALIST, LESIONS
from treatment_response.evaluation.classical import build
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare, compare_external
from treatment_response.features.clinical import clinical_features
from treatment_response.problems import DataProblem
from treatment_response.report.lesions.comparisons import read_comparisons
from treatment_response.report.lesions.table_one import table_one

SETTINGS = Comparison(("size", "cnn"), least_icc=0, epochs=1, overlays=("smoke.json",), workers=1)


def with_sizes(root: Path, seed: int) -> Path:
    """Lesions that respond are larger, more or less."""
    table = pd.read_csv(root / LESIONS)
    drawn = pd.Series(range(len(table))).sample(frac=1, random_state=seed).to_numpy()
    table["volume_ses-01_mm3"] = 300 + 200 * table["label"] + 25 * drawn
    table.to_csv(root / LESIONS, index=False)
    return root


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("external")
    training = with_sizes(write_toy_dataset(root / "there", patients=6), 0)
    scored = with_sizes(write_toy_dataset(root / "here", patients=4, folds=2, seed=9), 1)
    doubt_lesions(scored, [("sub-004", "L02")])
    return training, scored


def test_models_of_one_data_set_score_the_patients_of_another(places: tuple[Path, Path], tmp_path: Path) -> None:
    training, scored = places
    table, content = compare_external(training, scored, tmp_path / "out", SETTINGS)
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert set(predictions["role"]) == set(table["role"]) == {"external"}
    assert predictions.groupby("method").size().to_dict() == {"size": 7, "cnn": 7}
    assert not predictions["subject"].str.contains("training").any()

    features = [clinical_features(root).values[["size.volume"]] for root in (training, scored)]
    labels = [pd.read_csv(root / LESIONS).set_index(["subject", "lesion"])["label"] for root in (training, scored)]
    model = build("size", 0).fit(features[0], labels[0].loc[features[0].index].to_numpy())
    mine = predictions[predictions["method"] == "size"].set_index(["subject", "lesion"])["p_response"]
    by_hand = pd.Series(model.predict_proba(features[1])[:, 1], index=features[1].index)
    pd.testing.assert_series_equal(mine.sort_index(), by_hand.sort_index(), check_names=False, rtol=1e-6)
    area = table[(table["method"] == "size") & (table["score"] == "auc") & (table["finding"] == "response")]
    truth = labels[1].loc[by_hand.index]
    assert area["estimate"].item() == pytest.approx(roc_auc_score(truth, by_hand))
    assert content["calibration"]["size"]["brier"]["estimate"] == pytest.approx(brier_score_loss(truth, by_hand))

    unlabelled = pd.read_csv(tmp_path / "out" / "unlabelled_predictions.csv")
    assert set(zip(unlabelled["subject"], unlabelled["lesion"], strict=True)) == {("sub-004", "L02")}
    assert set(content["doubtful"]["auc"]) == {"size", "cnn"}  # one of eight is many
    assert any("fitted on all 12 lesions of 6 patients" in note for note in content["notes"])
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert (record["trained_on"]["lesions"], record["data_set"]["lesions"]) == (12, 7)

    (one,) = read_comparisons([tmp_path / "out"], scored)
    assert one.own
    assert "external validation of models trained on toy" in one.title
    assert "External validation: MRI 1 of another data set's patients" in table_one(one, "external", "response").caption
    with pytest.raises(DataProblem, match=r"the folder was made with another .*protocol"):
        compare(training, tmp_path / "out", SETTINGS)


def test_data_sets_that_do_not_go_together_are_refused(places: tuple[Path, Path], tmp_path: Path) -> None:
    training, scored = places

    def refused(other: Path, message: str, settings: Comparison = SETTINGS) -> None:
        with pytest.raises(DataProblem, match=message):
            compare_external(training, other, tmp_path / "out", settings)
        assert not (tmp_path / "out").exists()

    refused(training, "it is the data set that is trained on")
    refused(scored, "delta sees MRI 2", replace(SETTINGS, methods=("delta",)))
    refused(scored, "neither shuffles nor another protocol", replace(SETTINGS, shuffles=2))
    other = shutil.copytree(scored, tmp_path / "other")
    content = json.loads((other / DATALIST).read_text())
    (other / DATALIST).write_text(json.dumps({**content, "response_threshold": 0.3}))
    refused(other, "more than 30% there and a loss of more than 20% in the training data set; give --threshold")
    four = {"names": ["PD", "SD", "PR", "CR"], "finding": "PD", "primary_metric": "balanced_accuracy"}
    (other / DATALIST).write_text(json.dumps({**content, "classes": four}))
    refused(other, "its classes are PD, SD, PR, CR, those of the training data set non-response, response")
    (other / DATALIST).write_text(json.dumps(content))
    image = "sub-002/ses-01/anat/sub-002_ses-01_ce-gadolinium_T1w.nii.gz"
    shutil.copy(training / image.replace("sub-002", "sub-005"), other / image)
    refused(other, "sub-002 has the same MRI 1 as sub-005 of the training data set, so a person is in both")
