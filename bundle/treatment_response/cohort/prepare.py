"""From one patient's scans to files of the prepared data set, whatever the scans came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from treatment_response.cohort.follow_up_state import FollowUpState
from treatment_response.cohort.labels import CONTOURING_SD_MM, DEFAULT_THRESHOLD
from treatment_response.cohort.layout import dose_path, image_path, mask_path, write_volume
from treatment_response.cohort.lesion import (
    BASELINE,
    FOLLOW_UP,
    SECOND,
    Absent,
    DoseFacts,
    Doubt,
    DoubtfulLesion,
    LeftOut,
    LesionRecord,
    LesionScan,
    PatientScans,
    Status,
)
from treatment_response.cohort.masks import centroid
from treatment_response.cohort.overlap import overlapping_targets
from treatment_response.cohort.persons import image_mark
from treatment_response.cohort.review import Review, lesion_mark
from treatment_response.cohort.thumbnail import lesion_thumbnail
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
        review: what a person decided of lesions whose fate was in doubt.
    """

    response_threshold: float = DEFAULT_THRESHOLD
    contouring_sd_mm: float = CONTOURING_SD_MM
    absent: Absent = Absent.RESOLVED
    max_gradient_index: float = 4.0
    follow_up_days: tuple[int, int] = (60, 135)
    folds: int = 5
    seed: int = 0
    review: Review = field(default_factory=Review)

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
        doubtful: lesions without a label, because it is not known what became of them.
        decided: lesions that were in doubt until a person decided.
        left_out: lesions, or the whole patient, left out; the doubtful ones too.
        notes: lines for the report that leave nothing out (a lesion without MRI 2, a Gradient Index not computed).
        days: by session, from MRI 1.
        residuals: registration residual in mm by session, where sessions were registered.
        problems: faults of the input that concern this patient, as text.
        original_names: by lesion id; for the key file alone, never part of the data set.
        image_marks: hash of each image by session, to notice that two subjects are one person.
    """

    subject: str
    records: list[LesionRecord] = field(default_factory=list)
    doubtful: list[DoubtfulLesion] = field(default_factory=list)
    decided: list[DoubtfulLesion] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    days: dict[str, int] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    original_names: dict[str, str] = field(default_factory=dict)
    image_marks: dict[str, str] = field(default_factory=dict)

    def leave_out(self, lesion: str, reason: str) -> None:
        """Note a lesion, or with ``lesion=""`` the patient, as left out."""
        self.left_out.append(LeftOut(self.subject, lesion, reason))


def prepare_patient(
    root: Path | None, patient: PatientScans, settings: PrepareSettings, outcome: PatientOutcome
) -> None:
    """Decide lesion by lesion, write images, masks and dose of what is taken, and add to ``outcome``.

    Args:
        root: the data set being written; None decides without writing.
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
    outcome.image_marks = {name: image_mark(session.image) for name, session in patient.sessions.items()}
    repeated = overlapping_targets(patient.sessions[BASELINE].lesions, patient.lesion_ids)
    for key, lesion in sorted(patient.lesion_ids.items(), key=lambda item: item[1]):
        if key in repeated:
            outcome.leave_out(lesion, repeated[key])
            continue
        sessions = _decide(patient, key, lesion, settings, outcome)
        if sessions and root is not None:
            _write_masks(root, patient, key, lesion, sessions)
    if (outcome.records or outcome.doubtful) and root is not None:
        _write_images(root, patient)


def _decide(
    patient: PatientScans, key: str, lesion: str, settings: PrepareSettings, outcome: PatientOutcome
) -> tuple[str, ...]:
    """Take a lesion, put it before a person, or leave it out; returns the sessions of its masks to keep."""
    scans = {name: session.lesions[key] for name, session in patient.sessions.items() if key in session.lesions}
    reason = _first_fault(patient, key, scans, settings)
    if reason:
        outcome.leave_out(lesion, reason)
        return ()
    status = Status.PRESENT if not patient.given_labels else Status.RATED
    decision, doubt = _reviewed(patient, key, lesion, scans, settings, outcome)
    if doubt is not None or decision is not None:
        row = _review_row(patient, key, lesion, scans, doubt, decision, outcome)
        (outcome.decided if doubt is None else outcome.doubtful).append(row)
    if decision in (FollowUpState.RESECTED, FollowUpState.NOT_IMAGED):
        outcome.leave_out(lesion, f"{decision}, by the review")
        return ()
    if doubt is not None:
        outcome.leave_out(lesion, f"in doubt at follow-up: {doubt.reason} (decide it in review.csv)")
        return tuple(name for name in scans if name != FOLLOW_UP)
    if FOLLOW_UP not in scans and not patient.given_labels:
        if settings.absent is Absent.EXCLUDE and decision is None:
            outcome.leave_out(lesion, "its ROI is gone at follow-up (--absent exclude)")
            return ()
        status = Status.RESOLVED
        rule = "by the review" if decision else "(--absent resolved)"
        outcome.notes.append(f"{lesion}: its ROI is gone at follow-up, taken as resolved = response {rule}")
    outcome.records.append(_record(patient, key, lesion, scans, status, outcome))
    return tuple(scans)


