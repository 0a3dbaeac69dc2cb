"""How long 600 studies take to measure, from NIfTI files to all tables, with 200 draws of contours each.

python benchmarks/criteria.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from treatment_response.cohort.layout import write_volume
from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.mask_manifest import LabelNames, read_mask_manifest
from treatment_response.criteria.patient import CRITERIA_SETS
from treatment_response.criteria.tables import write_tables
from treatment_response.geometry import Volume
from treatment_response.processes import worker_pool
from treatment_response.report.response_page import measured_patient

SHAPE = (182, 218, 182)
AFFINE = np.array([[-1.0, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])
STUDIES = 8
LABELS = LabelNames.parse(["1=enhancing", "2=necrosis", "3=edema"], "enhancing")


def write_patient(folder: Path, subject: str, seed: int) -> list[str]:
    """A glioblastoma's course on LUMIERE's atlas grid (1 mm): rim, necrosis, edema, satellites. Synthetic.

    Returns:
        Rows of the manifest.
    """
    generator = np.random.default_rng(seed)
    centre = generator.uniform(60, 120, 3)
    satellites = centre + generator.uniform(-45, 45, (3, 3))
    rows = []
    for study in range(STUDIES):
        labels = np.zeros(SHAPE, dtype=np.uint8)
        radius = generator.uniform(8, 24)
        for value, scale in ((3, 1.5), (1, 1.0), (2, 0.6)):
            _ball(labels, centre, radius * scale, value)
        for number, place in enumerate(satellites):
            if study >= 2 * number:
                _ball(labels, place, generator.uniform(2, 7), 1)
        name = f"{subject}_{study}.nii.gz"
        write_volume(folder / name, Volume(labels, AFFINE))
        rows.append(f"{subject},week-{8 * study},{56 * study},{name}")
    return rows


def _ball(labels: np.ndarray, centre: np.ndarray, radius: float, value: int) -> None:
    low = np.maximum(np.floor(centre - radius).astype(int), 0)
    high = np.minimum(np.ceil(centre + radius).astype(int) + 1, SHAPE)
    box = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    axes = np.meshgrid(*(np.arange(*pair) for pair in zip(low, high, strict=True)), indexing="ij", sparse=True)
    squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True))
    labels[box][squared <= radius**2] = value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = [
            row
            for number in range(max(options.studies // STUDIES, 1))
            for row in write_patient(root, f"sub-{number:03d}", number)
        ]
        (root / "manifest.csv").write_text("\n".join(["subject,study,day,mask", *rows]) + "\n")
        criteria = CRITERIA_SETS["rano2"] + CRITERIA_SETS["rano-bm"]
        start = time.perf_counter()
        patients = read_mask_manifest(root / "manifest.csv", LABELS)
        with worker_pool(options.workers, [measured_patient.__module__]) as pool:
            jobs = [pool.submit(measured_patient, one, PatientCourse(), criteria, 0.3, None) for one in patients]
            measured = [job.result() for job in jobs]
        write_tables(root / "out", measured)
        seconds = time.perf_counter() - start
    print(f"{len(rows)} studies, {options.workers} processes: {seconds:.0f} s, {seconds / len(rows):.3f} s per study")
    return 0


if __name__ == "__main__":
    sys.exit(main())
