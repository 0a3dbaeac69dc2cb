"""Which outlines on an event are its lesion, by the names of their ROIs, and what may be told of outlines."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from treatment_response.dicom.roi_kinds import RoiKind, kind_and_words, kind_of, spelled
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.targets import Target, find_targets, reason_by_name
from treatment_response.geometry import Volume
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


def drawn_lesion(
    event: MrSource, objects: Sequence[Dataset], roi: str | None = None, names: Sequence[str] = ()
) -> tuple[Volume | None, list[str]]:
    """What outlines on an event show of its lesion, and what has to be told.

    Args:
        event: the series.
        objects: structure sets and segmentations.
        roi: as of `lesion_outlines`. names: of all ROIs in the objects, among which ``roi`` picks.

    Returns:
        Mask on the event's grid, uint8, or None; sentences without names of ROIs.

    Raises:
        DataProblem: several outlines could be the lesion.
    """
    picked = [] if roi is None else [name for name in names if is_named(name, roi)]
    targets, notes = find_targets(event, objects, picked)
    drawn, chosen = lesion_outlines(targets, roi)
    told = [*discreet_notes(notes), *chosen]
    if not drawn:
        return None, told
    mask = np.any([target.mask for target in drawn], axis=0)
    if not mask.any():
        return None, [*told, "the outline of the lesion on the event is empty"]
    return Volume(mask.astype(np.uint8), event.volume.affine), told


def drawn_cavity(earlier: MrSource, objects: Sequence[Dataset]) -> Volume | None:
    """The cavity of an operation as somebody drew it, mask on the series' grid, uint8; None if nobody did."""
    targets, _ = find_targets(earlier, objects)
    drawn = [one for one in targets if kind_and_words(one.name)[0] == RoiKind.CAVITY and one.mask.any()]
    if not drawn:
        return None
    return Volume(np.any([one.mask for one in drawn], axis=0).astype(np.uint8), earlier.volume.affine)


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