def _reviewed(
    patient: PatientScans,
    key: str,
    lesion: str,
    scans: dict[str, LesionScan],
    settings: PrepareSettings,
    outcome: PatientOutcome,
) -> tuple[FollowUpState | None, Doubt | None]:
    """What a person decided of a lesion, and the doubt that is left."""
    doubt = patient.doubtful.get(key)
    if doubt is None:
        return None, None
    decision = settings.review.of(patient.subject, lesion, _mark(scans[BASELINE], doubt, outcome))
    if decision is FollowUpState.PRESENT:
        return decision, Doubt("present by the review, and waiting for an outline", doubt.place)
    if decision is FollowUpState.RESOLVED and FOLLOW_UP in scans:
        return decision, Doubt("resolved by the review, and drawn at follow-up", doubt.place)
    return decision, doubt if decision is None else None


def _mark(scan: LesionScan, doubt: Doubt, outcome: PatientOutcome) -> str:
    images = outcome.image_marks
    return lesion_mark(images[BASELINE], scan, images[FOLLOW_UP], outcome.days[FOLLOW_UP], doubt.reason)


def _review_row(
    patient: PatientScans,
    key: str,
    lesion: str,
    scans: dict[str, LesionScan],
    doubt: Doubt | None,
    decision: FollowUpState | None,
    outcome: PatientOutcome,
) -> DoubtfulLesion:
    """The lesion as ``review.csv`` lists it: with what is in doubt, or was before it was decided."""
    original = patient.doubtful[key]
    shown = doubt or original
    first, later = patient.sessions[BASELINE].image, patient.sessions[FOLLOW_UP].image
    scan, days = scans[BASELINE], outcome.days[FOLLOW_UP]
    return DoubtfulLesion(
        patient.subject,
        lesion,
        tuple(name for name in scans if name != FOLLOW_UP),
        days,
        shown.reason,
        _mark(scan, original, outcome),
        lesion_thumbnail(first, scan.mask, centroid(scan.mask), later, shown.place, days),
        scan.volume_mm3,
        patient.dose_facts.get(key, DoseFacts()),
        str(decision or ""),
    )


def _follow_up_fault(day: int | None, settings: PrepareSettings) -> str:
    low, high = settings.follow_up_days
    if day is not None and low <= day <= high:
        return ""
    told = "" if day is None else f" (it is on day {day}; --follow-up-days widens the window)"
    return f"no follow-up session within {low} to {high} days of MRI 1{told}"


def _first_fault(patient: PatientScans, key: str, scans: dict[str, LesionScan], settings: PrepareSettings) -> str:
    """Why a lesion cannot be used whatever became of it; empty if it can."""
    if BASELINE not in scans:
        return f"not drawn on MRI 1 (only in {', '.join(sorted(scans))}): a new lesion, or another name"
    for name, scan in scans.items():
        if not scan.volume_mm3 > 0:
            return f"its outline in {name} encloses nothing"
        if name != FOLLOW_UP and not scan.mask.array.any():
            return f"its mask in {name} is empty: it lies outside the image or between voxel centres"
    index = patient.dose_facts.get(key, DoseFacts()).gradient_index
    if index is not None and index > settings.max_gradient_index:
        return f"Gradient Index {index:.2f} above {settings.max_gradient_index:g} (--max-gradient-index)"
    return ""


def _record(
    patient: PatientScans,
    key: str,
    lesion: str,
    scans: dict[str, LesionScan],
    status: Status,
    outcome: PatientOutcome,
) -> LesionRecord:
    volumes = {name: scan.volume_mm3 for name, scan in scans.items()}
    areas = {name: scan.area_mm2 for name, scan in scans.items()}
    if status is Status.RESOLVED:
        volumes[FOLLOW_UP] = areas[FOLLOW_UP] = 0.0
    if SECOND in patient.sessions and SECOND not in scans:
        outcome.notes.append(f"{lesion}: not drawn on MRI 2, taken without MRI 2")
    dose = patient.dose_facts.get(key, DoseFacts())
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


def _write_masks(root: Path, patient: PatientScans, key: str, lesion: str, sessions: tuple[str, ...]) -> None:
    for name in sessions:
        write_volume(root / mask_path(patient.subject, name, lesion), patient.sessions[name].lesions[key].mask)


def _write_images(root: Path, patient: PatientScans) -> None:
    for name, session in patient.sessions.items():
        write_volume(root / image_path(patient.subject, name, session.sequence), session.image)
        if session.dose is not None:
            write_volume(root / dose_path(patient.subject, name), session.dose)
