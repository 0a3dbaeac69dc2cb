"""Nothing found is not nothing there: what makes an undrawn lesion a resolved one, and what leaves it in doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ingest_bench import ball_contours, turned
from treatment_response.dicom.ingest.absence import FollowUp, absence_doubt, is_imaged
from treatment_response.dicom.ingest.outlines import Outline
from treatment_response.dicom.outline_versions import Place
from treatment_response.geometry import Volume

POSE = turned(20, (4.0, -7.0, 3.0))
CENTRE = POSE[:3, :3] @ np.array([10.0, 5.0, -8.0]) + POSE[:3, 3]
LESION = Place(CENTRE, 6.0)


def image(pose: np.ndarray = POSE) -> Volume:
    """Noise on an oblique, anisotropic grid around the origin."""
    affine = pose @ np.diag([2.0, 2.5, 4.0, 1.0])
    shape = (60, 48, 30)
    affine[:3, 3] += affine[:3, :3] @ (-(np.array(shape) - 1) / 2)
    return Volume(np.random.default_rng(0).integers(100, 200, shape).astype(np.int16), affine)


def structure(name: str, centre: tuple[float, float, float], radius: float, **changes: object) -> Outline:
    one = Outline(name.lower().replace(" ", ""), name, 7, "uid", False, ball_contours((centre, radius), POSE))
    return replace(one, **changes)  # type: ignore[arg-type]


def box(name: str, corner: tuple[float, float, float], side: float) -> Outline:
    """A box whose four points per plane are far from the lesion, and whose edge runs through it."""
    x, y, z = corner
    square = [(x, y - side / 2), (x + side, y - side / 2), (x + side, y + side / 2), (x, y + side / 2)]
    planes = [np.array([(*point, height) for point in square]) for height in np.arange(z - 20, z + 20, 4.0)]
    contours = [plane @ POSE[:3, :3].T + POSE[:3, 3] for plane in planes]
    return Outline(name.lower(), name, 8, "uid", False, contours)


HERE = (10.0, 5.0, -8.0)
AWAY = (-30.0, -20.0, 15.0)
USUAL = FollowUp(image(), (), "", (), (), found_again=1, grown=0)


def doubt(follow_up: FollowUp = USUAL, *, empty: bool = False, stated: bool = False, place: Place = LESION) -> str:
    return absence_doubt(LESION, place, follow_up, empty, stated)


def test_another_lesion_found_again_is_evidence() -> None:
    assert doubt() == ""


def test_something_has_to_say_that_it_was_looked_for() -> None:
    nothing = replace(USUAL, found_again=0)
    assert "nothing says that anybody looked" in doubt(nothing)
    assert doubt(nothing, empty=True) == ""
    assert doubt(nothing, stated=True) == ""
    only_grown = replace(USUAL, found_again=2, grown=2)
    assert "only lesions that grew" in doubt(only_grown)
    assert doubt(replace(USUAL, found_again=2, grown=1)) == ""


@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unread": ("is damaged",)}, "cannot be used: is damaged"),
        ({"surgery": "the table says so"}, "surgery since MRI 1"),
        ({"structures": [structure("Lt temporal mass", HERE, 20.0)]}, "a structure lies at its place"),
        ({"structures": [structure("PTV 1", HERE, 7.0)]}, "a structure lies at its place"),
        ({"structures": [structure("Cavity", (13.0, 5.0, -8.0), 5.0)]}, "a structure lies at its place"),
        ({"structures": [structure("GTV 9", AWAY, 5.0, fault="is bent", contours=())]}, "it is faulty"),
        ({"structures": [box("Lt mass", (13.0, 5.0, -8.0), 60.0)]}, "a structure lies at its place"),
    ],
    ids=["unread", "surgery", "unnamed", "ptv", "cavity", "faulty", "box-beside-its-centre"],
)
def test_reasons_for_doubt_come_before_evidence(changes: dict[str, object], words: str, stated: bool) -> None:
    assert words in doubt(replace(USUAL, **changes), stated=stated)  # type: ignore[arg-type]


def test_what_does_not_hide_a_place() -> None:
    fine = [
        structure("Brain", (0.0, 0.0, 0.0), 50.0),
        structure("PTV 2", AWAY, 12.0),
        structure("PTV 3", HERE, 9.0, contours=(), empty=True),
    ]
    assert doubt(replace(USUAL, structures=fine)) == ""


def test_a_structure_that_was_there_before_hides_nothing() -> None:
    """An old plan's PTV that was copied to the follow-up; one that grew beyond twice its volume is another thing."""
    before = [structure("PTV 1", HERE, 8.0)]
    for radius, expected in ((8.0, ""), (7.0, ""), (12.0, "a structure lies"), (5.0, "a structure lies")):
        after = [structure("PTV 1", HERE, radius)]
        found = doubt(replace(USUAL, structures=after, first_structures=before))
        assert found.startswith(expected), radius
        assert bool(found) == bool(expected), radius
    elsewhere = [structure("PTV 1", AWAY, 8.0)]
    assert doubt(replace(USUAL, structures=before, first_structures=elsewhere))


@pytest.mark.parametrize(
    ("offset", "inside"),
    [((0, 0, 0), True), ((46, 0, 0), True), ((55, 0, 0), False), ((0, 0, 50), True), ((0, 0, 57), False)],
)
def test_the_place_has_to_be_in_the_image(offset: tuple[int, int, int], inside: bool) -> None:
    """The grid reaches 60 mm along its first axis and its third one, the lesion 6 mm around its centre."""
    centre = POSE[:3, :3] @ np.array(offset, dtype=float) + POSE[:3, 3]
    assert is_imaged(image(), Place(centre, 6.0)) is inside
    assert bool(doubt(place=Place(centre, 6.0))) is not inside


def test_padding_is_no_image() -> None:
    """A slab on the grid of a whole head: beyond it there is one value."""
    padded = image()
    padded.array[:, :, 15:] = 0
    below, above = (POSE[:3, :3] @ np.array([0.0, 0.0, z]) + POSE[:3, 3] for z in (-20.0, 20.0))
    assert is_imaged(padded, Place(below, 6.0))
    assert not is_imaged(padded, Place(above, 6.0))
    edge = POSE[:3, :3] @ np.array([0.0, 0.0, -4.0]) + POSE[:3, 3]
    assert not is_imaged(padded, Place(edge, 6.0))  # a third of it lies in the padding
