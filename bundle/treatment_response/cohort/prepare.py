"""From one patient's scans to files of the prepared data set, whatever the scans came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from treatment_response.cohort.labels import CONTOURING_SD_MM, DEFAULT_THRESHOLD
from treatment_response.cohort.layout import dose_path, image_path, mask_path, write_volume
from treatment_response.cohort.lesion import (
    BASELINE,
    FOLLOW_UP,
    SECOND,
    Absent,
    DoseFacts,
    LeftOut,
    LesionRecord,
    PatientScans,
    Status,
)
from treatment_response.cohort.overlap import overlapping_targets
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class PrepareSettings:
    """What decides which lesions are taken and how they are labelled.

    Attributes:
        response_threshold: loss of volume that counts as response.
        contouring_sd_mm: stated contouring uncertainty behind P(response).
        absent: what a lesion is whose ROI is gone at follow-up.
        max_gradient_index: lesions above it are left out.
        follow_up_days: first and last day after MRI 1 on which a follow-up counts.
        folds: number of folds by patient.
        seed: of the folds.
    """

    response_threshold: float = DEFAULT_THRESHOLD
    contouring_sd_mm: float = CONTOURING_SD_MM
    absent: Absent = Absent.RESOLVED
    max_gradient_index: float = 4.0
    follow_up_days: tuple[int, int] = (60, 135)
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing, before time is spent on them.

        Raises:
            DataProblem: one or several of them.
        """
        low, high = self.follow_up_days
        checks = (
            (
                "--response-threshold",
                0 < self.response_threshold < 1,
                "a fraction between 0 and 1: 0.2 is 20 % smaller",
            ),
            ("--contouring-sd", self.contouring_sd_mm >= 0, "0 mm or more"),
            ("--max-gradient-index", self.max_gradient_index > 1, "a number above 1"),
            ("--follow-up-days", 0 < low <= high, "two days after MRI 1, the earlier one first"),
            ("--folds", self.folds >= 1, "1 or more"),
        )
        wrong = [
            Problem(name, "the value makes no sense", f"give {wanted}") for name, fine, wanted in checks if not fine
        ]
        if wrong:
            raise DataProblem(*wrong)


@dataclass
class PatientOutcome:
    """What became of one patient.

    Attributes:
        subject: ``sub-001``.
        records: the lesions taken.
        left_out: lesions, or the whole patient, left out.
        notes: lines for the report that leave nothing out (a lesion without MRI 2, a Gradient Index not computed).
        days: by session, from MRI 1.
        residuals: registration residual in mm by session, where sessions were registered.
        problems: faults of the input that concern this patient, as text.
        original_names: by lesion id; for the key file alone, never part of the data set.
    """

    subject: str
    records: list[LesionRecord] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    days: dict[str, int] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    original_names: dict[str, str] = field(default_factory=dict)

    def leave_out(self, lesion: str, reason: str) -> None:
        """Note a lesion, or with ``lesion=""`` the patient, as left out."""
        self.left_out.append(LeftOut(self.subject, lesion, reason))


def prepare_patient(root: Path, patient: PatientScans, settings: PrepareSettings, outcome: PatientOutcome) -> None:
    """Decide lesion by lesion, write images, masks and dose of what is taken, and add to ``outcome``.

    Args:
        root: the data set being written.
        patient: the scans. Lesions that other rules left out (a failed match, say) are not among them.
    """
    if BASELINE not in patient.sessions:
        outcome.leave_out("", "no MRI 1: no session before treatment with a structure set")
        return
    first_day = patient.sessions[BASELINE].day
    outcome.days = {name: scan.day - first_day for name, scan in sorted(patient.sessions.items())}
    if not patient.given_labels:
        reason = _follow_up_fault(outcome.days.get(FOLLOW_UP), settings)
        if reason:
            outcome.leave_out("", reason)
            return
    repeated = overlapping_targets(patient.sessions[BASELINE].lesions, patient.lesion_ids)
    for key, lesion in sorted(patient.lesion_ids.items(), key=lambda item: item[1]):
        if key in repeated:
            outcome.leave_out(lesion, repeated[key])
            continue
        record = _record(patient, key, lesion, settings, outcome)
        if record is not None:
            outcome.records.append(record)
            _write_masks(root, patient, key, lesion)
    if outcome.records:
        _write_images(root, patient)


def _follow_up_fault(day: int | None, settings: PrepareSettings) -> str:
    low, high = settings.follow_up_days
    if day is not None and low <= day <= high:
        return ""
    told = "" if day is None else f" (it is on day {day}; --follow-up-days widens the window)"
    return f"no follow-up session within {low} to {high} days of MRI 1{told}"


def _record(
    patient: PatientScans, key: str, lesion: str, settings: PrepareSettings, outcome: PatientOutcome
) -> LesionRecord | None:
    scans = {name: session.lesions[key] for name, session in patient.sessions.items() if key in session.lesions}
    if BASELINE not in scans:
        drawn = ", ".join(sorted(scans))
        outcome.leave_out(lesion, f"not drawn on MRI 1 (only in {drawn}): a new lesion, or another name")
        return None
    for name, scan in scans.items():
        if not scan.volume_mm3 > 0:
            outcome.leave_out(lesion, f"its outline in {name} encloses nothing")
            return None
        if name != FOLLOW_UP and not scan.mask.array.any():
            outcome.leave_out(
                lesion, f"its mask in {name} is empty: it lies outside the image or between voxel centres"
            )
            return None
    dose = patient.dose_facts.get(key, DoseFacts())
    if dose.gradient_index is not None and dose.gradient_index > settings.max_gradient_index:
        reason = (
            f"Gradient Index {dose.gradient_index:.2f} above {settings.max_gradient_index:g} (--max-gradient-index)"
        )
        outcome.leave_out(lesion, reason)
        return None
    volumes = {name: scan.volume_mm3 for name, scan in scans.items()}
    areas = {name: scan.area_mm2 for name, scan in scans.items()}
    status = Status.PRESENT if not patient.given_labels else Status.RATED
    if FOLLOW_UP not in scans and not patient.given_labels:
        if settings.absent is Absent.EXCLUDE:
            outcome.leave_out(lesion, "its ROI is gone at follow-up (--absent exclude)")
            return None
        status = Status.RESOLVED
        volumes[FOLLOW_UP] = areas[FOLLOW_UP] = 0.0
        outcome.notes.append(
            f"{lesion}: its ROI is gone at follow-up, taken as resolved = response (--absent resolved)"
        )
    if SECOND in patient.sessions and SECOND not in scans:
        outcome.notes.append(f"{lesion}: not drawn on MRI 2, taken without MRI 2")
    if dose.gradient_index is None:
        outcome.notes.append(f"{lesion}: Gradient Index not computed ({dose.missing})")
    return LesionRecord(
        patient.subject,
        lesion,
        volumes,
        areas,
        dict(outcome.days),
        status,
        dose,
        patient.site,
        patient.synthetic,
        patient.given_labels.get(key),
    )


def _write_masks(root: Path, patient: PatientScans, key: str, lesion: str) -> None:
    for name, session in patient.sessions.items():
        if key in session.lesions:
            write_volume(root / mask_path(patient.subject, name, lesion), session.lesions[key].mask)


def _write_images(root: Path, patient: PatientScans) -> None:
    for name, session in patient.sessions.items():
        write_volume(root / image_path(patient.subject, name), session.image)
        if session.dose is not None:
            write_volume(root / dose_path(patient.subject, name), session.dose)
