"""Which outlines on an event are its lesion, by the names of their ROIs, and what may be told of outlines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from treatment_response.dicom.roi_kinds import RoiKind, kind_of, spelled
from treatment_response.dicom.targets import Target, reason_by_name
from treatment_response.problems import DataProblem, Problem

_NEW_ENHANCEMENT = re.compile(r"enhanc|anreich|re[cz]idiv|recurr", re.IGNORECASE)
"""Words for the lesion at an event that are no name of a target elsewhere."""
_NEGATED = re.compile(
    r"(?<![a-z])(?:not?|non|nicht|keine?[mnrs]?|ohne|without|sans|pas)[-_. ]*(?:(?:an?|the|eine?|de)[-_. ]+)?"
    r"(?:[gpci]tv|lesion|lae?sion|mets?(?![a-z])|metast|tumou?r|target|enhanc|anreich|re[cz]idiv|recurr)",
    re.IGNORECASE,
)
_SEGMENT_PART = re.compile(r" part \d+$")
_OF_AN_OUTLINE = re.compile(r"(?:ROI|Segment) '.*'(: | was left out: )(.*)", re.DOTALL)
_ORGANS = "No targets by their names: "


def is_named(name: str, roi: str) -> bool:
    """Whether an expression that the user gave fits a ROI's name."""
    return re.search(roi, name, re.IGNORECASE) is not None


def lesion_outlines(targets: Sequence[Target], roi: str | None) -> tuple[list[Target], list[str]]:
    """The outlines of the lesion on an event, and what has to be told.

    By its name one outline is the lesion, or none: several are not chosen from. Those that ``roi`` names are joined.

    Args:
        targets: all outlines on the event, see `treatment_response.dicom.targets.find_targets`.
        roi: expression for the names of ROIs; None: names that clinics give to lesions.

    Raises:
        DataProblem: several outlines could be the lesion.
    """
    drawn = [target for target in targets if _is_lesion(target, roi)]
    count = len({_outline_name(target) for target in drawn})
    if count > 1 and roi is None:
        what = f"{count} outlines on the event could be it by their names, expected one"
        raise DataProblem(Problem("lesion", what, "leave the others out, or name those that are joined with --roi"))
    if count > 1:
        return drawn, [f"{count} outlines on the event fit --roi and were joined"]
    if targets and not drawn:
        unused = len({_outline_name(target) for target in targets})
        what = "1 outline on the event is" if unused == 1 else f"{unused} outlines on the event are"
        return [], [f"{what} not used: no name of a lesion, or not readable; --roi can name the lesion's"]
    return drawn, []


def discreet_notes(notes: Sequence[str]) -> list[str]:
    """Notes on outlines without the names of ROIs, which are free text and may name a person.

    Args:
        notes: from `treatment_response.dicom.targets.find_targets`.
    """
    told = []
    for note in notes:
        if match := _OF_AN_OUTLINE.fullmatch(note):
            told.append(f"an outline on the event{match[1]}{match[2]}")
        elif not note.startswith(_ORGANS):
            told.append(note)
    return told


def _is_lesion(target: Target, roi: str | None) -> bool:
    name = spelled(target.name)
    if target.unreadable or target.superseded_by or _NEGATED.search(name):
        return False
    if roi is not None:
        return is_named(target.name, roi)
    if not target.listed_because:
        return True
    by_name_only = target.listed_because == reason_by_name(target.name) and kind_of(target.name) is RoiKind.OTHER
    return by_name_only and _NEW_ENHANCEMENT.search(name) is not None


def _outline_name(target: Target) -> str:
    """The name of the outline: far parts of one segment are targets of their own."""
    return _SEGMENT_PART.sub("", target.name) if target.source == "SEG" else target.name
