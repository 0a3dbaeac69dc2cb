"""Which MR is a patient's MRI before treatment: by dates in a PACS, by names in a folder."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pulsar_app.studies.first_mri import NotFirst, later_by_name, later_series
from pulsar_app.studies.pacs import SeriesFacts

DAY = date(2020, 1, 31)
LATER, TREATED, UNDATED = NotFirst.LATER, NotFirst.TREATED, NotFirst.UNDATED


def series(name: str, day: int | None, patient: str = "A", modality: str = "MR", study: str = "") -> SeriesFacts:
    """A series in a study of its own; the day counts from the first."""
    when = None if day is None else DAY + timedelta(days=day)
    return SeriesFacts(study or f"study {name}", name, modality, "", 9, when, patient)


@pytest.mark.parametrize(
    ("mrs", "others", "expected"),
    [
        ({"first": 0, "second": 1, "third": 90}, {}, {"second": LATER, "third": LATER}),
        ({"only": 5}, {"RTPLAN": 4}, {"only": TREATED}),
        ({"only": 5}, {"RTPLAN": 5}, {}),
        ({"first": 0, "after": 40}, {"RTPLAN": 2}, {"after": TREATED}),
        ({"only": 9}, {"RTDOSE": 0}, {"only": TREATED}),
        ({"only": 9}, {"RTRECORD": 0}, {"only": TREATED}),
        ({"only": 13}, {"RTSTRUCT": 0}, {}),
        ({"only": 14}, {"RTSTRUCT": 0}, {"only": TREATED}),
        ({"only": 99}, {"SEG": 0}, {}),
        ({"only": None}, {}, {}),
        ({"only": None}, {"RTPLAN": 0}, {"only": UNDATED}),
        ({"first": 0, "other": None}, {}, {"other": UNDATED}),
    ],
    ids=str,
)
def test_the_earliest_mr_before_treatment_is_the_first(mrs, others, expected):
    listed = [series(name, day) for name, day in mrs.items()]
    treatment = [series(modality, day, modality=modality) for modality, day in others.items()]
    assert later_series(listed, treatment, ()) == expected


def test_a_planning_mr_takes_the_place_of_a_diagnostic_mr_of_the_days_before():
    mrs = [series("diagnostic", 0), series("planning", 13), series("after", 60)]
    assert later_series(mrs, [], ["study planning", "study after"]) == {"after": LATER}
    assert later_series(mrs, [], ["study diagnostic", "study planning"]) == {"planning": LATER, "after": LATER}
    # An outline does not make a follow-up the first MR.
    assert later_series(mrs, [], ["study after"]) == {"planning": LATER, "after": LATER}


def test_series_of_a_study_are_one_session_and_patients_are_kept_apart():
    mrs = [series("T1", 0, study="one"), series("T2", 1, study="one"), series("of B", 50, "B")]
    assert later_series(mrs, [series("plan", 9, "C", "RTPLAN")], ()) == {}
    # Without a patient id a study has itself only.
    assert later_series([series("x", 0, ""), series("y", 50, "")], [series("plan", 9, "", "RTPLAN")], ()) == {}


@pytest.mark.parametrize(
    ("images", "later"),
    [
        (["sub-1_ses-01_T1w", "sub-1_ses-02_T1w", "sub-1_ses-3_T1w"], [1, 2]),
        (["sub-1_ses-1_T1w", "sub-2_ses-001_T1w", "sub-3_T1w", "scan_7", "sub-4_ses-pre_T1w"], []),
        (["sub-1_ses-01_T1w", "sub-1_ses-followup_T1w", "sub-2_ses-02_T1w"], [1, 2]),
        (["sub-1_ses-20200430_T1w", "sub-1_ses-20200131_T1w", "sub-2_ses-20210101_T1w"], [0]),
    ],
    ids=str,
)
def test_sessions_by_name(images, later):
    assert later_by_name(images) == dict.fromkeys([images[index] for index in later], NotFirst.NAMED)
