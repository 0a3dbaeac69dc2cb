"""A tiny prepared data set whose label is plainly visible: lesions that respond have a bright core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from treatment_response.cohort.dataset import write_tables
from treatment_response.cohort.layout import DATALIST, LESIONS, image_path, mask_path, write_volume
from treatment_response.cohort.lesion import LesionRecord, Status
from treatment_response.geometry import Volume

SHAPE = (64, 72, 20)


def oblique_affine(spacing: tuple[float, float, float] = (0.9, 0.9, 2.5), flip: bool = True) -> np.ndarray:
    """Slightly oblique, anisotropic; the first two axes run towards L and P as in scanners."""
    angle = np.deg2rad(8)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(np.array(spacing) * ([-1, -1, 1] if flip else [1, 1, 1]))
    affine[:3, 3] = [20.0, -35.0, 12.0]
    return affine


def write_toy_dataset(root: Path, patients: int = 12, folds: int = 3, seed: int = 0, visible: bool = True) -> Path:
    """Write ``patients`` × 2 lesions, both sessions; one patient's lesions share one volume.

    Args:
        visible: False makes images that hold nothing about the label.
    """
    rng = np.random.default_rng(seed)
    affine = oblique_affine()
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1).astype(float)
    middle = (np.array(SHAPE) - 1) / 2
    head = (((grid - middle) / (np.array(SHAPE) * 0.45)) ** 2).sum(axis=-1) < 1
    records = []
    for number in range(1, patients + 1):
        subject = f"sub-{number:03d}"
        labels = [number % 2, (number // 2) % 2]
        centres = [middle + np.array(offset) for offset in ([-10, 3, 0], [11, -4, 1])]
        for session in ("ses-01", "ses-02"):
            gain = rng.uniform(50, 900)
            image = np.where(head, 1.0 + 0.3 * np.sin(grid[..., 0] / 4) * np.cos(grid[..., 1] / 5), 0.05) + rng.normal(
                0, 0.02, SHAPE
            )
            for index, (label, centre) in enumerate(zip(labels, centres, strict=True), start=1):
                centre = centre + rng.uniform(-1, 1, 3)
                distance = np.linalg.norm((grid - centre) * np.linalg.norm(affine[:3, :3], axis=0), axis=-1)
                image[distance < 5] = 1.1
                if label and visible:
                    image[distance < 3] = 1.8
                write_volume(
                    root / mask_path(subject, session, f"L{index:02d}"), Volume((distance < 5).astype(np.uint8), affine)
                )
            image = image * gain + 20
            write_volume(root / image_path(subject, session), Volume(image.astype(np.int16), affine))
        for index, label in enumerate(labels, start=1):
            volumes = {"ses-01": 520.0, "ses-02": 500.0, "ses-03": 200.0 if label else 600.0}
            areas = dict.fromkeys(volumes, 300.0)
            days = {"ses-02": 21, "ses-03": 90}
            records.append(LesionRecord(subject, f"L{index:02d}", volumes, areas, days, Status.PRESENT, synthetic=True))
    write_tables(root, records, name="toy", folds=folds, seed=seed)
    return root


def doubt_lesions(root: Path, lesions: Sequence[tuple[str, str]], listed: bool = True) -> None:
    """Take the label of some lesions away: their follow-up is in doubt.

    Args:
        lesions: (subject, lesion).
        listed: False leaves them out of the data set altogether.
    """
    content = json.loads((root / DATALIST).read_text(encoding="utf-8"))
    chosen = set(lesions)
    taken = [sample for sample in content["training"] if (sample["subject"], sample["lesion"]) in chosen]
    content["training"] = [sample for sample in content["training"] if sample not in taken]
    without = [{k: v for k, v in sample.items() if k not in ("label", "volume_change")} for sample in taken]
    if listed:
        content["unlabelled"] = [{**sample, "reason": "nothing is drawn at its place"} for sample in without]
    (root / DATALIST).write_text(json.dumps(content), encoding="utf-8")
    table = pd.read_csv(root / LESIONS)
    doubtful = [key in chosen for key in zip(table["subject"], table["lesion"], strict=True)]
    table[~np.array(doubtful)].to_csv(root / LESIONS, index=False)


def join_persons(root: Path, persons: Mapping[str, str]) -> None:
    """Say of some subjects whose person they are, and put them into that person's fold.

    Args:
        persons: subject → subject that stands for the person.
    """
    content = json.loads((root / DATALIST).read_text(encoding="utf-8"))
    fold_of = {sample["subject"]: sample["fold"] for sample in content["training"]}
    for sample in [*content["training"], *content.get("unlabelled", [])]:
        if sample["subject"] in persons:
            sample["person"] = persons[sample["subject"]]
            sample["fold"] = fold_of[sample["person"]]
    (root / DATALIST).write_text(json.dumps(content), encoding="utf-8")
