"""Which version of a lesion's outline counts, by approval, age and who submitted it; geometry on a small grid."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.dicom.outline_versions import DrawnOutline, OutlineSet, Place, moment, superseded
from treatment_response.geometry import Volume

HERE, THERE = (10, 10, 10), (20, 20, 10)


def drawn(of: OutlineSet, centre: tuple[int, int, int] = HERE, half: int = 3, name: str = "GTV") -> DrawnOutline:
    """A cube around a voxel of a 1 mm grid."""
    mask = np.zeros((32, 32, 20), bool)
    mask[tuple(slice(middle - half, middle + half + 1) for middle in centre)] = True
    return DrawnOutline(of, name, Place.of(Volume(mask, np.eye(4)), float(mask.sum())))


def a_set(day: int, approval: str = "", **options: bool) -> OutlineSet:
    return OutlineSet(approval, f"202401{day:02d}120000", f"1.2.{day}", **options)


def submission(day: int) -> OutlineSet:
    return a_set(day, submitted=True, contours=False)


def counting(*outlines: DrawnOutline) -> list[int]:
    """Indices of the outlines in force, whatever order they come in."""
    found = superseded(outlines)
    turned = superseded(outlines[::-1])
    assert {len(outlines) - 1 - index for index in turned} == set(found)
    return [index for index in range(len(outlines)) if index not in found]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([a_set(1), a_set(2)], 1),
        ([a_set(1, "APPROVED"), a_set(2)], 0),
        ([a_set(1, "APPROVED"), submission(2)], 1),
        ([a_set(1, "APPROVED"), submission(2), a_set(3)], 2),
        ([a_set(1, "APPROVED"), submission(2), a_set(3), a_set(4, "APPROVED"), a_set(5)], 3),
        ([a_set(1, "APPROVED"), submission(2), a_set(3), submission(4)], 3),
        ([a_set(1), a_set(2, contours=False)], 0),
        ([submission(1), a_set(2, contours=False)], 0),
        ([a_set(1, contours=False), a_set(2, contours=False)], 1),
        ([OutlineSet("", "", "1.2.9"), submission(1)], 1),
    ],
    ids=[
        "newest",
        "approved before newest",
        "submission before approved",
        "newer set before submission",
        "approved among the newer",
        "last submission",
        "structure set before a segmentation of others",
        "submission before a segmentation of others",
        "newest segmentation",
        "no date is oldest",
    ],
)
def test_of_one_lesion_one_version_counts(sets: list[OutlineSet], expected: int) -> None:
    assert counting(*(drawn(one) for one in sets)) == [expected]


def test_a_correction_counts_whether_it_is_smaller_or_encloses_what_was_there() -> None:
    for half in (1, 3, 5):
        assert counting(drawn(a_set(1, "APPROVED")), drawn(submission(2), half=half)) == [1]


def test_a_correction_touches_no_other_lesion_and_splits_and_joins() -> None:
    approved = a_set(1, "APPROVED")
    both = [drawn(approved), drawn(approved, THERE)]
    assert counting(*both, drawn(submission(2))) == [1, 2]
    joined = DrawnOutline(submission(2), "GTV", drawn(approved, (15, 15, 10), 9).place)
    assert counting(*both, joined) == [2]
    assert superseded([joined, *(DrawnOutline(submission(3), one.name, one.place) for one in both)]) == {0: (1, 2)}


def test_two_names_of_one_set_are_two_lesions() -> None:
    one = a_set(1)
    assert counting(drawn(one), drawn(one, half=2)) == [0, 1]


def test_a_lesion_that_is_corrected_step_by_step_stays_one_lesion() -> None:
    first, last = drawn(a_set(1, "APPROVED"), (10, 10, 10)), drawn(submission(3), (15, 10, 10))
    assert counting(first, last) == [0, 1]
    assert counting(first, drawn(submission(2), (12, 10, 10)), last) == [2]


def test_an_unreadable_version_lets_nothing_older_count_and_is_never_put_aside() -> None:
    unread = DrawnOutline(a_set(2), "gtv ", None)
    assert counting(drawn(a_set(1)), unread) == [1]
    assert counting(drawn(a_set(3)), unread) == [0, 1]
    assert counting(unread, drawn(submission(3))) == [0, 1]
    assert counting(drawn(a_set(1), name="Met"), unread) == [0, 1]


def test_moments_sort_by_time_however_much_of_it_is_given() -> None:
    times = ["", "256199.9", "0930", "11:30:00", "113000.09", "113000.500000"]
    assert [moment("2024.01.08", time)[8:] for time in times] == (
        ["000000", "000000", "093000", "113000", "113000.09", "113000.5"]
    )
    assert moment("", "1200") == ""
    ordered = [moment("20240108", time) for time in times[1:]]
    assert sorted(ordered) == ordered


def test_of_two_versions_of_one_second_the_later_counts() -> None:
    first, second = (
        OutlineSet("", moment("20240108", time), uid, submitted=True)
        for time, uid in (("113000.1", "a"), ("113000.25", "b"))
    )
    assert counting(drawn(first), drawn(second)) == [1]
    assert counting(drawn(second), drawn(first)) == [0]
