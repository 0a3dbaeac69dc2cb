"""Lesions over time: who is who through splits and merges, and what must hold for any masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import draw, ellipsoid, grid
from time_courses import connected, time_course, true_numbers
from treatment_response.criteria.matching import Event, match_lesions
from treatment_response.geometry import Volume

EMPTY = grid((60, 40, 30), (1.0, 1.0, 1.5), (12.0, -8.0, 5.0))


def ball(x: float, radius: float, y: float = 0.0) -> Volume:
    return draw(ellipsoid((radius,) * 3, centre=(x, y, 0)), EMPTY)


def test_a_lesion_keeps_its_number_while_it_grows_and_shrinks() -> None:
    tracks = match_lesions([[ball(-15, 6), ball(12, 4)], [ball(12, 8), ball(-14, 2)], [ball(-15, 5), ball(13, 8)]])
    assert tracks.numbers == ((1, 2), (2, 1), (1, 2))
    assert tracks.events == ()


def test_vanished_new_and_returned() -> None:
    tracks = match_lesions([[ball(-15, 5)], [ball(12, 5)], [ball(-15, 4), ball(12, 5)]])
    assert tracks.numbers == ((1,), (2,), (1, 2))
    assert tracks.events == (Event(1, "new", 2), Event(1, "vanished", 1), Event(2, "returned", 1))


def test_a_split_lesion_stays_one() -> None:
    tracks = match_lesions([[ball(0, 9)], [ball(-6, 3), ball(6, 3)], [ball(-6, 3), ball(7, 3)]])
    assert tracks.numbers == ((1,), (1, 1), (1, 1))
    assert tracks.events == (Event(1, "split", 1),)


def test_lesions_that_merge_go_on_as_the_larger() -> None:
    tracks = match_lesions([[ball(-6, 3), ball(6, 5)], [draw(ellipsoid((14, 6, 6)), EMPTY)]])
    assert tracks.numbers == ((1, 2), (2,))
    assert tracks.events == (Event(1, "merged", 2, (1,)),)
    assert tracks.merged_into(1) == {1: 2}
    assert tracks.merged_into(0) == {}


def test_a_small_lesion_is_found_beside_its_place_but_not_far_from_it() -> None:
    assert match_lesions([[ball(0, 2)], [ball(6, 2)]]).numbers == ((1,), (1,))  # no overlap, a gap of some 2 mm
    assert match_lesions([[ball(0, 2)], [ball(14, 2)]]).numbers == ((1,), (2,))


def test_neighbours_are_not_confused_by_a_shift() -> None:
    first = [ball(-7, 6), ball(7, 6)]
    shifted = [ball(-4, 6), ball(10, 6)]  # the left one now lies in a little of the right one's place
    assert match_lesions([first, shifted]).numbers == ((1, 2), (1, 2))


def test_studies_in_other_frames_are_moved_before_they_are_matched() -> None:
    move = np.eye(4)
    move[:3, 3] = (-22, 9, 3)
    moved = [Volume(mask.array, np.linalg.inv(move) @ mask.affine) for mask in (ball(12, 5), ball(-15, 5))]
    tracks = match_lesions([[ball(-15, 5), ball(12, 5)], moved], [np.eye(4), move])
    assert tracks.numbers == ((1, 2), (2, 1))


def test_grids_may_differ_between_studies() -> None:
    fine = grid((120, 80, 15), (0.5, 0.5, 3.0), (-20.0, 4.0, 60.0))
    unit = fine.affine[:3, :3] / fine.spacing
    place = np.linalg.inv(unit) @ (EMPTY.affine[:3, :3] / EMPTY.spacing) @ [12.0, 0, 0]
    assert match_lesions([[ball(-15, 5), ball(12, 5)], [draw(ellipsoid((5,) * 3, centre=place), fine)]]).numbers[1] == (
        2,
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_what_must_hold_for_any_course(seed: int, random: np.random.Generator) -> None:
    course = time_course(seed, studies=3)
    parts = [connected(mask) for mask in course.masks]
    tracks = match_lesions(parts)
    assert [len(numbers) for numbers in tracks.numbers] == [len(study) for study in parts]
    assert all(number >= 1 for study in tracks.numbers for number in study)
    # The order of parts is no information.
    orders = [random.sample(range(len(study)), len(study)) for study in parts]
    shuffled = match_lesions([[study[i] for i in order] for study, order in zip(parts, orders, strict=True)])
    for numbers, order, other in zip(tracks.numbers, orders, shuffled.numbers, strict=True):
        pairs = {(numbers[i], other[place]) for place, i in enumerate(order)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})
    # A study that comes twice changes nothing.
    again = match_lesions([*parts, parts[-1]])
    assert again.numbers[-1] == again.numbers[-2] == tracks.numbers[-1]
    # What vanished was there before, and what is new was not.
    for event in tracks.events:
        before, now = set(tracks.numbers[event.study - 1]), set(tracks.numbers[event.study])
        if event.kind in ("vanished", "new", "returned"):
            assert (event.lesion in before, event.lesion in now) == {
                "vanished": (True, False), "new": (False, True), "returned": (False, True)
            }[event.kind]  # fmt: skip


def test_synthetic_courses_are_followed_rightly() -> None:
    right, total, kinds = 0, 0, set()
    for seed in range(40):
        course = time_course(seed)
        parts = [connected(mask) for mask in course.masks]
        tracks = match_lesions(parts)
        kinds |= {event.kind for event in tracks.events}
        found, truth = tracks.numbers, true_numbers(course.masks, course, parts)
        name = {}
        for study in range(len(parts)):
            for number, lesion in zip(found[study], truth[study], strict=True):
                right += name.setdefault(lesion, number) == number and list(name.values()).count(number) == 1
                total += 1
    assert kinds == {"new", "vanished", "returned", "split", "merged"}
    assert total > 500
    assert right / total >= 0.99


@pytest.mark.parametrize("studies", [[], [[]], [[], [ball(0, 4)]]])
def test_empty_studies_are_allowed(studies: list[list[Volume]]) -> None:
    assert len(match_lesions(studies).numbers) == len(studies)
