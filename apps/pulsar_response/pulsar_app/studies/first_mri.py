"""Which images are no MRI before treatment: by dates in a PACS, by BIDS names in a folder."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date as Date
from enum import StrEnum

from treatment_response.dicom.targets import EARLIER_COURSE_DAYS
from treatment_response.problems import DataProblem, Problem

from pulsar_app.studies.pacs import SeriesFacts

_BIDS = re.compile(r"(?:^|[/_])(?:sub-(?P<subject>[A-Za-z0-9]+)_)?ses-(?P<session>\d*)")
_MOST_SESSIONS = 999  # a larger number is a date


class NotFirst(StrEnum):
    """Why an image is not, or not surely, its patient's MRI before treatment; follows a number of images."""

    TREATED = "later than a plan, dose, treatment record or structure set of the patient"
    LATER = "later than the patient's first MR"
    UNDATED = "without a date, and the patient has others"
    NAMED = "of a later session by name"


def counted(reasons: Iterable[NotFirst]) -> dict[str, int]:
    """How many images each reason leaves out, the most frequent reason first."""
    return dict(Counter(map(str, reasons)).most_common())


def days_after_treatment(day: Date, treated: Iterable[tuple[str, Date]]) -> dict[str, int]:
    """By how many days the patient's plans, doses, records and structure sets are older than an MR.

    A planning scan of the days before the MR carries structures and no treatment, so structure sets count from
    `EARLIER_COURSE_DAYS` on, the others from one day on.

    Args:
        day: of the MR.
        treated: modality and date.

    Returns:
        Modality → days, those of the oldest object; empty where nothing tells of treatment.
    """
    longest: dict[str, int] = {}
    for modality, date in treated:
        if (day - date).days >= (EARLIER_COURSE_DAYS if modality == "RTSTRUCT" else 1):
            longest[modality] = max(longest.get(modality, 0), (day - date).days)
    return longest


def later_series(
    mrs: Iterable[SeriesFacts], treatment: Iterable[SeriesFacts], outlined: Collection[str]
) -> dict[str, NotFirst]:
    """The MR series of a PACS that are not the patient's MRI before treatment.

    That MRI is the earliest study that no plan, dose, record or structure set precedes. A study of the following
    `EARLIER_COURSE_DAYS` takes its place where only the later one has outlines: a diagnostic MR comes before the
    planning MR. Series of one study are one session. Where the PACS gives no patient id, each study stands alone.

    Args:
        mrs: all MR series.
        treatment: series that may tell of treatment, of all patients.
        outlined: UIDs of the studies that have outlines.

    Returns:
        Series UID → why.
    """
    days: dict[str, list[Date]] = defaultdict(list)
    images: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # patient → study → series
    for facts in mrs:
        images[_patient(facts)][facts.study_uid].append(facts.series_uid)
        days[facts.study_uid] += [facts.date] if facts.date else []
    treated: dict[str, list[tuple[str, Date]]] = defaultdict(list)
    for facts in treatment:
        if facts.tells_of_treatment and facts.date:
            treated[_patient(facts)].append((facts.modality, facts.date))
    reasons: dict[str, NotFirst] = {}
    for patient, studies in images.items():
        dated = {study: min(days[study]) for study in studies if days[study]}
        for study, reason in _later_studies(studies, dated, treated[patient], outlined).items():
            reasons |= dict.fromkeys(studies[study], reason)
    return reasons


def _patient(facts: SeriesFacts) -> str:
    return facts.patient or f"study {facts.study_uid}"


def _later_studies(
    studies: Collection[str], days: dict[str, Date], treated: Sequence[tuple[str, Date]], outlined: Collection[str]
) -> dict[str, NotFirst]:
    """Of one patient: study → why; `days` holds the studies with a date."""
    reasons: dict[str, NotFirst] = {}
    if len(studies) > 1 or treated:
        reasons |= {study: NotFirst.UNDATED for study in studies if study not in days}
    reasons |= {study: NotFirst.TREATED for study, day in days.items() if days_after_treatment(day, treated)}
    before = {study: day for study, day in days.items() if study not in reasons}
    if before:
        first = min(before.values())
        same_course = [day for day in before.values() if (day - first).days < EARLIER_COURSE_DAYS]
        drawn = [day for study, day in before.items() if study in outlined and day in same_course]
        first = min(drawn, default=first)
        reasons |= {study: NotFirst.LATER for study, day in before.items() if day > first}
    return reasons


def later_by_name(images: Iterable[str]) -> dict[str, NotFirst]:
    """The images of a folder whose BIDS names say that they are not of the first session.

    Session 1 (``ses-01``) is the first, one with a higher number is later. Where sessions are called by words, all of a
    subject that has a session 1 are later than it; where they are called by dates, the earliest is the first.
    """
    names = {image: found for image in images if (found := _BIDS.search(image)) is not None}
    numbers: dict[str, list[int]] = defaultdict(list)  # subject → its sessions
    for image, name in names.items():
        numbers[name["subject"] or image] += [int(name["session"])] if name["session"] else []

    def is_later(image: str, name: re.Match[str]) -> bool:
        known = numbers[name["subject"] or image]
        if not name["session"]:
            return 1 in known
        number = int(name["session"])
        return number > (min(known) if number > _MOST_SESSIONS else 1)

    return {image: NotFirst.NAMED for image, name in names.items() if is_later(image, name)}


def session_before(image_id: str, images: Iterable[str]) -> tuple[str, str]:
    """The contrast image of the nearest earlier session of an image's subject, by BIDS names.

    Args:
        image_id: such as ``sub-001_ses-03_T1w``. images: all of the folder.

    Returns:
        Its id, and its session, such as ``ses-01``.

    Raises:
        DataProblem: the name has no subject and session number, no earlier session has a contrast image, or several
            images could be meant.
    """
    where, remedy = "earlier contrast T1", "name images as sub-001_ses-01_ce-gadolinium_T1w"
    own = _BIDS.search(image_id)
    if own is None or not own["subject"] or not own["session"]:
        raise DataProblem(Problem(where, "the image's name tells no subject and session", remedy))
    others = [(found, image) for image in images if "_ce-" in image and (found := _BIDS.search(image)) is not None]
    earlier: dict[int, list[str]] = defaultdict(list)
    for found, image in others:
        if found["subject"] == own["subject"] and found["session"] and int(found["session"]) < int(own["session"]):
            earlier[int(found["session"])].append(image)
    if not earlier:
        raise DataProblem(Problem(where, "no earlier session of the subject has a contrast image", remedy))
    nearest = earlier[max(earlier)]
    if len(nearest) > 1:
        what = f"the session before has {len(nearest)} contrast images"
        raise DataProblem(Problem(where, what, "leave the ones out that are not meant"))
    session = _BIDS.search(nearest[0])
    assert session is not None
    return nearest[0], f"ses-{session['session']}"


def is_later_session(image_id: str) -> bool:
    """Whether the BIDS name of an image alone says that it is not of the first session, as ``sub-001_ses-03_T1w``."""
    return bool(later_by_name([image_id]))
