"""A tiny LUMIERE in its own layout: every study a small oblique grid, compartments planted as boxes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np

RATING = (
    "Rating (according to RANO, PD: Progressive disease, SD: Stable disease, PR: Partial response, "
    "CR: Complete response, Pre-Op: Pre-Operative, Post-Op: Post-Operative)"
)
RATIONALE = (
    "Rating rationale (CRET: complete resection of the enhancing tumor, "
    "PRET: partial resection of the enhancing tumor, T2-Progr.: T2-Progression, L: Lesion)"
)
SHAPE, SPACING = (10, 12, 8), (1.0, 1.5, 2.0)
SEQUENCES = ("T1", "CT1", "T2", "FLAIR")
ATLAS = Path("DeepBraTumIA-segmentation", "atlas")


def affine() -> np.ndarray:
    """Oblique and anisotropic, unlike the real atlas: a grid that is taken for granted would show."""
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    made = np.eye(4)
    made[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    made[:3, 3] = (21.0, -17.0, 8.0)
    return made


def labels(enhancing: int, necrosis: int = 0, oedema: int = 0) -> np.ndarray:
    """A label map with so many voxels of each compartment, in a row from one corner on."""
    flat = np.zeros(int(np.prod(SHAPE)), np.uint8)
    flat[100 : 100 + enhancing] = 1
    flat[300 : 300 + necrosis] = 2
    flat[500 : 500 + oedema] = 3
    return flat.reshape(SHAPE)


def save(path: Path, array: np.ndarray, grid: np.ndarray | None = None) -> None:
    """Write a NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine() if grid is None else grid), path)


def write_study(
    root: Path,
    patient: str,
    week: str,
    mask: np.ndarray | None = None,
    sequences: Sequence[str] = SEQUENCES,
    swapped: bool = False,
    brightness: float = 1.0,
) -> Path:
    """One study's folder; in every image voxel (2, 3, 4) is bright by ``brightness`` and the sequence's number."""
    folder = root / "Imaging" / patient / week
    rng = np.random.default_rng(1)
    for number, name in enumerate(sequences, start=1):
        image = rng.uniform(1, 2, SHAPE).astype(np.float32)
        image[2, 3, 4] = 100 * brightness + number
        save(folder / ATLAS / "skull_strip" / f"{name.lower()}_skull_strip.nii.gz", image)
        save(folder / f"{name}.nii.gz", image)
    mask = labels(4, 2, 6) if mask is None else mask
    write_mask(folder, mask, swapped)
    return folder


def write_mask(folder: Path, mask: np.ndarray, swapped: bool = False) -> None:
    """A segmentation and its volumes; swapped: enhancing tumour is 2 in the mask, and the volumes know."""
    counts = [int((mask == number).sum()) * 3.0 for number in (1, 2, 3)]
    names = ["Enhancing_Core", "Necrotic_NonEnhancing", "Edema_Compartment"]
    if swapped:
        names[:2] = names[1::-1]
    save(folder / ATLAS / "segmentation" / "seg_mask.nii.gz", mask)
    volumes = folder / ATLAS / "segmentation" / "measured_volumes_in_mm3.json"
    volumes.write_text(json.dumps(dict(zip(names, counts, strict=True))))


def write_tables(
    root: Path, ratings: Sequence[tuple[str, ...]], clinical: Sequence[Mapping[str, str]] | None = None
) -> None:
    """The tables. A rating is ``patient, week, rating`` and may go on with a rationale and ``x`` for too early."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [(*row, *("",) * (5 - len(row))) for row in ratings]
    with (root / "LUMIERE-ExpertRating-v202211.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Patient", "Date", "LessThan3Months", "NonMeasurableLesions", RATING, RATIONALE])
        writer.writerows([(patient, week, early, "", rating, why) for patient, week, rating, why, early in rows])
    columns = ["Patient", "Survival time (weeks)", "Sex", "Age at surgery (years)", "IDH (WT: wild type)"]
    columns += ["IDH method", "MGMT qualitative", "MGMT quantitative"]
    with (root / "LUMIERE-Demographics_Pathology.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="na")
        table.writeheader()
        table.writerows(clinical or [])


def write_completeness(root: Path, rows: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """The completeness table: patient, week, the sequences that should be there."""
    with (root / "LUMIERE-datacompleteness.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Patient", "Timepoint", "CT1", "T1", "T2", "FLAIR", "DeepBraTumIA"])
        for patient, week, there in rows:
            marks = ["x" if name in there else "" for name in ("CT1", "T1", "T2", "FLAIR")]
            writer.writerow([patient, week, *marks, "x"])
