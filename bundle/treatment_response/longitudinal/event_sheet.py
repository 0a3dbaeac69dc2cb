"""The tumour board's sheet of an event, from its images: which voxels are the lesion, and what is measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treatment_response.cases.brain_mask import BrainMask
from treatment_response.cases.ventricles import dark_cavity, ventricles
from treatment_response.features.tumour_board import TumourBoardSheet, tumour_board
from treatment_response.geometry import Volume
from treatment_response.longitudinal.enhancement import enhancing, new_enhancement

BY_MASK, BY_SUBTRACTION = "mask", "subtraction"
"""Where a lesion is from."""
OUTLINE, DARK_REGION = "outline", "dark region"
"""Where a cavity is from."""


@dataclass(frozen=True)
class EventSheet:
    """The sheet of one lesion.

    Attributes:
        ventricles_by: how the ventricles were found, see `treatment_response.cases.ventricles`.
        cavity_by: `OUTLINE` or `DARK_REGION`; empty if there is no cavity.
    """

    sheet: TumourBoardSheet
    ventricles_by: str
    cavity_by: str

    def row(self) -> dict[str, Any]:
        """Columns of ``tumour_board.csv``."""
        return {**self.sheet.row(), "ventricles_by": self.ventricles_by, "cavity_by": self.cavity_by}


def event_lesion(
    drawn: Volume | None, event: Volume, post_operative: Volume, brain: BrainMask
) -> tuple[Volume | None, str]:
    """The lesion as it was drawn, else what enhances newly.

    Args:
        drawn: mask on the event's grid; None if nobody drew it.
        event, post_operative: contrast T1s on one grid.
        brain: of the event.

    Returns:
        Mask on the event's grid and `BY_MASK` or `BY_SUBTRACTION`; None and nothing if there is no new enhancement.
    """
    if drawn is not None:
        return drawn, BY_MASK
    found = new_enhancement(event, post_operative, brain.mask)
    return found, BY_SUBTRACTION if found is not None else ""


def event_sheet(
    lesion: Volume,
    event: Volume,
    post_operative: Volume,
    brain: BrainMask,
    dose: Volume,
    *,
    isodose_gy: float | None = None,
    drawn_cavity: Volume | None = None,
    days_between: int | None = None,
    days_since_radiotherapy: int | None = None,
) -> EventSheet:
    """Find ventricles and cavity, and measure.

    Args:
        lesion: mask; all volumes lie on the event's grid.
        event, post_operative: contrast T1s.
        brain: of the event.
        dose: Gy (physical or EQD2).
        drawn_cavity: mask as somebody drew it; None: the largest dark region of the post-operative image counts.
        isodose_gy, days_between, days_since_radiotherapy: see `treatment_response.features.tumour_board.tumour_board`.

    Raises:
        DataProblem: the lesion is empty, or a volume lies on another grid.
    """
    fluid, ventricles_by = ventricles(event, brain)
    cavity, cavity_by = drawn_cavity, OUTLINE
    if cavity is None:
        cavity = dark_cavity(post_operative, brain)
        cavity_by = "" if cavity is None else DARK_REGION
    sheet = tumour_board(
        lesion,
        dose,
        isodose_gy=isodose_gy,
        ventricles=fluid,
        cavity=cavity,
        before=enhancing(post_operative, brain.mask),
        days_between=days_between,
        days_since_radiotherapy=days_since_radiotherapy,
    )
    return EventSheet(sheet, ventricles_by, cavity_by)
