"""Names, places and the registration between sessions."""

from __future__ import annotations

import numpy as np
import pytest
from ingest_bench import BACK, FRONT, head, turned
from treatment_response.dicom.ingest.matching import match_lesions
from treatment_response.dicom.ingest.names import match_names, normalise, resected_names, select_targets
from treatment_response.dicom.ingest.registration import register
from treatment_response.dicom.outline_versions import Place
from treatment_response.geometry import moved_points

LESIONS = [
    *("GTV_01 L frontal", "gtv1", "GTV", "GTV brainstem", "Met 3", "METS_2", "Lesion2", "les 4", "TARGET1", "Tumor_a"),
    *("Brain met 1", "BM 2", "metastasis left", "Brainmet_7", "GTVs"),
]
OTHERS = [
    *(
        "Skull",
        "Brain",
        "BrainStem",
        "PTV_1",
        "PTV GTV1",
        "GTV1 ring",
        "Edema GTV2",
        "GTV_cavity",
        "Brain-GTV",
        "Lens L",
    ),
    *(
        "GTV1+3mm margin",
        "Optic chiasm",
        "Helmet",
        "oedema",
        "CTV met",
        "target avoid",
        "GTV1 resected",
        "Normal brain",
    ),
]


@pytest.mark.parametrize("name", LESIONS)
def test_names_of_lesions(name: str) -> None:
    assert select_targets([name])[0] == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_rois(name: str) -> None:
    assert select_targets([name])[0] == []


def test_other_rois_are_told_by_kind_and_never_by_name() -> None:
    kinds = select_targets(["Skull Meier", "PTV Meier", "Meier", "BrainStem"])[1]
    assert kinds == {"brainstem": 1, "other": 1, "ptv": 1, "skull": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [("GTV_01 L frontal", "gtv1 L-frontal"), ("Met 10", "met_010"), ("GTV", "gtv "), ("Läsion 2", "LÄSION_02")],
)
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_different_lesions_stay_different() -> None:
    names = ["GTV 1", "GTV 11", "GTV 1 1", "GTV 10", "GTV", "Met 1", "GTV 0"]
    assert len({normalise(name) for name in names}) == len(names)


def test_names_match_by_number_only_where_it_is_theirs_alone() -> None:
    assert match_names(["gtv1lfrontal", "gtv2"], ["gtv1", "met2"]) == {"gtv1": "gtv1lfrontal", "met2": "gtv2"}
    assert match_names(["gtv1l", "met1"], ["lesion1"]) == {}
    assert match_names(["gtv"], ["met"]) == {}
    assert match_names(["gtvp1", "gtvp2"], ["gtv1", "gtv2"]) == {"gtv1": "gtvp1", "gtv2": "gtvp2"}
    assert match_names(["gtv1.1"], ["gtv1.2"]) == {}
    assert match_names(["met3"], ["met3frontal5mm"]) == {"met3frontal5mm": "met3"}


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("gtv1lfrontal", "met1rfrontal"),
        ("gtv1lfrontal", "met1lparietal"),
        ("gtv1left", "gtv1right"),
        ("lfrontal1", "rfrontal1"),
        ("gtv1antfrontal", "gtv1postfrontal"),
    ],
)
def test_a_number_does_not_pair_names_of_different_places(first: str, other: str) -> None:
    assert match_names([first], [other]) == {}


def test_resected() -> None:
    assert resected_names(["GTV 1 cavity", "Resection GTV_02", "GTV 3", "Cavity"]) == {"gtv1", "gtv2"}
    assert resected_names(["Resektionshöhle Met 3", "Tumorbett 4", "GTV 5 unresected"]) == {"met3"}


@pytest.mark.parametrize("degrees", [-8.0, 0.0, 12.0])
def test_registration_finds_the_motion(degrees: float) -> None:
    truth = turned(degrees, (6.0, -9.0, 11.0))
    lesions = {"a": FRONT, "b": BACK}
    matrix = register(head(lesions, 3, np.eye(4)), head(lesions, 3, truth))
    points = np.array([FRONT[0], BACK[0], (0, 0, 40), (40, 0, -30)])
    assert (
        np.linalg.norm(moved_points(matrix, points) - moved_points(truth, points), axis=1).max() < 2.0
    )  # half a voxel


def test_registration_gives_the_same_matrix_twice() -> None:
    fixed, moving = head({"a": FRONT}, 3, np.eye(4)), head({"a": FRONT}, 3, turned(5.0, (3.0, 2.0, -4.0)))
    np.testing.assert_allclose(register(fixed, moving), register(fixed, moving), atol=1e-6)


def test_registration_of_another_grid() -> None:
    fixed = head({"a": FRONT}, 3, np.eye(4))
    truth = turned(5.0, (3.0, 2.0, -4.0))
    moving = head({"a": FRONT}, 3, truth)
    flipped = type(moving)(
        np.ascontiguousarray(moving.array[::-1].transpose(2, 0, 1)),
        moving.affine
        @ np.array([[0, -1, 0, moving.array.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float),
    )
    points = np.array([FRONT[0], BACK[0]])
    assert (
        np.linalg.norm(moved_points(register(fixed, flipped), points) - moved_points(truth, points), axis=1).max() < 2.0
    )


def place(x: float, radius: float = 5.0) -> Place:
    return Place(np.array([x, 0.0, 0.0]), radius)


def test_the_distance_is_what_is_left_after_registration() -> None:
    shift = np.eye(4)
    shift[0, 3] = 30.0
    matched = match_lesions({"a": place(0)}, {"a": place(33)}, shift, 10.0)
    assert matched.pairs == {"a": "a"}
    assert matched.residual == pytest.approx(3.0)
    assert match_lesions({"a": place(0)}, {"a": place(33)}, np.eye(4), 10.0).pairs == {}


def test_swapped_names_of_near_lesions_are_noticed() -> None:
    """Both lie within the tolerance of each other's places, so only all places together tell."""
    first = {"a": place(0, 9), "b": place(8, 9), "c": place(60)}
    swapped = match_lesions(first, {"a": place(8, 9), "b": place(0, 9), "c": place(61)}, np.eye(4), 10.0)
    assert set(swapped.pairs) == {"c"}
    assert set(swapped.doubtful) == {"a", "b"}
    assert "names may be swapped" in swapped.doubtful["a"]
    moved = match_lesions(first, {"a": place(2, 9), "b": place(9, 9), "c": place(61)}, np.eye(4), 10.0)
    assert set(moved.pairs) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("other", "pairs", "doubtful", "new"),
    [
        ({"a": place(0), "b": place(40)}, {"a", "b"}, set(), []),
        ({"a": place(0)}, {"a"}, set(), []),
        ({"a": place(0), "c": place(80)}, {"a"}, set(), ["c"]),
        ({"a": place(0), "c": place(41)}, {"a"}, {"b"}, []),
        ({"a": place(40), "b": place(0)}, set(), {"a", "b"}, []),
        ({"a": place(-2, 3), "a2": place(3, 2), "b": place(40)}, {"a", "b"}, {"a"}, []),
        ({"a": place(20, 25)}, {"a"}, {"a", "b"}, []),
    ],
    ids=["both", "one-gone", "new", "renamed", "swapped", "split", "merged"],
)
def test_fates(other: dict[str, Place], pairs: set[str], doubtful: set[str], new: list[str]) -> None:
    matched = match_lesions({"a": place(0), "b": place(40)}, other, np.eye(4), 10.0)
    assert set(matched.pairs.values()) == pairs
    assert set(matched.doubtful) | set(matched.unmeasured) == doubtful
    assert matched.new == new
