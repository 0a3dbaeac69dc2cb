"""One patient of a NIfTI manifest, read in a worker process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from treatment_response.cohort.follow_up_state import FollowUpState
from treatment_response.cohort.lesion import (
    BASELINE,
    FOLLOW_UP,
    SECOND,
    SESSIONS,
    DoseFacts,
    Doubt,
    LesionScan,
    PatientScans,
    SessionScan,
)
from treatment_response.cohort.masks import scan_from_mask
from treatment_response.cohort.nifti_file import read_nifti
from treatment_response.cohort.nifti_scan import check_lesion, positive_values, read_image, read_mask
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

_GONE = "leave the mask's cell empty if the lesion was looked for and is gone"


@dataclass(frozen=True)
class ManifestRow:
    """One lesion in one session.

    Attributes:
        number: of the row in the table.
        mask: ``None`` where the lesion is not drawn although the session exists.
        day: on a count that all rows of the patient share.
        day_is_date: whether it was given as a date.
        state: what became of the lesion by the follow-up, if the row says so.
    """

    number: int
    lesion: str
    session: str
    image: Path
    mask: Path | None
    day: int
    day_is_date: bool = False
    dose: Path | None = None
    dose_facts: DoseFacts = field(default_factory=DoseFacts)
    site: str = ""
    state: FollowUpState | None = None


@dataclass(frozen=True)
class ManifestPatient:
    """One patient's rows.

    Attributes:
        bad_rows: the lesion (may be empty) and the reason of each row that cannot be used.
    """

    subject: str
    rows: tuple[ManifestRow, ...]
    bad_rows: tuple[tuple[str, str], ...] = ()

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Read images and masks; a fault in MRI 1 or at follow-up leaves the lesion out (never: resolved)."""
        names = {row.lesion for row in self.rows} | {lesion for lesion, _ in self.bad_rows}
        lesion_ids = {name: f"L{n:02d}" for n, name in enumerate(sorted(names - {""}), start=1)}
        outcome.original_names = {number: name for name, number in lesion_ids.items()}
        if not lesion_ids:
            outcome.leave_out("", next((reason for _, reason in self.bad_rows), "its rows name no lesion"))
            return None
        spoiled = self._repeated_masks()
        for lesion, reason in self.bad_rows:
            if lesion:
                spoiled.setdefault(lesion, reason)
        sessions: dict[str, SessionScan] = {}
        for name in SESSIONS:
            rows = [row for row in self.rows if row.session == name]
            if rows:
                scan = self._session(name, rows, lesion_ids, spoiled, outcome)
                if scan is not None:
                    sessions[name] = scan
        self._check_sessions(sessions, lesion_ids, spoiled, outcome)
        if FOLLOW_UP in sessions:
            for lesion in lesion_ids:
                if (fate := self._unknown_fate(lesion, lesion in sessions[FOLLOW_UP].lesions)) is not None:
                    spoiled.setdefault(lesion, fate)
        doubtful = {lesion: Doubt(reason) for lesion, reason in spoiled.items() if self._in_doubt(lesion, sessions)}
        for lesion in set(spoiled) - set(doubtful):
            outcome.leave_out(lesion_ids[lesion], spoiled[lesion])
        for name, first, other in self._identical_masks(sessions, spoiled):
            outcome.notes.append(f"{lesion_ids[name]}: its masks in {first} and {other} are the same voxel by voxel")
        kept = {name: number for name, number in lesion_ids.items() if name not in spoiled or name in doubtful}
        site = next((row.site for row in self.rows if row.site), "")
        if not kept:
            return None
        if FOLLOW_UP in sessions:
            unchecked = "the manifest says that it is gone; whether the follow-up shows its place was not checked"
            gone = [number for name, number in kept.items() if name not in {*sessions[FOLLOW_UP].lesions, *doubtful}]
            outcome.notes += [f"{number}: {unchecked}" for number in gone]
        return PatientScans(self.subject, kept, sessions, self._dose_facts(outcome), site, doubtful=doubtful)

    def _in_doubt(self, lesion: str, sessions: Mapping[str, SessionScan]) -> bool:
        """Whether a lesion that has no label is well drawn on MRI 1, and nothing says what became of it."""
        if not {BASELINE, FOLLOW_UP} <= set(sessions) or lesion not in sessions[BASELINE].lesions:
            return False
        return not self._state(lesion) & {FollowUpState.RESECTED, FollowUpState.NOT_IMAGED}

    def _repeated_masks(self) -> dict[str, str]:
        """Lesions with a mask that several rows name, which can be right for one of them only."""
        count = Counter(os.path.normpath(row.mask) for row in self.rows if row.mask is not None)
        return {
            row.lesion: f"manifest row {row.number}: its mask is also that of another row"
            for row in self.rows
            if row.mask is not None and count[os.path.normpath(row.mask)] > 1
        }

    def _session(
        self,
        name: str,
        rows: Sequence[ManifestRow],
        lesion_ids: Mapping[str, str],
        spoiled: dict[str, str],
        outcome: PatientOutcome,
    ) -> SessionScan | None:
        where = f"{self.subject} {name}"
        try:
            if any(len({key(row) for row in rows}) > 1 for key in (lambda row: row.image, lambda row: row.day)):
                what = "its rows name different images or days"
                raise DataProblem(Problem(where, what, "give a session one image and one day"))
            image = read_image(rows[0].image, f"{where} image (manifest row {rows[0].number})")
        except DataProblem as error:
            outcome.problems += map(str, error.problems)
            if name in (BASELINE, FOLLOW_UP):
                spoiled.update(dict.fromkeys(lesion_ids, f"{name} cannot be used: {error.problems[0].what}"))
            return None
        outcome.notes += [f"{name} image: {note}" for note in image.notes]
        lesions: dict[str, LesionScan] = {}
        seen = Counter(row.lesion for row in rows if row.lesion)
        for row in rows:
            if not row.lesion or (row.mask is None and seen[row.lesion] == 1):
                continue
            try:
                lesions[row.lesion] = self._lesion(
                    row, lesion_ids[row.lesion], image.volume, seen[row.lesion] > 1, outcome
                )
            except _EmptyMask as error:
                if not (name == FOLLOW_UP and self._state(row.lesion) == {FollowUpState.RESOLVED}):
                    _tell(error, name, row.lesion, spoiled, outcome)
            except DataProblem as error:
                _tell(error, name, row.lesion, spoiled, outcome)
        return SessionScan(image.volume, rows[0].day, lesions, self._dose(where, rows, outcome))

    def _lesion(
        self, row: ManifestRow, lesion: str, image: Volume, repeated: bool, outcome: PatientOutcome
    ) -> LesionScan:
        where = f"{self.subject} {row.session} {lesion} mask (manifest row {row.number})"
        if repeated:
            raise DataProblem(Problem(where, "the lesion is listed twice", "remove one of the rows"))
        assert row.mask is not None
        mask = read_mask(row.mask, image, where)
        values = positive_values(mask)
        if not values:
            remedy = _GONE if row.session == FOLLOW_UP else "draw it again"
            raise _EmptyMask(Problem(where, "the file holds no lesion voxel", remedy))
        shown = ", ".join(f"{value:.4g}" for value in values)
        if len(values) > 1 and any(value != round(value) for value in values):
            raise DataProblem(Problem(where, f"holds fractions ({shown})", "write 1 for the lesion and 0 elsewhere"))
        if len(values) > 1:
            raise DataProblem(Problem(where, f"holds several labels ({shown})", "write one mask per lesion"))
        if values != [1.0]:
            outcome.notes.append(f"{lesion}: its mask in {row.session} holds 0 and {shown}; {shown} is read as lesion")
        if note := check_lesion(mask.array > 0, image, where):
            outcome.notes.append(f"{lesion}: its mask in {row.session}: {note}")
        return scan_from_mask(mask)

    def _dose(self, where: str, rows: Sequence[ManifestRow], outcome: PatientOutcome) -> Volume | None:
        """The session's dose; a fault in it is told and costs nothing else."""
        paths = {row.dose: row.number for row in rows if row.dose is not None}
        try:
            if len(paths) > 1:
                raise DataProblem(Problem(where, "its rows name different doses", "give a session one dose"))
            for path, number in paths.items():
                dose = read_nifti(path, f"{where} dose (manifest row {number})").volume
                if dose.array.min() < 0:
                    raise DataProblem(Problem(f"{where} dose", "holds negative values", "export it again in Gy"))
                return dose
        except DataProblem as error:
            outcome.problems += map(str, error.problems)
        return None

    def _dose_facts(self, outcome: PatientOutcome) -> dict[str, DoseFacts]:
        """Of the rows of MRI 1; other rows may repeat them."""
        facts = {row.lesion: row.dose_facts for row in self.rows if row.session == BASELINE}
        nothing = DoseFacts(missing="the manifest does not give it")
        numbers = [
            row.number for row in self.rows if row.dose_facts not in (nothing, facts.get(row.lesion, row.dose_facts))
        ]
        if numbers:
            what = (
                f"manifest rows {', '.join(map(str, numbers))} give doses that the lesion's row of {BASELINE} does not"
            )
            outcome.notes.append(f"{what}; they are not used")
        return facts

    def _check_sessions(
        self,
        sessions: dict[str, SessionScan],
        lesion_ids: Mapping[str, str],
        spoiled: dict[str, str],
        outcome: PatientOutcome,
    ) -> None:
        """Drop an MRI 2 that is not between the others, and a session whose image is that of another one."""
        days = {name: scan.day for name, scan in sessions.items()}
        if SECOND in days and not days.get(BASELINE, -np.inf) < days[SECOND] < days.get(FOLLOW_UP, np.inf):
            del sessions[SECOND]
            what = f"its day does not lie between those of {BASELINE} and {FOLLOW_UP}"
            outcome.problems.append(str(Problem(f"{self.subject} {SECOND}", f"{what}; it is not used", "correct it")))
        for number, name in enumerate(SESSIONS):
            for earlier in SESSIONS[:number]:
                if {name, earlier} <= set(sessions) and _same_image(sessions[name], sessions[earlier]):
                    what = f"its image is that of {earlier}"
                    outcome.problems.append(
                        str(Problem(f"{self.subject} {name}", what, "name the session's own image"))
                    )
                    if name == FOLLOW_UP:
                        spoiled.update(dict.fromkeys(lesion_ids, f"{name} cannot be used: {what}"))
                    del sessions[name]
                    break

    def _unknown_fate(self, lesion: str, is_drawn: bool) -> str | None:
        """Why it is not known what became of a lesion, or why its fate is no response; ``None`` if neither."""
        rows = [row for row in self.rows if row.lesion == lesion and row.session == FOLLOW_UP]
        states = self._state(lesion)
        if len(states) > 1:
            return f"its rows contradict each other in follow_up ({', '.join(sorted(states))})"
        state = next(iter(states), None)
        if state in (FollowUpState.RESECTED, FollowUpState.NOT_IMAGED):
            return f"{state} at follow-up (column follow_up)"
        if state is FollowUpState.RESOLVED:
            return "follow_up says resolved, and its mask at follow-up is not empty" if is_drawn else None
        if state is FollowUpState.PRESENT and not is_drawn:
            return "follow_up says present, and its mask at follow-up is missing"
        if not rows:
            return f"no row for {FOLLOW_UP} (a row with an empty mask says that it is gone)"
        return None

    def _state(self, lesion: str) -> set[FollowUpState]:
        return {row.state for row in self.rows if row.lesion == lesion and row.state is not None}

    def _identical_masks(
        self, sessions: Mapping[str, SessionScan], spoiled: Mapping[str, str]
    ) -> list[tuple[str, str, str]]:
        """Lesions whose masks in two sessions do not differ at all: perhaps one is a copy."""
        return [
            (lesion, first, other)
            for first, other in ((BASELINE, SECOND), (SECOND, FOLLOW_UP), (BASELINE, FOLLOW_UP))
            if {first, other} <= set(sessions)
            for lesion in sessions[first].lesions
            if lesion in sessions[other].lesions
            and lesion not in spoiled
            and np.array_equal(sessions[first].lesions[lesion].mask.array, sessions[other].lesions[lesion].mask.array)
        ]


class _EmptyMask(DataProblem):
    """A mask without a voxel above 0."""


def _tell(error: DataProblem, session: str, lesion: str, spoiled: dict[str, str], outcome: PatientOutcome) -> None:
    """A fault of a lesion's mask: without MRI 2 a lesion can be taken, without the others not."""
    outcome.problems += map(str, error.problems)
    if session in (BASELINE, FOLLOW_UP):
        spoiled[lesion] = f"its mask in {session}: {error.problems[0].what}"


def _same_image(first: SessionScan, other: SessionScan) -> bool:
    return np.array_equal(first.image.array, other.image.array)
