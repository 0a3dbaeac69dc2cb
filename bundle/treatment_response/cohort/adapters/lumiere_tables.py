"""The tables of LUMIERE: ratings, which files there should be, and clinical facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from treatment_response.cohort.study_pairs import TimePoint, time_point
from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.problems import DataProblem, Problem

CLASSES = ("PD", "SD", "PR", "CR")
"""In the order of their numbers, as the authors of the RANO study number them."""
PRE_OPERATIVE, POST_OPERATIVE, POST_OPERATIVE_PD = "Pre-Op", "Post-Op", "Post-Op/PD"
_OPERATIVE = (PRE_OPERATIVE, POST_OPERATIVE, POST_OPERATIVE_PD)
RATINGS_FILES = ("LUMIERE-ExpertRating-v202211.csv", "LUMIERE-ExpertRating.csv")
COMPLETENESS_FILE, CLINICAL_FILE = "LUMIERE-datacompleteness.csv", "LUMIERE-Demographics_Pathology.csv"
SEQUENCES = ("T1", "CT1", "T2", "FLAIR")

_RATING = (
    "rating_(according_to_rano,_pd:_progressive_disease,_sd:_stable_disease,_pr:_partial_response,"
    "_cr:_complete_response,_pre_op:_pre_operative,_post_op:_post_operative)"
)
_RATIONALE = (
    "rating_rationale_(cret:_complete_resection_of_the_enhancing_tumor,"
    "_pret:_partial_resection_of_the_enhancing_tumor,_t2_progr.:_t2_progression,_l:_lesion)"
)
_NOT_GIVEN = {"", "none", "na", "n/a", "nan"}
_NOT_RATED = ("less than 3 months", "not a timepoint for rano measurement")
"""Beginnings of rationales by which the authors leave a rating out."""
_MOST_YEARS = 120


@dataclass(frozen=True)
class Rating:
    """What the table says of one time point.

    Attributes:
        text: as written, without spaces around it; `CLASSES`, one of the operative states, empty, or something else.
        rationale: as written.
        early: marked as less than three months after radiotherapy.
        conflict: another row of the time point has another rating.
    """

    text: str = ""
    rationale: str = ""
    early: bool = False
    conflict: bool = False

    @property
    def operative(self) -> str:
        """The state before or after an operation; empty if it is none."""
        return next((state for state in _OPERATIVE if state.casefold() == self.text.casefold()), "")

    @property
    def label(self) -> int | None:
        """Number of the class; None if the rating does not count."""
        return None if self.reason else CLASSES.index(self.text.upper())

    @property
    def reason(self) -> str:
        """Why the rating does not count; empty if it does."""
        rationale = self.rationale.casefold()
        if self.conflict:
            return "it has two different ratings"
        if self.operative:
            return f"it is rated {self.operative}, which is no response"
        if self.text.casefold() in _NOT_GIVEN:
            return "it has no rating"
        if self.text.upper() not in CLASSES:
            return f"its rating is unknown, expected {', '.join((*CLASSES, *_OPERATIVE))}"
        if self.early:
            return "it is marked as less than three months after radiotherapy"
        begin = next((text for text in _NOT_RATED if rationale.startswith(text)), "")
        return f"its rationale says '{begin}'" if begin else ""


@dataclass(frozen=True)
class ClinicalFacts:
    """What is known of a patient; an empty text or None is unknown.

    The survival time is in the table too. It is known only afterwards, so it is not read.
    """

    age: float | None = None
    sex: str = ""
    idh: str = ""
    mgmt: str = ""


def read_ratings(root: Path) -> tuple[dict[str, dict[TimePoint, Rating]], list[Problem]]:
    """Patient → time point → rating, and what was wrong with the table.

    Raises:
        DataProblem: the table is missing, or is none.
    """
    path = next((root / name for name in RATINGS_FILES if (root / name).is_file()), root / RATINGS_FILES[0])
    where = "rating table"
    table = read_table_file(
        path,
        where,
        ("patient",),
        ("date", "timepoint", _RATING, "rating", _RATIONALE, "rating_rationale", "lessthan3months"),
    )
    date = _first(table.columns, ("date", "timepoint"), where)
    rating = _first(table.columns, (_RATING, "rating"), where)
    problems = list(table.problems)
    rows: dict[tuple[str, TimePoint], list[Rating]] = defaultdict(list)
    order: dict[str, list[TimePoint]] = defaultdict(list)
    for row in table.rows:
        at = time_point(row.text(date))
        if at is None or not row.text("patient"):
            what = "names no patient" if at else f"its {date.capitalize()} is not written as week-012 or week-012-1"
            problems.append(Problem(row.where, f"{what}; the row is not used", "correct it"))
            continue
        rationale = row.text(_RATIONALE) or row.text("rating_rationale")
        rows[row.text("patient"), at].append(
            Rating(" ".join(row.text(rating).split()), rationale, row.text("lessthan3months").casefold() == "x")
        )
        order[row.text("patient")].append(at)
    ratings: dict[str, dict[TimePoint, Rating]] = defaultdict(dict)
    for (patient, at), given in rows.items():
        ratings[patient][at] = _merged(given)
    return dict(ratings), [*problems, *_row_problems(rows, order)]


def _merged(given: Sequence[Rating]) -> Rating:
    """Several rows of one time point as one; two that say different things are a conflict."""
    written = [one for one in given if one.text.casefold() not in _NOT_GIVEN] or list(given)
    different = {one.text.casefold() for one in written}
    operative = next((one for one in written if one.operative), written[0])
    early = any(one.early for one in given)
    return Rating(operative.text, operative.rationale, early, conflict=len(different) > 1)


def _row_problems(
    rows: Mapping[tuple[str, TimePoint], Sequence[Rating]], order: Mapping[str, Sequence[TimePoint]]
) -> list[Problem]:
    repeated = sum(len(given) > 1 and not _merged(given).conflict for given in rows.values())
    conflicts = sum(_merged(given).conflict for given in rows.values())
    unsorted = sum(list(points) != sorted(points) for points in order.values())
    found = (
        (repeated, "time point(s) stand in several rows that say the same; each counts once", "nothing to do"),
        (conflicts, "time point(s) have two different ratings and no label", "correct the table if you know better"),
        (unsorted, "patient(s) have rows out of the order of weeks; they are put in order", "nothing to do"),
    )
    return [Problem("rating table", f"{count} {what}", remedy) for count, what, remedy in found if count]


def read_completeness(root: Path) -> dict[tuple[str, str], frozenset[str]]:
    """(Patient, time point's name) → the sequences that the table says are there; empty without the table.

    Raises:
        DataProblem: the file is no such table.
    """
    if not (root / COMPLETENESS_FILE).is_file():
        return {}
    columns = {sequence: sequence.casefold() for sequence in SEQUENCES}
    table = read_table_file(
        root / COMPLETENESS_FILE, "completeness table", ("patient", "timepoint"), tuple(columns.values())
    )
    return {
        (row.text("patient"), row.text("timepoint")): frozenset(
            sequence for sequence, column in columns.items() if row.text(column).casefold() == "x"
        )
        for row in table.rows
    }


def read_clinical_facts(root: Path) -> tuple[dict[str, ClinicalFacts], list[Problem]]:
    """Patient → facts, and the cells that could not be read; empty without the table.

    Raises:
        DataProblem: the file is no such table.
    """
    if not (root / CLINICAL_FILE).is_file():
        what = f"there is no {CLINICAL_FILE}; age, sex, IDH and MGMT stay empty"
        return {}, [Problem("clinical table", what, "put it beside the ratings if you want them")]
    age, idh, mgmt = "age_at_surgery_(years)", "idh_(wt:_wild_type)", "mgmt_qualitative"
    table = read_table_file(root / CLINICAL_FILE, "clinical table", ("patient",), ("sex", age, idh, mgmt))
    problems = list(table.problems)
    facts = {}
    for row in table.rows:
        facts[row.text("patient")] = ClinicalFacts(
            _age(row, age, problems),
            _word(row, "sex", {"female": "female", "f": "female", "male": "male", "m": "male"}, problems),
            _word(row, idh, {"wt": "wild type", "wild type": "wild type", "wildtype": "wild type"}, problems, "mut"),
            _word(
                row,
                mgmt,
                {"methylated": "methylated", "not methylated": "unmethylated", "unmethylated": "unmethylated"},
                problems,
            ),
        )
    return facts, problems


def _age(row: TableRow, column: str, problems: list[Problem]) -> float | None:
    if row.text(column).casefold() in _NOT_GIVEN:
        return None
    try:
        return row.number_in(column, 0, _MOST_YEARS, "years")
    except DataProblem as error:
        problems += error.problems
        return None


def _word(row: TableRow, column: str, words: Mapping[str, str], problems: list[Problem], mutant: str = "") -> str:
    """The cell in this project's words; empty if it is unknown. A text that holds ``mutant`` is a mutation."""
    text = row.text(column).casefold()
    if text in _NOT_GIVEN:
        return ""
    if mutant and mutant in text:
        return "mutant"
    if text not in words:
        what = f"{column} is none of {', '.join(words)}; it counts as unknown"
        problems.append(Problem(row.where, what, "correct it or leave it empty"))
    return words.get(text, "")


def _first(columns: Sequence[str], names: Sequence[str], where: str) -> str:
    """The first of several names that the table has.

    Raises:
        DataProblem: it has none.
    """
    found = next((name for name in names if name in columns), None)
    if found is None:
        what = f"has no column {names[-1].capitalize()}"
        raise DataProblem(Problem(where, what, "use the table as it was published"))
    return found
