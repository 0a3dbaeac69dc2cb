"""PROTEAS (Zenodo 17253793): brain metastases at baseline and follow-up as NIfTI, one mask for all lesions of a scan.

Layout, as third-party code uses it: ``Pxx/BraTS/{baseline,fu1,…}/t1c.nii.gz``, ``Pxx/tumor segmentation/`` (or
``tumor_segmentation``) ``Pxx_tumor_mask_{baseline,fu1,…}.nii.gz``. It holds no dates, so a table gives the days.
The scans of a patient lie in one space (BraTS preprocessing), so lesions are matched by where they are. A mask with
several values numbers the parts of tumours as BraTS does: the core (1, 3, 4) is lesion, oedema (2) is not.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from treatment_response.cohort.adapters.proteas_masks import lesion_fault, lesion_voxels, values_note
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND, Doubt, LesionScan, PatientScans, SessionScan
from treatment_response.cohort.masks import centroid, components, scan_from_mask
from treatment_response.cohort.nifti_scan import check_lesion, positive_values, read_image, read_mask
from treatment_response.cohort.pipeline import Cohort, subject_ids, total_size
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.cohort.table_file import read_table_file
from treatment_response.cohort.table_values import DAY_REMEDY, parse_day
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

SMALLEST_MM3 = 10.0
REACH_MM = 10.0
MERGED, SPLIT = "merged with a neighbour", "split into several parts"
_SCAN = re.compile(r"baseline|fu\d+")
_MASK = re.compile(rf"_tumor_mask_({_SCAN.pattern})\.nii(\.gz)?$")


@dataclass(frozen=True)
class Scan:
    """One time point."""

    name: str
    day: int
    image: Path
    mask: Path


@dataclass(frozen=True)
class _Read:
    """A scan as it was read: the MR, the mask as it is in the file, and its lesions' voxels (uint8, 0 and 1)."""

    image: Volume
    mask: Volume
    lesions: Volume


