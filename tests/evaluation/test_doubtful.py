"""Lesions in doubt: their count by lesions per patient, and AUC ranges of planted predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from treatment_response.cohort.doubtful_counts import count_doubtful
from treatment_response.metrics.bootstrap import auc, patient_bootstrap
from treatment_response.metrics.doubtful import auc_range, auc_ranges, doubtful_notes, doubtful_of


def labelled(p: list[float], labels: list[int], model: int = 0, **columns: object) -> pd.DataFrame:
    rows = {"subject": [f"sub-{n}" for n in range(len(p))], "lesion": "L01", "session": "ses-01"}
    return pd.DataFrame(rows).assign(role="heldout_mri1", fold=0, model=model, label=labels, p_response=p, **columns)


def doubtful(p: list[float], model: int = 0, first: int = 100, **columns: object) -> pd.DataFrame:
    rows = {"subject": [f"sub-{first + n}" for n in range(len(p))], "lesion": "L01", "session": "ses-01"}
    return pd.DataFrame(rows).assign(role="heldout_mri1", fold=0, model=model, p_response=p, **columns)


MANY = count_doubtful(["a"] * 4, ["b", "c"])


def test_lesions_are_counted_by_lesions_per_patient() -> None:
    # Persons with 1, 2, 3, 5 and 4 lesions; the doubtful ones count among their patient's.
    known = ["a", "b", "c", "c", *["d"] * 3, *["e"] * 4]
    counts = count_doubtful(known, ["b", "c", "d", "d"])
    assert [vars(group) for group in counts.groups] == [
        {"per_patient": "1", "lesions": 1, "doubtful": 0},
        {"per_patient": "2", "lesions": 2, "doubtful": 1},
        {"per_patient": "3", "lesions": 3, "doubtful": 1},
        {"per_patient": "4+", "lesions": 9, "doubtful": 2},
    ]
    assert (counts.lesions, counts.doubtful, counts.share) == (15, 4, 4 / 15)
    assert counts.note == (
        "Doubtful lesions: 4 of 15 lesions of MRI 1 (26.7%) have no label because their follow-up is in doubt: "
        "1 lesion per patient 0 of 1, 2: 1 of 2, 3: 1 of 3, 4+: 2 of 9."
    )
    assert count_doubtful(known, []).note == "Doubtful lesions: none of the 11 lesions of MRI 1."


def test_a_data_set_is_counted_by_person_and_on_mri_1_alone() -> None:
    def sample(subject: str, session: str = "ses-01", **more: str) -> dict[str, str]:
        return {"subject": subject, "session": session, **more}

    content = {
        "training": [sample("sub-1"), sample("sub-1", "ses-02"), sample("sub-2", person="sub-1"), sample("sub-3")],
        "unlabelled": [sample("sub-3"), sample("sub-3", "ses-02")],
    }
    counts = doubtful_of(content)
    assert [(group.per_patient, group.lesions, group.doubtful) for group in counts.groups if group.lesions] == [
        ("2", 4, 1)
    ]
    assert doubtful_of({"training": content["training"]}).doubtful == 0


def test_the_range_is_asked_for_above_five_percent_only() -> None:
    assert not count_doubtful(["a"] * 19, ["b"]).many
    assert count_doubtful(["a"] * 18, ["b"]).many
    predictions = labelled([0.8, 0.2], [1, 0])
    assert auc_range(predictions, doubtful([0.5]), count_doubtful(["a"] * 19, ["b"])) is None
    assert auc_range(predictions, doubtful([0.5]), count_doubtful(["a"] * 18, ["b"])) is not None
    assert auc_range(predictions, None, MANY) is None
    assert auc_range(predictions.assign(role="train_mri2"), doubtful([0.5]), MANY) is None


def test_planted_predictions_have_the_range_that_counting_pairs_gives() -> None:
    predictions = labelled([0.8, 0.6, 0.4, 0.2], [1, 1, 0, 0])
    # Two models said 0.0 and 0.2 of each doubtful lesion: 0.1 on average, below everyone else.
    unlabelled = pd.concat([doubtful([0.0, 0.0], 0), doubtful([0.2, 0.2], 1)], ignore_index=True)
    found = auc_range(predictions, unlabelled, MANY)
    assert found is not None
    assert found.as_non_response.estimate == 1.0
    assert found.as_response.estimate == 4 / 8  # 0.8 and 0.6 win against 0.4 and 0.2; 0.1 twice loses against both
    assert (found.as_response.n, found.as_response.patients) == (6, 6)
    assert found.headline == "AUC 0.50 to 1.00 (doubtful lesions as response / as non-response)"
    # One model's answers alone rank the same lesions otherwise: averages count, not single models.
    above = auc_range(predictions, pd.concat([doubtful([0.2, 0.2], 0), doubtful([0.8, 0.8], 1)]), MANY)
    assert above is not None
    assert above.as_non_response.estimate == pytest.approx((1 + 1 + 1 + 1 + 1 + 1 + 1 + 1) / 8)
    assert above.as_response.estimate == 1.0
    assert above.headline == "AUC 1.00 to 1.00 (doubtful lesions as non-response / as response)"


def test_the_intervals_are_the_patient_bootstraps_of_the_completed_lesions() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    predictions = labelled(list(rng.random(40) * 0.7 + 0.3 * labels), list(labels))
    unlabelled = doubtful(list(rng.random(10)))
    found = auc_range(predictions, unlabelled, MANY)
    assert found is not None
    for label, interval in ((0, found.as_non_response), (1, found.as_response)):
        whole = pd.concat([predictions, unlabelled.assign(label=label)], ignore_index=True)
        alone = patient_bootstrap(whole.sort_values("subject"), auc())
        assert interval.estimate == pytest.approx(alone.estimate, abs=1e-12)
        assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), abs=0.03)


def test_a_doubtful_lesion_is_drawn_with_its_person() -> None:
    predictions = labelled([0.8, 0.6, 0.4, 0.2], [1, 1, 0, 0])
    alone = auc_range(predictions, doubtful([0.1, 0.1]), MANY)
    together = auc_range(
        predictions.assign(person=predictions["subject"]), doubtful([0.1, 0.1]).assign(person="sub-0"), MANY
    )
    assert alone is not None
    assert together is not None
    assert (alone.as_response.patients, together.as_response.patients) == (6, 4)
    assert alone.as_response.estimate == together.as_response.estimate


def test_lesions_that_were_not_scored_and_a_single_class_are_said() -> None:
    found = auc_range(labelled([0.8, 0.6], [1, 1]), doubtful([0.1]), MANY)
    assert found is not None
    assert found.headline == "AUC 1.00 to undefined (doubtful lesions as non-response / as response; 1 of 2 scored)"
    assert found.as_dict()["as_response"]["estimate"] is None


def test_each_method_has_a_range_of_its_own() -> None:
    predictions = pd.concat(
        [
            labelled([0.8, 0.6, 0.4, 0.2], [1, 1, 0, 0], method="good"),
            labelled([0.2, 0.4, 0.6, 0.8], [1, 1, 0, 0], method="bad"),
            labelled([0.2, 0.4, 0.6, 0.8], [1, 1, 0, 0], method="never scored them"),
        ]
    )
    unlabelled = pd.concat([doubtful([0.1, 0.1], method="good"), doubtful([0.9, 0.9], method="bad")])
    found = auc_ranges(predictions, unlabelled, MANY)
    assert list(found) == ["good", "bad"]
    assert (found["bad"].as_non_response.estimate, found["bad"].as_response.estimate) == (0.0, 0.5)
    notes = doubtful_notes(MANY, found)
    assert notes[0].startswith(
        "good: AUC 0.50 to 1.00 (doubtful lesions as response / as non-response); 95 % intervals"
    )
    assert notes[-1] == MANY.note
    assert auc_ranges(predictions, None, MANY) == {}
