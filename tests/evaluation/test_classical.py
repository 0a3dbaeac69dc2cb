"""The feature models: what they may see, what they find, and what they say when there is nothing to find."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from classical_tables import NOISE, halves, table
from sklearn.feature_selection import SelectKBest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from treatment_response.evaluation.classical import FEATURE_MODELS, build, chosen_features, notes
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem

SIGNAL = {
    "size": "size.volume",
    "clinical": "clinical.prescription",
    "radiomics": NOISE[7],
    "gradient": "gradient.core.magnitude.g3",
    "dose": "dose.original_firstorder_D2",
    "ensemble": "dose.original_firstorder_D2",
    "size-after-mri2": "size.volume_mri2",
    "delta": "delta.gradient.core.magnitude.g1",
    "ensemble-after-mri2": "delta.gradient.core.magnitude.g1",
}


def held_out_auc(model: Pipeline, frame: pd.DataFrame, labels: np.ndarray, seed: int) -> float:
    train, test = halves(frame, seed)
    fitted = model.fit(frame.iloc[train], labels[train])
    return float(roc_auc_score(labels[test], fitted.predict_proba(frame.iloc[test])[:, 1]))


@pytest.mark.parametrize("method", FEATURE_MODELS)
def test_a_visible_signal_is_found_and_named(method: str) -> None:
    frame, labels = table()
    frame[SIGNAL[method]] = labels + 0.15 * frame[SIGNAL[method]]
    assert held_out_auc(build(method, 0), frame, labels, 0) > 0.95
    train, _ = halves(frame)
    chosen = chosen_features(build(method, 0).fit(frame.iloc[train], labels[train]))
    assert chosen.loc[0, "feature"] == SIGNAL[method]
    assert chosen.loc[0, "weight"] > 0  # 1 is response
    assert chosen["importance"].sum() == pytest.approx(1.0)


def test_the_l1_selection_finds_it_too() -> None:
    frame, labels = table()
    frame[NOISE[7]] = 0.2 * frame[NOISE[7]] - labels
    fitted = build("radiomics", 0, selection="l1").fit(frame, labels)
    assert chosen_features(fitted).loc[0, "feature"] == NOISE[7]
    assert chosen_features(fitted).loc[0, "weight"] < 0


@pytest.mark.parametrize(("method", "trials"), [("size", 30), ("radiomics", 30), ("ensemble", 12)])
def test_labels_that_mean_nothing_give_half(method: str, trials: int) -> None:
    found = []
    for seed in range(trials):
        frame, labels = table(seed=seed)
        found.append(held_out_auc(build(method, seed), frame, labels, seed))
    error = np.std(found, ddof=1) / np.sqrt(trials)
    assert abs(np.mean(found) - 0.5) < 3 * error
    assert error < 0.06  # else the test could not fail


def test_selection_on_all_lesions_profits_and_ours_does_not() -> None:
    leaky, ours = [], []
    for seed in range(8):
        frame, labels = table(seed=100 + seed)
        train, test = halves(frame, seed)
        seen = frame[list(NOISE)].iloc[:, SelectKBest(k=10).fit(frame[list(NOISE)], labels).get_support(True)]
        svm = SVC(kernel="linear").fit(seen.iloc[train], labels[train])
        leaky.append(roc_auc_score(labels[test], svm.decision_function(seen.iloc[test])))
        ours.append(held_out_auc(build("radiomics", seed), frame, labels, seed))
    assert np.mean(leaky) > 0.75
    assert np.mean(ours) < 0.65


@pytest.mark.parametrize("selection", ["mrmr", "l1"])
def test_a_column_that_tells_the_answer_on_test_lesions_only_is_no_use(selection: str) -> None:
    frame, labels = table()
    train, test = halves(frame)
    honest = build("radiomics", 0, selection=selection).fit(frame.iloc[train], labels[train])
    leak = next(name for name in honest["correlation"].kept_ if name not in set(chosen_features(honest)["feature"]))
    planted = frame.copy()
    planted.iloc[test, planted.columns.get_loc(leak)] = 10.0 * labels[test]
    leaky = build("radiomics", 0, selection=selection).fit(planted, labels)
    ours = build("radiomics", 0, selection=selection).fit(planted.iloc[train], labels[train])
    assert leak in set(chosen_features(leaky)["feature"])
    assert roc_auc_score(labels[test], leaky.predict_proba(planted.iloc[test])[:, 1]) > 0.95
    pd.testing.assert_frame_equal(chosen_features(honest), chosen_features(ours))
    np.testing.assert_array_equal(honest.predict_proba(frame.iloc[test]), ours.predict_proba(planted.iloc[test]))


def test_a_lesion_s_prediction_does_not_depend_on_the_lesions_beside_it() -> None:
    frame, labels = table()
    train, test = halves(frame)
    fitted = build("ensemble", 0).fit(frame.iloc[train], labels[train])
    together = fitted.predict_proba(frame.iloc[test])
    alone = np.concatenate([fitted.predict_proba(frame.iloc[[i]]) for i in test])
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize("method", ["radiomics", "ensemble"])
def test_the_same_seed_gives_the_same_numbers(method: str) -> None:
    frame, labels = table()
    first, second = (build(method, 3).fit(frame, labels).predict_proba(frame) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", [name for name, m in FEATURE_MODELS.items() if m.known is Known.BEFORE_TREATMENT])
def test_nothing_known_later_enters_a_model_before_treatment(method: str) -> None:
    frame, labels = table()
    frame = frame.join(frame[[*NOISE[:3], "gradient.core.magnitude.g0"]].add_prefix("mri2."))
    late = [c for c in frame if c.startswith(("delta", "mri2")) or c in ("size.volume_mri2", "clinical.days_to_mri2")]
    frame[late] = np.tile(labels[:, None], len(late)) + 0.01 * frame[late]  # all of it would give the answer away
    fitted = build(method, 0).fit(frame, labels)
    assert not set(fitted["columns"].kept_) & set(late)
    assert not set(chosen_features(fitted)["feature"]) & set(late)


def test_columns_of_mri_1_may_carry_its_prefix() -> None:
    frame, labels = table()
    fitted = build("gradient", 0).fit(frame.add_prefix("mri1."), labels)
    assert fitted["columns"].kept_ == [f"mri1.gradient.core.magnitude.g{i}" for i in range(20)]


def test_missing_values_are_filled_from_training_lesions() -> None:
    frame, labels = table()
    frame[NOISE[7]] = labels + 0.15 * frame[NOISE[7]]
    frame[NOISE[9]] = np.nan
    frame.iloc[::7, frame.columns.get_loc(NOISE[7])] = np.nan
    train, test = halves(frame)
    fitted = build("radiomics", 0).fit(frame.iloc[train], labels[train])
    medians = fitted["fill"].medians_
    assert medians[NOISE[7]] == frame.iloc[train][NOISE[7]].median()
    assert NOISE[9] not in fitted["fill"].kept_
    assert np.isfinite(fitted.predict_proba(frame.iloc[test])).all()


def test_of_features_that_say_the_same_one_stays() -> None:
    frame, labels = table()
    frame[NOISE[5]] = np.exp(frame[NOISE[2]])  # the same order
    fitted = build("radiomics", 0).fit(frame, labels)
    assert NOISE[2] in fitted["correlation"].kept_
    assert NOISE[5] not in fitted["correlation"].kept_


def test_probabilities_are_calibrated_on_lesions_that_the_svm_did_not_see() -> None:
    # 300 columns of noise: whoever calibrates on the training decisions is sure of everything.
    frame, labels = table()
    train, test = halves(frame)
    p = build("radiomics", 0).fit(frame.iloc[train], labels[train]).predict_proba(frame.iloc[test])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.abs(p[:, 1] - 0.5).max() < 0.45


@pytest.mark.parametrize("method", ["size", "radiomics", "ensemble"])
def test_constant_features_give_the_prevalence_and_say_so(method: str) -> None:
    frame, _ = table()
    frame.loc[:, :] = 3.0
    labels = (np.arange(len(frame)) % 3 == 0).astype(int)
    fitted = build(method, 0).fit(frame, labels)
    np.testing.assert_allclose(fitted.predict_proba(frame)[:, 1], labels.mean())
    assert "no feature was left" in notes(fitted)[0]
    assert chosen_features(fitted).empty


def test_missing_everywhere_gives_the_prevalence() -> None:
    frame, labels = table()
    frame.loc[:, [c for c in frame if c.startswith("dose")]] = np.nan
    fitted = build("dose", 0).fit(frame, labels)
    np.testing.assert_allclose(fitted.predict_proba(frame)[:, 1], labels.mean())


@pytest.mark.parametrize("lesions", [2, 3, 4, 6, 9])
@pytest.mark.parametrize("method", ["size", "radiomics", "ensemble"])
def test_a_handful_of_lesions_gives_probabilities(method: str, lesions: int) -> None:
    frame, _ = table(lesions)
    labels = np.arange(lesions) % 2
    fitted = build(method, 0).fit(frame, labels)
    p = fitted.predict_proba(frame)[:, 1]
    assert np.isfinite(p).all()
    assert ((p > 0) & (p < 1)).all()
    if lesions < 4:
        assert "one training lesion in a class" in notes(fitted)[0]


def test_a_group_that_is_not_there_is_named() -> None:
    frame, labels = table()
    without = frame[[c for c in frame if not c.startswith("dose")]]
    assert "no column of dose" in notes(build("ensemble", 0).fit(without, labels))[0]
    with pytest.raises(DataProblem, match="no column of dose known before treatment; measure"):
        build("dose", 0).fit(without, labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones(69), "both classes, all 69 are response"),
        (np.zeros(69), "all 69 are non-response"),
        (np.arange(69) % 3, "neither 0 nor 1"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataProblem, match=message):
        build("radiomics", 0).fit(table()[0], labels)


def test_wrong_choices_and_tables_are_refused() -> None:
    frame, labels = table()
    with pytest.raises(DataProblem, match="svm is unknown; choose from size, clinical"):
        build("svm", 0)
    with pytest.raises(DataProblem, match="lasso is unknown; choose from mrmr, l1"):
        build("radiomics", 0, selection="lasso")
    with pytest.raises(DataProblem, match="without names"):
        build("radiomics", 0).fit(frame.to_numpy(), labels)
    fitted = build("gradient", 0).fit(frame, labels)
    with pytest.raises(DataProblem, match=r"gradient\.core\.magnitude\.g0 was there in training"):
        fitted.predict_proba(frame.drop(columns="gradient.core.magnitude.g0"))
