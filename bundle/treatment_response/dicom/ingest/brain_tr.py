"""Brain-TR-GammaKnife: one examination per course, rated stable or recurrence in a workbook instead of followed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from treatment_response.cohort.adapters.brain_tr import RatedLesion, RatedPatient, patient_number, read_workbook
from treatment_response.cohort.lesion import BASELINE, PatientScans, SessionScan
from treatment_response.cohort.pipeline import Cohort
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.dicom.ingest.folder import ingest_folder
from treatment_response.dicom.ingest.name_facts import NameFacts, name_facts
from treatment_response.dicom.ingest.names import RoiKind, is_background, kind_of
from treatment_response.dicom.ingest.patient import DicomPatient
from treatment_response.dicom.ingest.sessions import examinations_by_day
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.problems import DataProblem, Problem

# ROIs are named by where the lesion lies, so all are candidates but these; the workbook decides.
ROI = (
    r"^(?!\s*(skull|brain|external|body|head|scalp|skin)\s*$)"
    r"(?!.*(?<![a-z])([pci]tv|ring(?!s?[-_ ]*enh)|shell|isodose|o?edema|couch|eyes?|lens|optic|chiasm|cochlea)"
    r"(?![a-z])).+"
)
LABEL_RULE = "rated in the clinical workbook (stable = response, recurrence = non-response), not the volume rule"


@dataclass(frozen=True)
class BrainTrPatient(DicomPatient):
    """A patient with the workbook's ratings. Only the first course is before all treatment, so only it is taken."""

    rated: RatedPatient = field(default_factory=lambda: RatedPatient((), ()))

    def joined(self, course: DicomPatient) -> BrainTrPatient:
        """The patient with the files of another course, which the archive keeps under an id of its own."""
        return replace(
            self,
            series=self.series + course.series,
            outlines=self.outlines + course.outlines,
            doses=self.doses + course.doses,
            plans=self.plans + course.plans,
            damaged=self.damaged + course.damaged,
            unknown_files=max(self.unknown_files, course.unknown_files),
        )

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Read the first course's examination and give its lesions their ratings."""
        if not self._usable(outcome):
            return None
        drawn, unusable = self._linked(outcome)
        days = [e for e in examinations_by_day(drawn, unusable, contrast=True) if e.targets]
        if not self.rated.courses or len(days) != len(self.rated.courses):
            reason = f"{len(days)} usable examinations against {len(self.rated.courses)} courses in the workbook"
            outcome.leave_out("", reason)
            return None
        if len(days) > 1:
            outcome.notes.append(f"{len(days)} courses; later ones follow treatment and are not taken")
        course = self.rated.courses[0]
        rows = [row for row in self.rated.lesions if row.course == course]
        first = self._read_all({BASELINE: days[0]}, outcome)[BASELINE]
        kept = self._number(first, outcome)
        names = {key: first.outlines.lesions[key].name for key in kept}
        by_name = match_ratings(rows, list(names.values()))
        ratings = {key: by_name[name] for key, name in names.items() if name in by_name}
        for key in sorted(set(kept) - set(ratings)):
            outcome.leave_out(kept.pop(key), "no rating in the workbook has its name")
        for key in sorted(key for key in kept if ratings[key].label is None):
            outcome.leave_out(kept.pop(key), "its rating is neither stable nor recurrence")
        unmatched = len(rows) - len(ratings)
        if unmatched:
            outcome.notes.append(f"{unmatched} rated lesion(s) of the workbook have no ROI of that name")
        dose, facts = self._dose(first, kept, outcome)
        scans = {key: scan for key in kept if (scan := first.outlines.measured[key].scan) is not None}
        session = SessionScan(first.image, first.day, scans, dose)
        labels = {key: label for key in kept if (label := ratings[key].label) is not None}
        site = days[0].series.scanner
        return PatientScans(self.subject, kept, {BASELINE: session}, facts, site, given_labels=labels)


