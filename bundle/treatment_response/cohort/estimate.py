"""How long a preparation takes and how much disk it needs, before the work is begun."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from treatment_response import files
from treatment_response.cohort.pipeline import Cohort

# Rough: 39 patients with 744 MB took more than 150 s with two workers on two busy cores.
# To be measured on a quiet machine.
_SECONDS_PER_PATIENT = 5.0
_SECONDS_PER_MB = 0.25
_START_SECONDS = 3.0
_ON_DISK = 1.0  # bytes of the data set per byte of the images: NIfTI compresses, and some series come compressed


@dataclass(frozen=True)
class Estimate:
    """What a preparation will need; ``str`` says it in one line."""

    patients: int
    image_bytes: int
    seconds: float
    disk_bytes: int

    def __str__(self) -> str:
        """For people."""
        minutes = max(1, round(self.seconds / 60))
        return (
            f"{self.patients} patients, {self.image_bytes / 1e6:.0f} MB of images: about {minutes} min, and up to "
            f"{max(self.disk_bytes / 1e6, 1):.0f} MB on disk"
        )


def estimate_work(cohort: Cohort, workers: int) -> Estimate:
    """Time and disk for a cohort, from its number of patients and the size of its images."""
    alone = len(cohort.sources) * _SECONDS_PER_PATIENT + cohort.image_bytes / 1e6 * _SECONDS_PER_MB
    seconds = _START_SECONDS + alone / max(1, min(workers, len(cohort.sources)))
    return Estimate(len(cohort.sources), cohort.image_bytes, seconds, int(cohort.image_bytes * _ON_DISK))


def check_room(out: Path, estimate: Estimate) -> None:
    """Refuse a disk that has no room for the data set, before the work.

    Raises:
        DataProblem: less is free than the estimate needs.
    """
    files.check_room(out, estimate.disk_bytes, "--out", "the data set")
