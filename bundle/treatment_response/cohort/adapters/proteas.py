"""PROTEAS (Zenodo 17253793): brain metastases at baseline and follow-up as NIfTI, one mask for all lesions of a scan.

Layout, as third-party code uses it: ``Pxx/BraTS/{baseline,fu1,…}/t1c.nii.gz``, ``Pxx/tumor segmentation/`` (or
``tumor_segmentation``) ``Pxx_tumor_mask_{baseline,fu1,…}.nii.gz``. It holds no dates, so a table gives the days.
The scans of a patient lie in one space (BraTS preprocessing), so lesions are matched by where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.cohort.layout import read_volume, same_grid
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND, LesionScan, PatientScans, SessionScan
from treatment_response.cohort.masks import centroid, components, scan_from_mask
from treatment_response.cohort.pipeline import Cohort, subject_ids
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

SMALLEST_MM3 = 10.0
REACH_MM = 10.0
_MASK = re.compile(r"_tumor_mask_(baseline|fu\d+)\.nii(\.gz)?$")


@dataclass(frozen=True)
class Scan:
    """One time point."""

    name: str
    day: int
    image: Path
    mask: Path


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
        first, lesions = self._read(chosen[BASELINE])
        ids = {f"{number:02d}": f"L{number:02d}" for number in range(1, len(lesions) + 1)}
        base = dict(zip(ids, lesions, strict=True))
        day = chosen[BASELINE].day
        sessions = {BASELINE: SessionScan(first, day, {key: scan_from_mask(mask) for key, mask in base.items()})}
        for session in sorted(set(chosen) - {BASELINE}):
            image, found = self._read(chosen[session])
            pairs, doubts = match_components(base, found)
            for key, reason in doubts.items():
                if session == SECOND:
                    outcome.notes.append(f"{ids.get(key, key)}: taken without MRI 2, {reason}")
                elif key in ids:
                    outcome.leave_out(ids.pop(key), f"at follow-up: {reason}")
            sessions[session] = SessionScan(image, chosen[session].day, pairs)
        return PatientScans(self.subject, ids, sessions, site="PROTEAS")

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

    def _read(self, scan: Scan) -> tuple[Volume, list[Volume]]:
        where = f"{self.subject} {scan.name}"
        image = read_volume(scan.image, f"{where} image")
        mask = read_volume(scan.mask, f"{where} mask")
        if not same_grid(image, mask):
            raise DataProblem(Problem(f"{where} mask", "lies on another grid than its image", "download it again"))
        return image, components(mask, SMALLEST_MM3)


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
                doubts[key] = "merged with a neighbour"
            elif count[key] > 1:
                doubts[key] = "split into several parts"
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
        days: CSV with ``patient, scan, day`` (``P01, fu1, 93``: days from any fixed day of the patient).

    Raises:
        DataProblem: no table of days, or no patient folder.
    """
    if days is None:
        what = "the layout holds no dates, so it is not known which scan is the follow-up"
        remedy = "give a CSV with columns patient, scan, day (from the data set's clinical workbook) with --clinical"
        raise DataProblem(Problem("PROTEAS", what, remedy))
    table = _days(days)
    folders = sorted(folder for folder in root.glob("P*") if (folder / "BraTS").is_dir())
    if not folders:
        raise DataProblem(Problem("PROTEAS", "no folder Pxx with BraTS/ in it", "name the unpacked data set"))
    ids = subject_ids([folder.name for folder in folders])
    sources = [_patient(folder, ids[folder.name], table, follow_up_days) for folder in folders]
    key = {subject: original for original, subject in ids.items()}
    return Cohort(sources, "PROTEAS (NIfTI)", "counted mask voxels, one connected component per lesion", key=key)


def _patient(
    folder: Path, subject: str, days: Mapping[tuple[str, str], int], window: tuple[int, int]
) -> ProteasPatient:
    scans, problems = [], []
    for mask in sorted([*folder.glob("tumor segmentation/*"), *folder.glob("tumor_segmentation/*")]):
        match = _MASK.search(mask.name)
        if match is None:
            continue
        name = match.group(1)
        day = days.get((folder.name, name))
        images = sorted((folder / "BraTS" / name).glob("t1c.nii*"))
        if day is None:
            problems.append(str(Problem(f"{subject} {name}", "has no day in the table", "add a row")))
        elif not images:
            problems.append(str(Problem(f"{subject} {name}", "has a mask and no t1c image", "download it again")))
        else:
            scans.append(Scan(name, day, images[0], mask))
    return ProteasPatient(subject, tuple(scans), window, tuple(problems))


def _days(path: Path) -> dict[tuple[str, str], int]:
    try:
        table = pd.read_csv(path, dtype=str)
        return {
            (str(patient).strip(), str(scan).strip()): int(day)
            for patient, scan, day in table[["patient", "scan", "day"]].itertuples(index=False)
        }
    except (OSError, ValueError, KeyError) as error:
        what = f"cannot be read ({type(error).__name__}); expected columns patient, scan, day with whole days"
        raise DataProblem(Problem("table of days", what, "correct it")) from None
