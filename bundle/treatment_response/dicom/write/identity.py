"""Of whom and when an object is, and what a written series tells the objects that refer to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class PatientIds:
    """The patient module. Dates are ``YYYYMMDD``; empty means unknown."""

    patient_id: str
    name: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True)
class StudyIds:
    """The general study module. ``date`` is ``YYYYMMDD``, ``time`` is ``HHMMSS``; empty means unknown."""

    study_uid: str
    date: str = ""
    description: str = ""
    time: str = "120000"
    study_id: str = "1"
    accession_number: str = ""


@dataclass(frozen=True)
class Equipment:
    """The general equipment module."""

    manufacturer: str = "Synthetic"
    model: str = "Synthetic scanner"
    station: str = "SYNTH1"
    software: str = "1.0"
    serial_number: str = "1"


@dataclass(frozen=True)
class WrittenInstance:
    """One slice that was written: its UID, the RAS mm position of its first voxel's centre, its file and frame.

    ``frame`` is the 1-based frame number in a multi-frame object, None in a single-frame one.
    """

    sop_uid: str
    position: np.ndarray
    path: Path
    frame: int | None = None


@dataclass(frozen=True)
class WrittenSeries:
    """What structure sets and doses need to refer to a series.

    Attributes:
        instances: slices in the order of the volume's third axis.
        normal: unit vector ``(3,)`` across the slices, RAS.
    """

    study_uid: str
    series_uid: str
    frame_uid: str
    sop_class_uid: str
    normal: np.ndarray
    instances: tuple[WrittenInstance, ...] = field(default_factory=tuple)

    @property
    def sop_uids(self) -> tuple[str, ...]:
        """The SOP Instance UIDs, each once, in slice order."""
        return tuple(dict.fromkeys(instance.sop_uid for instance in self.instances))

    def nearest(self, point: np.ndarray) -> WrittenInstance:
        """The slice whose plane is nearest to a RAS mm ``point``."""
        offsets = np.array([instance.position for instance in self.instances]) - np.asarray(point)
        return self.instances[int(np.argmin(np.abs(offsets @ self.normal)))]