@dataclass(frozen=True)
class ProteasPatient:
    """One patient's folder. ``scans`` holds MRI 1 (``baseline``) and the scans with a known day."""

    subject: str
    scans: tuple[Scan, ...]
    follow_up_days: tuple[int, int]
    problems: tuple[str, ...] = ()

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Split the masks into lesions and match them to those of the baseline."""
        outcome.problems += self.problems
        chosen = self._choose()
        if BASELINE not in chosen:
            outcome.leave_out("", "no baseline scan with a mask and a day")
            return None
        read = self._read_all(chosen, outcome)
        first = read[BASELINE]
        lesions = components(first.lesions, SMALLEST_MM3)
        if not lesions:
            outcome.leave_out("", "its baseline mask holds no lesion")
            return None
        ids = {f"{number:02d}": f"L{number:02d}" for number in range(1, len(lesions) + 1)}
        base = dict(zip(ids, lesions, strict=True))
        scans = {key: scan_from_mask(mask) for key, mask in base.items()}
        sessions = {BASELINE: SessionScan(first.image, chosen[BASELINE].day, scans)}
        doubtful: dict[str, Doubt] = {}
        for session in sorted(set(read) - {BASELINE}):
            pairs, doubts = match_components(base, components(read[session].lesions, SMALLEST_MM3))
            if session == FOLLOW_UP:
                doubts |= _not_surely_gone(scans, pairs, doubts, read[session].mask)
            for key, reason in doubts.items():
                if session == SECOND:
                    outcome.notes.append(f"{ids[key]}: taken without MRI 2, {reason}")
                elif reason in (MERGED, SPLIT):
                    outcome.leave_out(ids.pop(key), f"at follow-up: {reason}")
                else:
                    doubtful[key] = Doubt(reason, centroid(base[key]))
            sessions[session] = SessionScan(read[session].image, chosen[session].day, pairs)
        return PatientScans(self.subject, ids, sessions, site="PROTEAS", doubtful=doubtful)

    def _read_all(self, chosen: Mapping[str, Scan], outcome: PatientOutcome) -> dict[str, _Read]:
        """Read the chosen scans; an MRI 2 that cannot be used costs nothing but itself.

        Raises:
            DataProblem: the baseline or the follow-up cannot be used.
        """
        masks: dict[str, tuple[Volume, Volume]] = {}
        for session, scan in chosen.items():
            where = f"{self.subject} {scan.name}"
            with _costs_only_mri2(session, outcome):
                file = read_image(scan.image, f"{where} image")
                outcome.notes += [f"{session} image: {note}" for note in file.notes]
                masks[session] = file.volume, read_mask(scan.mask, file.volume, f"{where} mask")
        values = {session: positive_values(mask) for session, (_, mask) in masks.items()}
        read = {}
        for session, (image, mask) in masks.items():
            with _costs_only_mri2(session, outcome):
                where = f"{self.subject} {chosen[session].name} mask"
                others = [some for other, some in values.items() if other != session]
                if fault := lesion_fault(mask.array, values[session], others):
                    raise DataProblem(Problem(where, fault, "write 1 for the lesions and 0 elsewhere"))
                inside = lesion_voxels(mask.array, values[session])
                notes = [values_note(values[session]), check_lesion(inside, image, where)]
                outcome.notes += [f"{session}: {note}" for note in notes if note]
                lesions = Volume(inside.astype(np.uint8), mask.affine)
                if specks := len(components(lesions)) - len(components(lesions, SMALLEST_MM3)):
                    what = f"{specks} part(s) of its mask are under {SMALLEST_MM3:g} mm³ and not taken for lesions"
                    outcome.notes.append(f"{session}: {what}")
                read[session] = _Read(image, mask, lesions)
        return read

    def _choose(self) -> dict[str, Scan]:
        baseline = next((scan for scan in self.scans if scan.name == "baseline"), None)
        if baseline is None:
            return {}
        low, high = self.follow_up_days
        chosen = {BASELINE: baseline}
        after = {scan.day - baseline.day: scan for scan in self.scans if scan.day > baseline.day}
        window = [day for day in after if low <= day <= high]
        if window:
            follow_up = min(window, key=lambda day: (abs(day - min(max(90, low), high)), day))
            chosen[FOLLOW_UP] = after[follow_up]
            between = [day for day in after if day < follow_up]
            if between:
                chosen[SECOND] = after[min(between, key=lambda day: (abs(day - 21), day))]
        return chosen


@contextlib.contextmanager
def _costs_only_mri2(session: str, outcome: PatientOutcome) -> Iterator[None]:
    """Tell a problem of MRI 2 and go on without it; one of another session is raised."""
    try:
        yield
    except DataProblem as error:
        if session != SECOND:
            raise
        outcome.problems += map(str, error.problems)
        outcome.notes.append("taken without MRI 2, which cannot be used")


def _not_surely_gone(
    base: Mapping[str, LesionScan], pairs: Mapping[str, LesionScan], doubts: Mapping[str, str], mask: Volume
) -> dict[str, str]:
    """Lesions that are not drawn at follow-up and may still be there, with the reason.

    Gone are those whose place lies in the follow-up image with nothing drawn on it, if the mask draws another lesion of
    the baseline and not all that it draws grew. Nothing found is not nothing there.

    Args:
        base: the baseline's lesions.
        pairs: those found at follow-up.
        doubts: those whose fate is doubtful anyway.
        mask: the follow-up's mask as it is in the file.
    """
    all_grew = all(scan.volume_mm3 > base[key].volume_mm3 for key, scan in pairs.items())
    reasons = {}
    for key in set(base) - set(pairs) - set(doubts):
        points = base[key].mask.to_world(np.argwhere(base[key].mask.array))
        index = np.rint(mask.to_index(points)).astype(int)
        if not np.all((index >= 0) & (index < mask.array.shape)):
            reasons[key] = "its place reaches outside the image"
        elif mask.array[tuple(index.T)].any():
            reasons[key] = "only oedema, or a part that is too small for a lesion, is drawn at its place"
        elif not mask.array.any():
            reasons[key] = "its mask is empty, which does not say that somebody looked"
        elif not pairs:
            reasons[key] = "it is not drawn, and no other lesion of the baseline is"
        elif all_grew:
            reasons[key] = "it is not drawn, and all lesions that are drawn grew"
    return dict(sorted(reasons.items()))


def match_components(base: Mapping[str, Volume], found: list[Volume]) -> tuple[dict[str, LesionScan], dict[str, str]]:
    """Tell which component of a later scan is which lesion of the baseline.

    A component belongs to the lesions whose voxels it shares; failing that, to the nearest one whose centre is within
    10 mm. Two lesions in one component have merged, two components at one lesion are a split: both are doubts.

    Returns:
        The later scan by lesion, and doubts by lesion. A lesion in neither is gone; a component at no lesion is new.
    """
    owners = [_owners(base, component) for component in found]
    count = {key: sum(key in own for own in owners) for key in base}
    pairs: dict[str, LesionScan] = {}
    doubts: dict[str, str] = {}
    for component, own in zip(found, owners, strict=True):
        for key in own:
            if len(own) > 1:
                doubts[key] = MERGED
            elif count[key] > 1:
                doubts[key] = SPLIT
            else:
                pairs[key] = scan_from_mask(component)
    return {key: scan for key, scan in pairs.items() if key not in doubts}, doubts


def _owners(base: Mapping[str, Volume], component: Volume) -> list[str]:
    points = component.to_world(np.argwhere(component.array))
    shared = [key for key, mask in base.items() if _covers(mask, points)]
    if shared:
        return shared
    centre = points.mean(axis=0)
    distance = {key: float(np.linalg.norm(centroid(mask) - centre)) for key, mask in base.items()}
    nearest = min(distance, key=lambda key: distance[key], default=None)
    return [nearest] if nearest is not None and distance[nearest] <= REACH_MM else []


def _covers(mask: Volume, points: np.ndarray) -> bool:
    index = np.rint(mask.to_index(points)).astype(int)
    index = index[np.all((index >= 0) & (index < mask.array.shape), axis=1)]
    return bool(mask.array[tuple(index.T)].any())


def read_proteas(root: Path, days: Path | None, follow_up_days: tuple[int, int] = (60, 135)) -> Cohort:
    """Find the patients of a PROTEAS folder.

    Args:
        root: holds ``P01``, ``P02``, …
        days: CSV with ``patient, scan, day`` (``P01, fu1, 93``: days from any fixed day of the patient, or dates).

    Raises:
        DataProblem: no table of days, or no patient folder.
    """
    if days is None:
        what = "the layout holds no dates, so it is not known which scan is the follow-up"
        remedy = "give a CSV with columns patient, scan, day (from the data set's clinical workbook) with --clinical"
        raise DataProblem(Problem("PROTEAS", what, remedy))
    table, problems = _days(days)
    folders = sorted(folder for folder in root.glob("P*") if (folder / "BraTS").is_dir())
    if not folders:
        raise DataProblem(Problem("PROTEAS", "no folder Pxx with BraTS/ in it", "name the unpacked data set"))
    ids = subject_ids([folder.name for folder in folders])
    sources = [_patient(folder, ids[folder.name], table, follow_up_days) for folder in folders]
    unknown = len({patient for patient, _ in table} - set(ids))
    if unknown:
        what = f"names {unknown} patient(s) that have no folder"
        problems.append(Problem("table of days", what, "write patients as their folders are named"))
    key = {subject: original for original, subject in ids.items()}
    volumes_from = "counted mask voxels, one connected component per lesion"
    size = total_size(scan.image for source in sources for scan in source.scans)
    told = [str(problem) for problem in problems]
    return Cohort(sources, "PROTEAS (NIfTI)", volumes_from, told, key=key, image_bytes=size)


def _patient(
    folder: Path, subject: str, days: Mapping[tuple[str, str], int], window: tuple[int, int]
) -> ProteasPatient:
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in sorted([*folder.glob("tumor segmentation/*"), *folder.glob("tumor_segmentation/*")]):
        if match := _MASK.search(path.name):
            masks[match.group(1)].append(path)
    images = {path.name: sorted(path.glob("t1c.nii*")) for path in (folder / "BraTS").iterdir() if path.is_dir()}
    drawn_or_dated = {*masks, *(scan for patient, scan in days if patient == folder.name)}
    scans, problems = [], []
    for name in sorted(drawn_or_dated | {scan for scan in images if images[scan] and _SCAN.fullmatch(scan)}):
        day, files = days.get((folder.name, name)), (masks[name], images.get(name, []))
        if day is None and files[0]:
            problems.append(Problem(f"{subject} {name}", "has no day in the table", "add a row"))
        elif not files[0]:
            problems.append(Problem(f"{subject} {name}", "has no mask and is not used", "add its mask"))
        elif not files[1]:
            problems.append(Problem(f"{subject} {name}", "has a mask and no t1c image", "download it again"))
        elif max(map(len, files)) > 1:
            problems.append(Problem(f"{subject} {name}", "has several masks or t1c images", "keep one of each"))
        elif day is not None:
            scans.append(Scan(name, day, files[1][0], files[0][0]))
    return ProteasPatient(subject, tuple(scans), window, tuple(map(str, problems)))


def _days(path: Path) -> tuple[dict[tuple[str, str], int], list[Problem]]:
    """Days by patient and scan, and rows that cannot be used."""
    table = read_table_file(path, "table of days", ("patient", "scan", "day"))
    problems = [*table.problems]
    days: dict[tuple[str, str], set[tuple[int, bool]]] = defaultdict(set)
    for row in table.rows:
        try:
            day = row.value("day", parse_day, DAY_REMEDY)
        except DataProblem as error:
            problems += error.problems
            continue
        if day is None or not row.text("patient") or not row.text("scan"):
            problems.append(Problem(row.where, "has an empty cell; it is not used", "fill it in"))
        else:
            days[row.text("patient"), row.text("scan").lower()].add(day)
    usable = {key: next(iter(values)) for key, values in days.items() if len(values) == 1}
    if len(usable) < len(days):
        what = f"gives {len(days) - len(usable)} scan(s) several days; they are not used"
        problems.append(Problem("table of days", what, "give each scan one row"))
    kinds: dict[str, set[bool]] = defaultdict(set)
    for (patient, _), (_, is_date) in usable.items():
        kinds[patient].add(is_date)
    mixed = {patient for patient, kind in kinds.items() if len(kind) > 1}
    if mixed:
        what = f"gives {len(mixed)} patient(s) dates for some scans and whole numbers for others; they are not used"
        problems.append(Problem("table of days", what, "write all days of a patient in one way"))
    result = {key: day for key, (day, _) in usable.items() if key[0] not in mixed}
    if not result:
        raise DataProblem(*problems, Problem("table of days", "has no row that can be used", "correct it"))
    return result, problems
