"""Every column that the software itself writes for comparisons has words and a unit."""

from __future__ import annotations

import pytest
from treatment_response.cohort.clinical_facts import FACTS
from treatment_response.cohort.words import words_of
from treatment_response.evaluation.comparison.volume_rules import RULES, volume_columns
from treatment_response.features.column_labels import column_label
from treatment_response.features.tumour_board import QUANTITIES
from treatment_response.problems import DataProblem

WRITTEN = [
    *QUANTITIES,
    *(fact.column for fact in FACTS.values()),
    *volume_columns(),
    *(column for rule in RULES for column in rule.columns),
]


@pytest.mark.parametrize("column", sorted(set(WRITTEN)))
def test_a_column_is_said_in_words_with_its_unit(column: str) -> None:
    label = column_label(column)
    assert "_" not in label
    units = {"_ml": "ml", "_gy": "Gy", "_mm": "mm"}
    if "_mm3" in column:
        assert label.endswith(", mm³")
    for ending, unit in units.items():
        if column.endswith(ending):
            assert label.endswith(f", {unit}")


def test_labels_are_different_and_those_of_the_data_set_count_first() -> None:
    labels = {column_label(column) for column in set(WRITTEN)}
    assert len(labels) == len(set(WRITTEN))
    assert column_label("lesion_v95_ml") == "lesion inside the 95 % isodose, ml"
    assert column_label("lesion_mean_dose_gy", "EQD2 Gy") == "mean dose in the lesion, EQD2 Gy"
    assert column_label("enhancing_mm3_nadir") == "volume of the enhancing tumour at the nadir, mm³"
    assert column_label("their_own") == "their_own"
    own = words_of({"words": {"columns": {"their_own": "a number, mg"}}}).columns
    assert column_label("their_own", more=own) == "a number, mg"
    with pytest.raises(DataProblem, match="texts under columns"):
        words_of({"words": {"columns": {"their_own": 3}}})
