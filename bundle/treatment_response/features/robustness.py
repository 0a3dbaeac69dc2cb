"""How much a feature changes when the contour or the intensities change a little: its intraclass correlation (ICC)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy import ndimage

from treatment_response.cohort.lesion import BASELINE
from treatment_response.features.cache import FeatureCache, hash_of
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.groups import GROUPS, check_groups, measured
from treatment_response.features.scans import OpenScan, Scan, dataset_scans
from treatment_response.features.table import LESION_KEY
from treatment_response.features.workers import measure_all
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem


def icc_2_1(ratings: np.ndarray) -> np.ndarray:
    """ICC(2,1): two-way random effects, absolute agreement, a single measurement.

    Absolute agreement, because a model fitted to one contour meets values from another: a feature that all larger
    contours shift alike is not robust.

    Args:
        ratings: ``(lesions, perturbations, features)``; a lesion with a missing value does not count for that feature.

    Returns:
        ``(features,)``, at most 1; NaN where all values are equal or fewer than two lesions are complete.

    References:
        Shrout and Fleiss, Psychol Bull 86 (1979) 420.
    """
    complete = ~np.isnan(ratings).any(axis=1)
    values = np.where(complete[:, None, :], ratings, np.nan)
    n, k = complete.sum(axis=0).astype(float), ratings.shape[1]
    filled = np.where(complete[:, None, :], values, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        grand = filled.sum(axis=(0, 1)) / (n * k)
        centred = np.where(complete[:, None, :], filled - grand, 0.0)
        between_lesions = k * (centred.mean(axis=1) ** 2).sum(axis=0)
        between_raters = n * ((centred.sum(axis=0) / n) ** 2).sum(axis=0)
        residual = np.maximum((centred**2).sum(axis=(0, 1)) - between_lesions - between_raters, 0.0)
        bms, jms = between_lesions / (n - 1), between_raters / (k - 1)
        ems = residual / ((n - 1) * (k - 1))
        icc = (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n)
    result: np.ndarray = np.where(n >= 2, icc, np.nan)
    return result


def lesions_of(index: pd.Index) -> pd.MultiIndex:
    """The ``(subject, lesion)`` of every row."""
    return pd.MultiIndex.from_frame(index.to_frame(index=False)[LESION_KEY])


def icc_of_table(ratings: pd.DataFrame) -> pd.Series:
    """ICC(2,1) of every column.

    Args:
        ratings: index ``(subject, lesion, perturbation)``; a lesion without one of the perturbations counts as missing.
    """
    lesions = lesions_of(ratings.index).unique()
    perturbations = ratings.index.get_level_values("perturbation").unique()
    wanted = pd.MultiIndex.from_tuples([(*lesion, p) for lesion in lesions for p in perturbations])
    values = ratings.reorder_levels([*LESION_KEY, "perturbation"]).reindex(wanted).to_numpy(dtype=float)
    return pd.Series(icc_2_1(values.reshape(len(lesions), len(perturbations), -1)), index=ratings.columns, name="icc")


@dataclass(frozen=True)
class Perturbation:
    """A small change of contour and intensities, as another observer and another acquisition would make it.

    Attributes:
        name: of the row; unique.
        contour_mm: standard deviation of the border's smooth displacement.
        gain: factor on the scaled intensities (an error of the scaling; a scanner's gain is removed before).
        noise: standard deviation of noise on every voxel; head tissue is 100.
    """

    name: str
    contour_mm: float = 0.0
    gain: float = 1.0
    noise: float = 0.0


PERTURBATIONS = (
    Perturbation("none"),
    Perturbation("contour 1", contour_mm=0.5),
    Perturbation("contour 2", contour_mm=0.5),
    Perturbation("bright", gain=1.05, noise=2.0),
    Perturbation("dark", gain=0.95, noise=2.0),
)
CORRELATION_MM = 3.0
"""Over this distance a border's displacement stays alike: an observer errs in strokes, not in single voxels."""
REVISION = 1
"""Raise it when a perturbation of the same settings gives other values than before."""


class PerturbedScan(OpenScan):
    """A scan whose contours and intensities are changed a little; every feature group measures it as any other.

    The same scan, lesion and perturbation always give the same values.
    """

    def __init__(self, scan: Scan, perturbation: Perturbation) -> None:
        super().__init__(scan)
        self.perturbation = perturbation

    @cached_property
    def image(self) -> Volume:
        """The MR with gain and noise."""
        image, change = super().image, self.perturbation
        noise = self._random("image").normal(0.0, change.noise, image.array.shape) if change.noise else 0.0
        return Volume(image.array * change.gain + noise, image.affine)

    def mask(self, lesion: str) -> Volume:
        """The lesion with its border moved."""
        mask = super().mask(lesion)
        if not self.perturbation.contour_mm:
            return mask
        return displaced(mask, self.perturbation.contour_mm, self._random(lesion))

    def _random(self, what: str) -> np.random.Generator:
        key = hash_of(scan=self.where, what=what, perturbation=self.perturbation.name)
        return np.random.default_rng(int(key[:16], 16))


def displaced(mask: Volume, sd_mm: float, random: np.random.Generator) -> Volume:
    """The mask with its border moved by a smooth random field.

    Args:
        mask: above 0 inside; any affine.
        sd_mm: standard deviation of the displacement along the border's normal, in mm.

    Returns:
        uint8 on the same grid. Of a lesion that would vanish, the voxel that is most inside stays.
    """
    spacing = np.linalg.norm(mask.affine[:3, :3], axis=0)
    reach = np.ceil((4 * sd_mm + CORRELATION_MM) / spacing).astype(int)
    inside = np.asarray(mask.array) > 0
    points = np.argwhere(inside)
    low = np.maximum(points.min(axis=0) - reach, 0)
    high = np.minimum(points.max(axis=0) + reach + 1, inside.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = np.pad(inside[box], 1)
    # A voxel next to the border lies half a voxel from it, not a whole one.
    half = spacing.min() / 2
    within = ndimage.distance_transform_edt(part, spacing)
    outside = ndimage.distance_transform_edt(~part, spacing)
    depth = np.where(part, within - half, half - outside)[1:-1, 1:-1, 1:-1]
    field = ndimage.gaussian_filter(random.normal(size=depth.shape), CORRELATION_MM / spacing, mode="wrap")
    moved = depth + field * (sd_mm / field.std())
    new = moved > 0
    if not new.any():
        new = moved == np.where(inside[box], moved, -np.inf).max()
    result = np.zeros(inside.shape, dtype=np.uint8)
    result[box] = new
    return Volume(result, mask.affine)


def perturbed_features(
    dataset_dir: str | Path,
    cache_dir: str | Path,
    session: str = BASELINE,
    groups: Sequence[str] = (GRADIENT_GROUP,),
    processes: int = 1,
    console: Console | None = None,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
) -> pd.DataFrame:
    """Features of every lesion under every perturbation, cached lesion by lesion.

    A perturbation that does not touch what a group is measured on costs nothing if `extraction.extract_dataset` has
    filled the cache; the others take as long as a session of the data set each.

    Args:
        dataset_dir: a prepared data set. cache_dir: may be that of `extraction.extract_dataset`.
        session: the one that models are trained on.
        groups: of `groups.GROUPS`. processes: one thread each. console: where the progress bar goes.

    Returns:
        Index ``(subject, lesion, perturbation)``, one column per feature. A lesion that a perturbation makes
        unmeasurable has NaN and does not count in the ICC.

    Raises:
        DataProblem: an unknown group, or a cache that cannot be used.
    """
    check_groups(groups)
    FeatureCache(Path(cache_dir))
    scans = dataset_scans(dataset_dir, [session])
    work = [(scan, change, tuple(groups), Path(cache_dir)) for scan, change in product(scans, perturbations)]
    total = sum(len(scan.masks) for scan in scans) * len(perturbations)
    rows, _ = measure_all(_perturbed_scan, work, total, "measuring robustness", processes, console)
    names = [feature.name for group in groups for feature in GROUPS[group].features]
    table = pd.DataFrame(rows).set_index([*LESION_KEY, "perturbation"]).sort_index()
    return table.reindex(columns=names).astype(float)


def _perturbed_scan(
    scan: Scan, change: Perturbation, groups: Sequence[str], cache_dir: Path
) -> tuple[list[dict[str, Any]], list[Problem]]:
    cache, opened = FeatureCache(cache_dir), PerturbedScan(scan, change)
    rows = []
    for lesion in scan.masks:
        values: dict[str, Any] = {"subject": scan.subject, "lesion": lesion, "perturbation": change.name}
        for group in groups:
            touched = change.contour_mm or (not GROUPS[group].of_dose and (change.gain != 1.0 or change.noise))
            facts = {"perturbation": [REVISION, asdict(change), hash_of(scan=opened.where, lesion=lesion)]}
            with suppress(DataProblem):
                values |= measured(opened, lesion, group, cache, **(facts if touched else {}))
        rows.append(values)
    return rows, []
