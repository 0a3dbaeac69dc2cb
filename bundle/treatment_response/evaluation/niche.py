"""The planted niches of a synthetic cohort, brought to the cells of the network's slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from treatment_response.cohort.layout import read_volume
from treatment_response.evaluation.views import LesionSlice
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

SESSION_NAMES = {"ses-01": "mri1", "ses-02": "mri2"}


def niche_cells(slices: Sequence[LesionSlice], truth_dir: Path, cells: int = 16) -> NDArray[np.float64]:
    """Niche fraction of each cell of each lesion's slice.

    Args:
        slices: lesions of a data set that was prepared from the synthetic cohort.
        truth_dir: the cohort's ``truth/`` folder.
        cells: cells along a side.

    Returns:
        ``(N, cells, cells)`` in [0, 1]: the mean niche share of the cell's GTV pixels, 0 outside the GTV.

    Raises:
        DataProblem: the truth is missing, or is that of another cohort.
    """
    names = _truth_names(truth_dir)
    result = []
    for one in slices:
        where = f"{one.subject} {one.lesion}"
        if (one.subject, one.lesion) not in names:
            raise DataProblem(Problem(where, "has no row in truth.csv", "give the truth of the cohort it came from"))
        stem = names[one.subject, one.lesion]
        niche = read_volume(truth_dir / "niche" / f"{stem}_{SESSION_NAMES[one.session]}.nii.gz", f"niche of {where}")
        result.append(cell_fractions(one, niche, cells))
    return np.stack(result)


def cell_fractions(one: LesionSlice, niche: Volume, cells: int = 16) -> NDArray[np.float64]:
    """Niche fraction of one slice's cells from a niche volume with its own affine.

    Raises:
        DataProblem: the niche volume does not reach the slice's GTV, so it belongs to another lesion.
    """
    size = one.x.shape[-1]
    i, j = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    world = np.stack([i, j, np.zeros_like(i), np.ones_like(i)], axis=-1) @ one.affine.T
    index = np.moveaxis(world @ np.linalg.inv(niche.affine).T, -1, 0)[:3]
    mask = one.x[1] > 0
    extent = np.array(niche.array.shape)[:, None]
    inside = ((index[:, mask] > -1) & (index[:, mask] < extent)).all(axis=0)
    if inside.mean() < 0.5:
        raise DataProblem(
            Problem(
                f"{one.subject} {one.lesion}",
                "its planted niche lies elsewhere in the scanner",
                "give the truth of the cohort that this data set was prepared from",
            )
        )
    share = map_coordinates(niche.array.astype(float), index, order=1, mode="constant", cval=0.0).clip(0, 1)
    step = size // cells
    blocks = (cells, step, cells, step)
    area = mask.reshape(blocks).sum(axis=(1, 3))
    total = (share * mask).reshape(blocks).sum(axis=(1, 3))
    return np.divide(total, area, out=np.zeros((cells, cells)), where=area > 0)


def _truth_names(truth_dir: Path) -> dict[tuple[str, str], str]:
    """(subject, lesion) of the prepared data set → stem of the niche file.

    Preparing numbers the patients in the order of their original ids, and so is done here; `cell_fractions` then checks
    each pair in the scanner's millimetres.
    """
    table = truth_dir / "truth.csv"
    if not table.is_file():
        raise DataProblem(Problem(str(table), "the file is missing", "name the cohort's truth folder (--truth)"))
    truth = pd.read_csv(table, dtype={"patient_id": str, "lesion": str})
    subjects = {name: f"sub-{n:03d}" for n, name in enumerate(sorted(truth["patient_id"].unique()), start=1)}
    rows = zip(truth["patient_id"], truth["lesion"], strict=True)
    return {(subjects[patient], lesion): f"{patient}_{lesion}" for patient, lesion in rows}
