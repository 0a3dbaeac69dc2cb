"""Which examination is which: structure sets find their MR, and a set that cannot be used never moves MRI 1."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from entry_case import FIRST, drawn, series
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND
from treatment_response.dicom.entries import SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.sessions import (
    Chosen,
    Unusable,
    choose_sessions,
    examinations_by_day,
    link_outlines,
)
from treatment_response.problems import Problem

WINDOW = (60, 135)


def choose(images: list[SeriesEntry], sets: list[StructureSetEntry], **options: Any) -> Chosen:
    found, unusable = link_outlines("sub-001", images, sets, None)
    return choose_sessions(found, unusable + options.pop("missed", []), images, WINDOW, 21, **options)


def days(chosen: Chosen) -> dict[str, int]:
    return {name: (examination.date - FIRST).days for name, examination in chosen.sessions.items()}


def test_the_contours_decide_which_series_they_are_on() -> None:
    before, after = series(0, "pre"), series(0, "post", frame_uid="frame0")
    one = drawn(
        before,
        "GTV 1",
        referenced_series_uids=(before.series_uid, after.series_uid),
        contour_sop_uids=frozenset({after.files[1][1], after.files[2][1]}),
    )
    [found], _ = link_outlines("sub-001", [before, after], [one], None)
    assert found.series is after


def test_every_listed_frame_of_reference_counts() -> None:
    image = series(0)
    both = drawn(image, "GTV 1", frame_uid="ct", frame_uids=frozenset({"ct", image.frame_uid}))
    assert link_outlines("sub-001", [image], [both], None)[1] == []
    other = drawn(image, "GTV 1", frame_uids=frozenset({"ct"}))
    [unusable] = link_outlines("sub-001", [image], [other], None)[1]
    assert "another frame of reference" in unusable.problem.what


def test_sets_of_a_day_are_one_examination_approved_and_newest_first() -> None:
    image = series(0)
    sets = [
        drawn(image, "GTV 1", uid="old", drawn_at="20240301080000"),
        drawn(image, "GTV 2", uid="new", drawn_at="20240302080000"),
        drawn(image, "GTV 3", uid="approved", drawn_at="20240101", approval="APPROVED"),
        drawn(image, "GTV 4", uid="undated"),
    ]
    [examination] = examinations_by_day(link_outlines("sub-001", [image], sets, None)[0], [], contrast=True)
    assert [one.sop_uid for one in examination.outlines] == ["approved", "new", "old", "undated"]
    assert examination.targets == {"gtv1", "gtv2", "gtv3", "gtv4"}


def test_a_set_in_another_frame_of_that_day_is_told() -> None:
    one, other = series(0), series(0, "b", frame_uid="elsewhere")
    linked = link_outlines("sub-001", [one, other], [drawn(one, "GTV 1", "GTV 2"), drawn(other, "GTV 3")], None)[0]
    [examination] = examinations_by_day(linked, [], contrast=True)
    assert examination.targets == {"gtv1", "gtv2"}
    assert "another frame of reference" in examination.unread[0]


def test_sessions_by_their_days() -> None:
    images = [series(day) for day in (0, 21, 90)]
    chosen = choose(images, [drawn(image, "GTV 1") for image in images])
    assert days(chosen) == {BASELINE: 0, SECOND: 21, FOLLOW_UP: 90}


@pytest.mark.parametrize(
    "names",
    [("Brain", "Eye_L"), ("GTV 9",), ("GTV 1 cavity",)],
    ids=["organs", "new-lesion", "cavity"],
)
def test_the_follow_up_is_one_that_draws_lesions_of_mri_1(names: tuple[str, ...]) -> None:
    images = [series(day) for day in (0, 88, 100)]
    sets = [drawn(images[0], "GTV 1"), drawn(images[1], *names), drawn(images[2], "GTV 1")]
    chosen = choose(images, sets)
    assert days(chosen)[FOLLOW_UP] == 100
    assert any("day 88 is nearer to day 90" in note for note in chosen.notes)


def test_without_any_other_an_organs_only_session_is_the_follow_up() -> None:
    images = [series(0), series(88)]
    assert days(choose(images, [drawn(images[0], "GTV 1"), drawn(images[1], "Brain")]))[FOLLOW_UP] == 88


def test_a_set_that_cannot_be_used_never_moves_mri_1() -> None:
    images = [series(0), series(30), series(100)]
    later = [drawn(image, "GTV 1") for image in images[1:]]
    spoilt = [
        drawn(images[0], "GTV 1", frame_uids=frozenset({"other"})),  # on another frame of reference
        drawn(images[0], "A1", "A2"),  # names that say nothing
        drawn(images[0], "PTV 1"),  # a treatment without outline of its lesion
        drawn(images[0]),  # no ROI at all
        drawn(images[0], "GTV 1", approval="REJECTED"),
    ]
    for one in spoilt:
        chosen = choose(images, [one, *later])
        assert not chosen.sessions, one.roi_names
        assert "later ones may follow treatment" in chosen.reason
        # The day of treatment settles it.
        assert days(choose(images, [one, *later], treatment=FIRST + timedelta(days=33)))[BASELINE] == 30
    assert days(choose(images, [drawn(images[0], "Brain"), *later]))[BASELINE] == 30


@pytest.mark.parametrize("day", [0, None])
def test_damaged_outlines_never_move_mri_1(day: int | None) -> None:
    images = [series(0), series(30), series(100)]
    later = [drawn(image, "GTV 1") for image in images[1:]]
    date_known = None if day is None else FIRST + timedelta(days=day)
    damaged = Unusable(Problem("sub-001 RTSTRUCT file", "is damaged", "export it again"), date_known, True)
    assert "later ones may follow treatment" in choose(images, later, missed=[damaged]).reason
    assert "1 damaged file(s)" in choose(images, later, unknown_files=1).reason
    assert days(choose(images[1:], later, unknown_files=1))[BASELINE] == 30


def test_what_hides_no_lesion_of_the_follow_up() -> None:
    """A rejected draft, and organs on a CT of the same day."""
    images = [series(0), series(90)]
    planning = series(90, "ct", modality="CT", frame_uid="ct")
    sets = [drawn(image, "GTV 1") for image in images]
    harmless = [drawn(images[1], "GTV 9", uid="draft", approval="REJECTED"), drawn(planning, "Brain", "Eye_L")]
    assert choose([*images, planning], [*sets, *harmless]).sessions[FOLLOW_UP].unread == ()
    lesions = drawn(planning, "GTV 2")
    assert "was drawn on CT" in choose([*images, planning], [*sets, lesions]).sessions[FOLLOW_UP].unread[0]


def test_a_damaged_set_of_the_follow_up_day_is_unread() -> None:
    images = [series(0), series(90)]
    damaged = Unusable(Problem("sub-001 RTSTRUCT file", "is damaged", "export it again"), images[1].date, True)
    chosen = choose(images, [drawn(image, "GTV 1") for image in images], missed=[damaged])
    assert chosen.sessions[FOLLOW_UP].unread == ("is damaged",)


def test_a_plan_before_the_first_outlines_tells_of_treatment() -> None:
    images = [series(0), series(60), series(150)]
    later = [drawn(image, "GTV 1") for image in images[1:]]
    chosen = choose(images, later, planned=[FIRST + timedelta(days=3)])
    assert "a plan or dose is older" in chosen.reason
    assert days(choose(images, later, planned=[FIRST + timedelta(days=58)]))[BASELINE] == 60


def test_contrast_comes_before_a_series_that_does_not_say() -> None:
    silent, stated = series(0, "a", contrast=None), series(0, "b")
    linked = link_outlines("sub-001", [silent, stated], [drawn(silent, "GTV 1"), drawn(stated, "GTV 1")], None)[0]
    assert examinations_by_day(linked, [], contrast=True)[0].series is stated


def test_outlines_that_name_no_image_lie_on_the_only_mr_of_their_frame() -> None:
    image = series(0)
    bare = drawn(image, "GTV 1", referenced_series_uids=())
    assert link_outlines("sub-001", [image], [bare], None)[0][0].series is image
    assert link_outlines("sub-001", [image, series(0, "b")], [bare], None)[0] == []


def test_an_mr_without_outlines_is_the_follow_up_where_the_table_states_fates() -> None:
    images = [series(0), series(90)]
    sets = [drawn(images[0], "GTV 1")]
    assert FOLLOW_UP not in choose(images, sets).sessions
    assert days(choose(images, sets, has_stated_fates=True))[FOLLOW_UP] == 90
