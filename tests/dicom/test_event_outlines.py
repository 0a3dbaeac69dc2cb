"""Which outlines on an event are its lesion."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.dicom.event_outlines import discreet_notes, lesion_outlines
from treatment_response.dicom.targets import Target, reason_by_name
from treatment_response.problems import DataProblem

MASK = np.ones((2, 2, 2), bool)


def outlines(*names: str, source: str = "RTSTRUCT") -> list[Target]:
    return [Target(name, MASK, 8.0, source, reason_by_name(name)) for name in names]


def chosen(*names: str, roi: str | None = None) -> list[str]:
    return [target.name for target in lesion_outlines(outlines(*names), roi)[0]]


@pytest.mark.parametrize(
    "name", ["GTV", "GTV recurrence", "Lesion no 1", "Enhancement", "Rezidiv", "KM-Anreicherung", "Recurrence"]
)
def test_names_of_a_lesion(name: str) -> None:
    assert chosen(name, "PTV_60", "Brain edema", "xyz") == [name]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "not lesion",
            "NotALesion",
            "no_lesion",
            "kein Tumor",
            "keine L\u00e4sion",
            "nicht Rezidiv",
            "no enhancement",
        ),
        *("nonenhancing", "PTV recurrence", "old enhancement", "xyz"),
    ],
)
def test_names_of_something_else(name: str) -> None:
    assert chosen(name) == []


def test_several_outlines_are_not_chosen_from_and_those_that_are_named_are_joined() -> None:
    for names in (("Lesion 1", "Lesion 2"), ("GTV", "Rezidiv"), ("Lesion", "Lesion_LR_check")):
        with pytest.raises(DataProblem, match="lesion: 2 outlines on the event could be it by their names, expected"):
            chosen(*names)
    drawn, notes = lesion_outlines(outlines("Lesion 1", "Lesion 2", "not lesion", "PTV"), "lesion")
    assert [target.name for target in drawn] == ["Lesion 1", "Lesion 2"]
    assert notes == ["2 outlines on the event fit --roi and were joined"]
    parts = outlines("Lesion part 1", "Lesion part 2", source="SEG")
    assert lesion_outlines(parts, None) == (parts, [])


def test_outlines_that_are_not_used_are_counted() -> None:
    for names, start in ((("PTV",), "1 outline on the event is"), (("PTV", "xyz"), "2 outlines on the event are")):
        (note,) = lesion_outlines(outlines(*names), None)[1]
        assert note.startswith(f"{start} not used")
        assert "--roi" in note


def test_no_name_of_a_roi_is_told() -> None:
    notes = [
        "ROI 'GTV Dr. O'Meyer' was left out: it is empty.",
        "ROI 'Meyer': it reaches outside the MR.",
        "No targets by their names: Brain Meyer.",
        "The structure set was left out: it was rejected.",
    ]
    told = discreet_notes(notes)
    assert told[0] == "an outline on the event was left out: it is empty."
    assert told[2] == notes[3]
    assert not [note for note in told if "Meyer" in note]
