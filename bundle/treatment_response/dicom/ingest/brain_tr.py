"""Brain-TR-GammaKnife: one examination per course, rated stable or recurrence in a workbook instead of followed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from treatment_response.cohort.adapters.brain_tr import RatedLesion, RatedPatient, patient_number, read_workbook
from treatment_response.cohort.lesion import BASELINE, PatientScans, SessionScan
from treatment_response.cohort.pipeline import Cohort
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.dicom.ingest.folder import ingest_folder
from treatment_response.dicom.ingest.names import match_names, normalise
from treatment_response.dicom.ingest.patient import DicomPatient
from treatment_response.dicom.ingest.sessions import examinations_by_day
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.problems import DataProblem, Problem

# ROIs are named by where the lesion lies, so all are candidates but these; the workbook decides.
ROI = r"^(?!\s*(skull|brain|external|body)\s*$).+"
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
        ratings = match_ratings(rows, list(kept))
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
    """Give ROIs their rows: by location, then by a number that only one has; a single pair that is left is a pair.

    Args:
        rows: of one course. A name that two rows share is matched with neither.
        names: normalised ROI names.

    Returns:
        Row by normalised ROI name.
    """
    by_name: dict[str, list[RatedLesion]] = {}
    for row in rows:
        by_name.setdefault(normalise(row.location), []).append(row)
    single = {name: own[0] for name, own in by_name.items() if len(own) == 1 and name}
    matched = {name: single[row] for name, row in match_names(list(single), names).items()}
    numbered = {f"x{row.number}": row for row in rows if row not in matched.values()}
    left = [name for name in names if name not in matched]
    matched |= {name: numbered[row] for name, row in match_names(list(numbered), left).items()}
    left_rows = [row for row in rows if row not in matched.values()]
    left = [name for name in names if name not in matched]
    if len(left) == len(left_rows) == 1:
        matched[left[0]] = left_rows[0]
    return matched


def ingest_brain_tr(
    root: Path, workbook: Path | None, settings: IngestSettings, progress: Callable[[int, int], None] | None = None
) -> Cohort:
    """Find the patients of the folder and their rows of the workbook.

    Raises:
        DataProblem: the folder or the workbook cannot be used.
    """
    if workbook is None:
        raise DataProblem(Problem("Brain-TR", "labels are in the clinical workbook", "name it with --clinical"))
    rated = read_workbook(workbook)
    cohort = ingest_folder(root, replace(settings, roi=settings.roi or ROI), progress=progress)
    patients: dict[str, BrainTrPatient] = {}
    for source in cohort.sources:
        assert isinstance(source, DicomPatient)
        number = patient_number(cohort.key[source.subject]) or source.subject
        if number in patients:
            patients[number] = patients[number].joined(source)
        else:
            patients[number] = BrainTrPatient(**vars(source), rated=rated.get(number, RatedPatient((), ())))
    more = {**cohort.settings, "labels": LABEL_RULE}
    return replace(cohort, sources=list(patients.values()), source="Brain-TR-GammaKnife (DICOM)", settings=more)
