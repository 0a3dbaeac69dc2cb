"""What a case is prepared from, whoever finds and reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose


@dataclass(frozen=True)
class EventLabel:
    """What became clear of one patient's event.

    Attributes:
        label: one of the classes' names, or ``mixed``.
        source: what decided, such as ``biopsy``.
        site: code of a clinic or scanner; empty if it is not told.
    """

    label: str
    source: str
    site: str = ""


@dataclass(frozen=True)
class PlacedDose:
    """The dose of a course, and how it comes to the event.

    Attributes:
        anchor: an image in the dose's frame of reference, which is registered; None: the dose lies in the event's.
    """

    dose: CourseDose
    anchor: Volume | None


@dataclass(frozen=True)
class EventStudies:
    """The volumes of one patient, each on its own grid, and what is known of their dates.

    Attributes:
        lesion: mask on the event's grid as somebody drew it; None if nobody did.
        cavity: mask on the post-operative image's grid as somebody drew it; None if nobody did.
        days_between: from the post-operative image to the event.
        days_since_radiotherapy: from the last day of the last course to the event; None if it is not known.
        label_days: from the post-operative image to the day of the label.
        later_courses: number of courses that were not over before the event, whose dose never enters.
        synthetic: no person was scanned.
        notes: what a reader has to know, one sentence each.
    """

    event: Volume
    post_operative: Volume
    doses: Sequence[PlacedDose]
    days_between: int
    lesion: Volume | None = None
    cavity: Volume | None = None
    days_since_radiotherapy: int | None = None
    label_days: int | None = None
    later_courses: int = 0
    synthetic: bool = False
    notes: tuple[str, ...] = ()


class EventSource(Protocol):
    """One patient that can be loaded in a worker process; it is pickled on its way there."""

    @property
    def subject(self) -> str:
        """The de-identified id, ``sub-001``."""

    @property
    def label(self) -> EventLabel:
        """What is known of the event."""

    @property
    def files(self) -> Sequence[Path]:
        """All files that it is read from: a patient is prepared again if one of them changes."""

    @property
    def facts(self) -> str:
        """All else that the case depends on, such as its dates; never written anywhere but as a hash."""

    def load(self) -> EventStudies:
        """Read the volumes.

        Raises:
            DataProblem: the patient cannot be used.
        """