def match_ratings(rows: list[RatedLesion], names: list[str]) -> dict[str, RatedLesion]:
    """Give ROIs their rows, where side, site and number agree as far as both state them, and at least one of them does.

    Two rows that fit one ROI, or two ROIs that fit one row, are matched with none, unless all of them pair by equal
    words. An ROI that is called like an organ counts only if a row names that organ as its location. Margins, rings,
    cavities and the like are no lesions.

    Args:
        rows: of one course.
        names: ROI names, as they stand or normalised.

    Returns:
        Row by name, with the names as given.
    """
    facts = {name: name_facts(name) for name in names}
    places = [name_facts(row.location) for row in rows]
    fits = {
        (name, index)
        for name in names
        if _may_be_rated(name, facts[name], places)
        for index, row in enumerate(rows)
        if _fits(facts[name], places[index], row.number)
    }
    equal = _only_pairs({(name, index) for name, index in fits if _same_words(facts[name], places[index])})
    sure = _settled(equal, fits)
    sure_names, sure_rows = {name for name, _ in sure}, {index for _, index in sure}
    left = {(name, index) for name, index in fits if name not in sure_names and index not in sure_rows}
    # A name that two ROIs have says nothing of either.
    return {name: rows[index] for name, index in sorted(sure | _only_pairs(left)) if names.count(name) == 1}


def _may_be_rated(name: str, facts: NameFacts, places: list[NameFacts]) -> bool:
    """Whether an ROI may be a lesion at all."""
    kinds = {kind_of(name), kind_of(" ".join(facts.words))}
    if not kinds <= {RoiKind.TARGET, RoiKind.OTHER, RoiKind.ORGAN, RoiKind.BODY}:
        return False
    return not is_background(name) or any(facts.sites & place.sites for place in places)


def _fits(facts: NameFacts, place: NameFacts, number: str) -> bool:
    """Whether nothing that an ROI's name states contradicts a row, and something of it agrees."""
    if facts.contradicts(place) or (facts.number and facts.number != number):
        return False
    if facts.same_sites(place) or (facts.unknown and facts.unknown == place.unknown):
        return True
    if facts.unknown or place.unknown:  # words that may name a site which only one of both states
        return False
    return bool(facts.number) or bool(facts.side and facts.side == place.side)


def _same_words(facts: NameFacts, place: NameFacts) -> bool:
    stated = [(one.side, one.sites, one.aspects, one.unknown) for one in (facts, place)]
    return stated[0] == stated[1]


def _settled(equal: set[tuple[str, int]], fits: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """The pairs of equal words whose rivals (other ROIs and rows that would fit) have partners of equal words too."""
    names, rows = {name for name, _ in equal}, {index for _, index in equal}
    open_rows = {index for name, index in fits if name not in names}
    open_names = {name for name, index in fits if index not in rows}
    return {(name, index) for name, index in equal if name not in open_names and index not in open_rows}


def _only_pairs(fits: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """The pairs whose ROI fits one row and whose row fits one ROI."""
    by_name, by_row = Counter(name for name, _ in fits), Counter(index for _, index in fits)
    return {(name, index) for name, index in fits if by_name[name] == by_row[index] == 1}


def ingest_brain_tr(
    root: Path, workbook: Path | None, settings: IngestSettings, progress: Callable[[int, int], None] | None = None
) -> Cohort:
    """Find the patients of the folder and their rows of the workbook.

    Raises:
        DataProblem: the folder or the workbook cannot be used.
    """
    if workbook is None:
        raise DataProblem(Problem("Brain-TR", "labels are in the clinical workbook", "name it with --clinical"))
    rated, problems = read_workbook(workbook)
    cohort = ingest_folder(root, replace(settings, roi=settings.roi or ROI), progress=progress)
    patients: dict[str, BrainTrPatient] = {}
    unnumbered = joined = 0
    for source in cohort.sources:
        assert isinstance(source, DicomPatient)
        number = patient_number(cohort.key[source.subject])
        if not number:
            number, unnumbered = source.subject, unnumbered + 1
        if number in patients:
            joined += 1
            patients[number] = patients[number].joined(source)
        else:
            patients[number] = BrainTrPatient(**vars(source), rated=rated.get(number, RatedPatient((), ())))
    if unnumbered:
        what = f"{unnumbered} patient id(s) have no number of the form GK.103, so no row of the workbook is theirs"
        problems.append(Problem("Brain-TR", what, "use the ids as published"))
    more = {**cohort.settings, "labels": LABEL_RULE}
    if joined:
        more["joined_ids"] = f"{joined} patient id(s) have the number of another one: further courses of that patient"
    told = [*cohort.problems, *map(str, problems)]
    source_name = "Brain-TR-GammaKnife (DICOM)"
    return replace(cohort, sources=list(patients.values()), source=source_name, problems=told, settings=more)
