"""Tables know what their columns are and when they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from treatment_response.cohort.layout import LESIONS
from treatment_response.features import Feature, FeatureTable, Known, known_at
from treatment_response.features.clinical import clinical_features
from treatment_response.features.deltas import delta_features
from treatment_response.features.table import DESCRIPTION
from treatment_response.problems import DataProblem

A, B = Feature("group.a", "group", unit="mm"), Feature("group.b", "group")
LATE = Feature("late.c", "late", Known.AFTER_MRI_2)


def table(rows: dict[tuple[str, str, str], list[float]], *features: Feature) -> FeatureTable:
    index = pd.MultiIndex.from_tuples(rows, names=["subject", "lesion", "session"])
    names = [feature.name for feature in features]
    return FeatureTable(pd.DataFrame(list(rows.values()), index, names, dtype=float), features)


@pytest.fixture
def both_sessions() -> FeatureTable:
    return table(
        {
            ("sub-001", "L01", "ses-01"): [1.0, 10.0],
            ("sub-001", "L01", "ses-02"): [1.5, 0.0],
            ("sub-002", "L01", "ses-01"): [-2.0, 0.0],
            ("sub-002", "L01", "ses-02"): [-1.0, 0.0],
            ("sub-003", "L01", "ses-01"): [4.0, np.nan],
        },
        A,
        B,
    )


def test_the_order_of_moments() -> None:
    assert Known.BEFORE_TREATMENT.by(Known.AFTER_MRI_2)
    assert not Known.AFTER_MRI_2.by(Known.BEFORE_TREATMENT)
    assert known_at("ses-01").by(Known.BEFORE_TREATMENT)
    with pytest.raises(DataProblem, match="ses-03 comes after the outcome"):
        known_at("ses-03")


def test_before_treatment_nothing_later_is_left(both_sessions: FeatureTable) -> None:
    late = table({key: [1.0] for key in both_sessions.values.index}, LATE)
    early = both_sessions.join(late).known_by(Known.BEFORE_TREATMENT)
    assert early.features == (A, B)
    assert set(early.values.index.get_level_values("session")) == {"ses-01"}
    everything = both_sessions.join(late).known_by(Known.AFTER_MRI_2)
    assert everything.features == (A, B, LATE)
    assert len(everything.values) == 5


def test_a_session_of_its_own_is_known_when_the_session_is(both_sessions: FeatureTable) -> None:
    first, second = both_sessions.at("ses-01", "mri1."), both_sessions.at("ses-02", "mri2.")
    assert [feature.known for feature in first.features] == [Known.BEFORE_TREATMENT] * 2
    assert [feature.known for feature in second.features] == [Known.AFTER_MRI_2] * 2
    beside = first.join(second)
    assert list(beside.values.columns) == ["mri1.group.a", "mri1.group.b", "mri2.group.a", "mri2.group.b"]
    assert beside.values.loc[("sub-001", "L01"), "mri2.group.a"] == 1.5
    assert beside.values.loc[("sub-003", "L01"), ["mri2.group.a", "mri2.group.b"]].isna().all()
    assert beside.known_by(Known.BEFORE_TREATMENT).features == first.features


def test_groups_are_picked_by_name(both_sessions: FeatureTable) -> None:
    late = table({key: [1.0] for key in both_sessions.values.index}, LATE)
    assert both_sessions.join(late).of_groups("late").features == (LATE,)


@pytest.mark.parametrize(
    ("rows", "names", "features", "message"),
    [
        ([("s", "L")], ["group.b"], (A,), "the columns are not the features' names"),
        ([("s", "L")], ["group.a", "group.a"], (A, A), "the columns are not the features' names"),
        ([("s", "L"), ("s", "L")], ["group.a"], (A,), "a lesion has two rows"),
        ([("s", "L", "x", "y")], ["group.a"], (A,), "the rows are named by"),
    ],
)
def test_a_table_is_never_wrong(
    rows: list[tuple[str, ...]], names: list[str], features: tuple[Feature, ...], message: str
) -> None:
    index = pd.MultiIndex.from_tuples(rows, names=["subject", "lesion", "session", "more"][: len(rows[0])])
    with pytest.raises(DataProblem, match=message):
        FeatureTable(pd.DataFrame(1.0, index, names), features)


def test_infinite_values_are_refused() -> None:
    with pytest.raises(DataProblem, match="a value is infinite"):
        table({("s", "L", "ses-01"): [np.inf]}, A)


def test_tables_per_lesion_and_per_session_are_not_mixed(both_sessions: FeatureTable) -> None:
    with pytest.raises(DataProblem, match=r"take one session with at\(\)"):
        both_sessions.join(both_sessions.at("ses-01"))


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=5))
def test_what_is_written_is_read_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    folder = tmp_path_factory.mktemp("table")
    rows = {(f"sub-{n:03d}", "L01", "ses-01"): [value, -value] for n, value in enumerate(values)}
    written = table(rows, A, B)
    written.write(folder)
    read = FeatureTable.read(folder)
    pd.testing.assert_frame_equal(read.values, written.values, check_exact=True)
    assert read.features == written.features


@pytest.mark.parametrize("content", [None, "no json", "[]", '[{"name": "x"}]'])
def test_files_that_are_no_table_are_one_sentence(
    both_sessions: FeatureTable, tmp_path: Path, content: str | None
) -> None:
    both_sessions.write(tmp_path)
    if content is None:
        (tmp_path / DESCRIPTION).unlink()
    else:
        (tmp_path / DESCRIPTION).write_text(content)
    with pytest.raises(DataProblem, match="feature table: "):
        FeatureTable.read(tmp_path)


def test_deltas_are_relative_to_mri_1_and_known_after_mri_2(both_sessions: FeatureTable) -> None:
    deltas = delta_features(both_sessions)
    assert list(deltas.values.index) == [("sub-001", "L01"), ("sub-002", "L01")]
    assert deltas.values["delta.group.a"].tolist() == [0.5, 0.5]
    assert deltas.values["delta.group.b"].tolist() == [-1.0, 0.0]
    assert {feature.known for feature in deltas.features} == {Known.AFTER_MRI_2}
    assert deltas.known_by(Known.BEFORE_TREATMENT).features == ()


def test_deltas_from_zero_are_cut_and_missing_ones_stay_missing() -> None:
    found = delta_features(
        table(
            {
                ("sub-001", "L01", "ses-01"): [0.0, np.nan],
                ("sub-001", "L01", "ses-02"): [-1e-12, 1.0],
            },
            A,
            B,
        )
    ).values.iloc[0]
    assert found["delta.group.a"] == -100.0
    assert np.isnan(found["delta.group.b"])


LESIONS_CSV = """subject,lesion,volume_ses-01_mm3,volume_ses-02_mm3,volume_ses-03_mm3,volume_change,label,days_ses-02,max_dose_gy,prescription_gy,gradient_index,site
sub-001,L01,100,80,20,-0.8,1,21,30,15,2.5,Siemens
sub-001,L02,200,,210,0.05,0,,,15,,Siemens
sub-002,L01,50,60,70,0.4,0,20,32,16,3,Philips
"""  # noqa: E501


def test_clinical_variables_hold_nothing_of_the_outcome_or_the_site(tmp_path: Path) -> None:
    (tmp_path / LESIONS).write_text(LESIONS_CSV)
    found = clinical_features(tmp_path)
    row = found.values.loc[("sub-001", "L01")]
    assert row.to_dict() == pytest.approx(
        {
            "size.volume": 100.0,
            "size.volume_mri2": 80.0,
            "clinical.prescription": 15.0,
            "clinical.max_dose": 30.0,
            "clinical.gradient_index": 2.5,
            "clinical.days_to_mri2": 21.0,
            "size.change_to_mri2": -0.2,
            "clinical.lesions_of_patient": 2.0,
        }
    )
    assert found.values.loc[("sub-001", "L02")].isna().sum() == 5
    early = {feature.name for feature in found.known_by(Known.BEFORE_TREATMENT).features}
    assert not any("mri2" in name for name in early)
    assert found.of_groups("size").known_by(Known.BEFORE_TREATMENT).values.columns.tolist() == ["size.volume"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prescription_gy", "rx", "lesions.csv cannot be used"),
        ("100,80", "much,80", "lesions.csv cannot be used"),
    ],
)
def test_a_broken_lesions_table_is_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DataProblem, match=r"lesions\.csv is missing"):
        clinical_features(tmp_path)
    (tmp_path / LESIONS).write_text(LESIONS_CSV.replace(old, new))
    with pytest.raises(DataProblem, match=message):
        clinical_features(tmp_path)
