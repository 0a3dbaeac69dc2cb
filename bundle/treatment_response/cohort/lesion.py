"""What is known about a lesion: in one session, over the course, and why one was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from treatment_response.geometry import Volume
from treatment_response.text_enum import TextEnum

SESSIONS = ("ses-01", "ses-02", "ses-03")
"""MRI 1 (before treatment), MRI 2 (about three weeks later), follow-up."""
BASELINE, SECOND, FOLLOW_UP = SESSIONS


class Absent(TextEnum):
    """What a lesion is taken for when its ROI is gone at follow-up."""

    RESOLVED = "resolved"
    EXCLUDE = "exclude"


class Status(TextEnum):
    """Whether the lesion was drawn at follow-up."""

    PRESENT = "present"
    RESOLVED = "resolved"
    RATED = "rated"
    """Not measured: a clinician's rating gives the label."""


@dataclass(frozen=True)
class LesionScan:
    """One lesion in one session.

    Attributes:
        mask: uint8 ``(I, J, K)`` on the grid of the session's image.
        volume_mm3: the volume that decides the label (planimetry of the contours where there are contours).
        area_mm2: surface area, which turns a contouring error in mm into a volume error.
    """

    mask: Volume
    volume_mm3: float
    area_mm2: float


@dataclass(frozen=True)
class DoseFacts:
    """Dose to one lesion; ``None`` where it is not known, and then ``missing`` says why there is no Gradient Index."""

    max_dose_gy: float | None = None
    prescription_gy: float | None = None
    gradient_index: float | None = None
    missing: str = "no dose"


@dataclass(frozen=True)
class SessionScan:
    """One patient on one day.

    Attributes:
        image: the MR.
        day: days since some day that all sessions of the patient share.
        lesions: by the key under which lesions are matched across sessions.
        dose: dose in Gy on its own grid, if any.
        sequence: BIDS suffix of the image, ``T1w`` as a rule.
    """

    image: Volume
    day: int
    lesions: Mapping[str, LesionScan]
    dose: Volume | None = None
    sequence: str = "T1w"


@dataclass(frozen=True)
class Doubt:
    """Why it is not known what became of a lesion at follow-up.

    Attributes:
        reason: in words for the report.
        place: where it would lie in the follow-up image, RAS mm ``(3,)``; None if that is not known.
    """

    reason: str
    place: np.ndarray | None = None


@dataclass(frozen=True)
class PatientScans:
    """All that one patient brings.

    Attributes:
        subject: de-identified, ``sub-001``.
        lesion_ids: ``L01`` for each lesion key.
        sessions: by session name; ``ses-01`` must be there.
        dose_facts: by lesion key.
        given_labels: by lesion key, labels from a rating. If there are any, no follow-up is asked for.
        doubtful: by lesion key, lesions of MRI 1 whose fate at follow-up is not known: they get no label.
    """

    subject: str
    lesion_ids: Mapping[str, str]
    sessions: Mapping[str, SessionScan]
    dose_facts: Mapping[str, DoseFacts] = field(default_factory=dict)
    site: str = ""
    synthetic: bool = False
    given_labels: Mapping[str, int] = field(default_factory=dict)
    doubtful: Mapping[str, Doubt] = field(default_factory=dict)


@dataclass(frozen=True)
class LesionRecord:
    """One lesion that was taken: a row of ``lesions.csv`` before folds are drawn.

    Volumes in mm³ and areas in mm², by session. ``volumes`` always holds ``ses-01``, and ``ses-03`` unless the label is
    ``given_label``, a clinician's rating.
    """

    subject: str
    lesion: str
    volumes: Mapping[str, float]
    areas: Mapping[str, float]
    days: Mapping[str, int]
    status: Status
    dose: DoseFacts = field(default_factory=DoseFacts)
    site: str = ""
    synthetic: bool = False
    given_label: int | None = None


@dataclass(frozen=True)
class DoubtfulLesion:
    """A lesion of MRI 1 whose fate at follow-up is not known by itself: a row of ``review.csv``.

    Attributes:
        sessions: those with an image before the follow-up in which it is drawn.
        days: of the follow-up, from MRI 1.
        mark: short hash of its outline on MRI 1 and of the follow-up's day: a decision is about this lesion alone.
        thumbnail: PNG, MRI 1 and follow-up at its place.
        volume_mm3: on MRI 1. dose: what is known of its dose.
        decision: of a person, empty if there is none.
    """

    subject: str
    lesion: str
    sessions: tuple[str, ...]
    days: int
    reason: str
    mark: str
    thumbnail: bytes
    volume_mm3: float
    dose: DoseFacts
    decision: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A lesion, or a whole patient (``lesion`` empty), that the data set does not hold, and why."""

    subject: str
    lesion: str
    reason: str
