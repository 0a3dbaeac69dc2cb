"""Which series of a study, and which earlier study, count for the sequences that a model needs.

One rule for all: the series that was asked for counts for its own sequence. Where a study has several of a sequence,
the one with the most even voxels counts, and that is told; of two that are as even it is not known which is meant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date as Date

from treatment_response.dicom.entries import SeriesEntry
from treatment_response.dicom.series import read_series
from treatment_response.dicom.studies_over_time import Study
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

THIS, EARLIER = "this study", "earlier study"
_AS_EVEN = 1.05
"""Voxels whose ratio of longest to shortest edge differs by less are as even as each other."""


@dataclass(frozen=True)
class ListedStudy:
    """A study as far as the headers of its series tell.

    Attributes:
        date: None if it has none.
        sequences: what its MR series are, as `studies_over_time.sequence_of` says; those that it cannot tell left out.
    """

    uid: str
    date: Date | None
    sequences: Collection[str]

    def missing(self, wanted: Iterable[str]) -> list[str]:
        """The sequences of which it has no series."""
        return [name for name in wanted if name not in self.sequences]


@dataclass(frozen=True)
class ReadSequences:
    """The series of one study that count, read.

    Attributes:
        date: of the study.
        volumes: sequence → image on its own grid.
        series_uids: sequence → Series Instance UID.
        notes: what was chosen among several, one sentence each.
    """

    date: Date
    volumes: dict[str, Volume]
    series_uids: dict[str, str]
    notes: tuple[str, ...] = ()


def check_sequences(study: ListedStudy, wanted: Iterable[str], where: str = THIS) -> None:
    """Refuse a study that lacks sequences.

    Raises:
        DataProblem: names all of them in one sentence.
    """
    if missing := study.missing(wanted):
        there = ", ".join(sorted(set(study.sequences))) or "none that its headers tell"
        what = f"has no {' and no '.join(missing)} series (it has: {there})"
        raise DataProblem(Problem(where, what, "send it to the PACS; its header must tell sequence and contrast agent"))


def earlier_with(studies: Iterable[ListedStudy], day: Date, wanted: Collection[str]) -> ListedStudy:
    """The nearest study before a day that has every sequence.

    Args:
        studies: the patient's other ones, the newest first; no more are taken than are needed.

    Raises:
        DataProblem: there is none, which says what the nearest one lacks; or two of one day have all.
    """
    names = ", ".join(wanted)
    found: list[ListedStudy] = []
    lacking: list[ListedStudy] = []
    same_day = undated = 0
    for study in studies:
        if found and study.date != found[0].date:
            break
        same_day += study.date == day
        undated += study.date is None
        if study.date is not None and study.date < day:
            (lacking if study.missing(wanted) else found).append(study)
    if len(found) == 1:
        return found[0]
    if found:
        what = f"{len(found)} of one day have {names}, so it is not known which is meant"
        raise DataProblem(Problem(EARLIER, what, "leave out the one that is not meant"))
    beside = f"; {same_day} of the same day, which is not earlier" if same_day else ""
    beside += f"; {undated} without a date" if undated else ""
    if not lacking:
        what = f"the patient has none before this day{beside}"
        raise DataProblem(Problem(EARLIER, what, "send it to the PACS under the same patient id, with its date"))
    nearest = lacking[0]
    days = (day - nearest.date).days if nearest.date else 0
    lacks = " and no ".join(nearest.missing(wanted))
    what = f"none of {len(lacking)} has {names}: the one {_days(days)} before has no {lacks} series{beside}"
    raise DataProblem(Problem(EARLIER, what, "send the missing series to the PACS"))


def read_sequences(study: Study, wanted: Iterable[str], where: str, asked_for: str = "") -> ReadSequences:
    """Choose and read a study's series.

    Args:
        wanted: as `Study.of_sequence` takes them.
        where: how to call the study in problems.
        asked_for: Series Instance UID that the user named, which counts for its own sequence.

    Raises:
        DataProblem: several of one sequence cannot be told apart, or a series cannot be used.
    """
    volumes, uids, notes = {}, {}, []
    for name in dict.fromkeys(wanted):
        candidates = study.of_sequence(name)
        if not candidates:
            what = f"its {name} series cannot be used"
            raise DataProblem(Problem(where, what, "export the complete series again"))
        named = [one for one in candidates if one.series_uid == asked_for]
        if named or len(candidates) == 1:
            chosen = (named or list(candidates))[0]
            volumes[name] = read_series(chosen)
        else:
            chosen, volumes[name] = _most_even(name, candidates, where)
            text = f"{where} has {len(candidates)} {name} series; the one with the most even voxels counts."
            notes.append(text[0].upper() + text[1:])
        uids[name] = chosen.series_uid
    return ReadSequences(study.date, volumes, uids, tuple(notes))


def _most_even(name: str, candidates: Sequence[SeriesEntry], where: str) -> tuple[SeriesEntry, Volume]:
    read = [(one, read_series(one)) for one in candidates]
    read.sort(key=lambda pair: _unevenness(pair[1]))
    if _unevenness(read[1][1]) < _AS_EVEN * _unevenness(read[0][1]):
        what = f"has {len(read)} {name} series with voxels of one shape, so it is not known which is meant"
        raise DataProblem(Problem(where, what, "leave out the others, or open the one that is meant"))
    return read[0]


def _unevenness(volume: Volume) -> float:
    return float(volume.spacing.max() / volume.spacing.min())


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"
