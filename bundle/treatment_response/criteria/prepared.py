"""Segmented studies from a prepared data set of metastases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.cohort.case import read_cases
from treatment_response.cohort.layout import mask_path, read_volume
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SESSIONS, Status
from treatment_response.criteria.measurements import SegmentedStudy
from treatment_response.criteria.sources import PatientStudies
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference, same_grid
from treatment_response.problems import DataProblem, Problem


def read_prepared_studies(dataset: Path) -> list[PatientStudies]:
    """The lesions of a prepared data set of metastases: MRI 1, MRI 2 and the follow-up, matched by their names.

    Lesions that are new after MRI 1 are not in such a data set, and a lesion without a mask at follow-up is one that
    the data set's own rule calls resolved.

    Raises:
        DataProblem: the folder holds no table of lesions with days.
    """
    table = read_cases(dataset)
    if absent := [
        name for name in (*(f"days_{session}" for session in SESSIONS[1:]), f"status_{FOLLOW_UP}") if name not in table
    ]:
        what = f"its table has no column {', '.join(absent)}, so its studies have no days"
        raise DataProblem(Problem("data set", what, "measure the studies from a manifest of masks"))
    rated = table[f"status_{FOLLOW_UP}"] == Status.RATED
    synthetic = bool(table.get("synthetic", pd.Series([False])).astype(bool).all())

    groups = table[~rated].groupby("subject", sort=True)
    return [PatientStudies(str(subject), partial(_prepared, dataset, own), False, synthetic) for subject, own in groups]


def _prepared(dataset: Path, lesions: pd.DataFrame) -> list[SegmentedStudy]:
    studies: list[SegmentedStudy] = []
    for session in SESSIONS:
        day = 0 if session == BASELINE else lesions[f"days_{session}"].iloc[0]
        if pd.isna(day):
            continue
        subject = str(lesions["subject"].iloc[0])
        masks = _masks(dataset, subject, session, [str(name) for name in lesions["case"]])
        image = next(iter((dataset / subject / session / "anat").glob("*.nii.gz")), None)
        grid = next(iter(masks.values()), None)
        if image is not None:
            grid = read_volume(image, f"{subject} {session}")
        if grid is None:
            what = "there is neither an image nor a mask"
            raise DataProblem(Problem(f"{subject} {session}", what, "prepare the data set again"))
        if other := [name for name, mask in masks.items() if not same_grid(mask, grid)]:
            what = f"the mask of {other[0]} lies on another grid ({grid_difference(masks[other[0]], grid)})"
            raise DataProblem(Problem(f"{subject} {session}", what, "prepare the data set again"))
        lesion_masks = {name: mask.array > 0 for name, mask in masks.items()}
        union = np.zeros(grid.array.shape, dtype=bool)
        for mask in lesion_masks.values():
            union |= mask
        picture = None if image is None else grid.array
        region = Volume(union, grid.affine)
        studies.append(SegmentedStudy(session, int(day), region, {}, lesion_masks, image=picture, confirmed_empty=True))
    return studies


def _masks(dataset: Path, subject: str, session: str, lesions: list[str]) -> dict[str, Volume]:
    """Lesion → its mask, for those that have one in the session."""
    paths = {name: dataset / mask_path(subject, session, name) for name in lesions}
    return {name: read_volume(path, f"{subject} {session} {name}") for name, path in paths.items() if path.is_file()}
