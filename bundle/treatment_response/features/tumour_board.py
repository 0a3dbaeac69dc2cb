"""What a tumour board asks of a lesion after radiotherapy, in numbers: dose, place, time and growth. No network.

All volumes lie on one grid. A voxel counts whole, with the dose at its centre. A dose that is the sum of several
courses is compared with the sum of their prescriptions, each in the unit of the dose: an EQD2 with the EQD2 of each.
So a boost in a plan of its own is measured as if one plan had given both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from treatment_response.geometry import Volume, bounding_box
from treatment_response.geometry.grids import same_grid
from treatment_response.problems import DataProblem, Problem
from treatment_response.text_enum import TextEnum

DVH_POINTS = 200
DAYS_PER_MONTH = 30.4375
ISODOSE = 0.95
"""Share of the prescription whose surface tells central from distant."""
SHOWN_ISODOSES = (0.5, 0.8, ISODOSE, 1.0)
"""Shares of the prescription that are marked on a lesion's dose-volume curve."""
TUMOUR_BOARD, DVH = "tumour_board.csv", "dvh.csv"
"""The tables of a data set: the lesions' numbers, and their dose-volume curves."""

QUANTITIES = {
    "lesion_volume_ml": ("lesion volume", "ml"),
    "lesion_growth": ("growth", "ml/month"),
    "lesion_mean_dose_gy": ("mean dose in the lesion", "Gy"),
    "lesion_max_dose_gy": ("maximum dose in the lesion", "Gy"),
    "lesion_d2_gy": ("D2 of the lesion", "Gy"),
    "lesion_d98_gy": ("D98 of the lesion", "Gy"),
    "lesion_v95_ml": ("lesion inside the 95 % isodose", "ml"),
    "lesion_share_95": ("share inside the 95 % isodose", ""),
    "isodose_class": ("isodose class", ""),
    "ventricle_distance_mm": ("distance to the ventricles", "mm"),
    "cavity_distance_mm": ("distance to the cavity", "mm"),
    "months_since_radiotherapy": ("time since radiotherapy", "months"),
}
"""Column of the tables → what it holds, and its unit, for readers. A share is a number from 0 to 1."""


class IsodoseClass(TextEnum):
    """How a lesion lies to the 95 % isodose, by the share of its volume inside.

    References:
        Lee et al., Int J Radiat Oncol Biol Phys 43, 1999; Chan et al., J Clin Oncol 20, 2002 (of recurrences; both
        cited from memory). Published classes by dose differ from study to study (Piper et al., J Neurooncol 139, 2018,
        77).
    """

    CENTRAL = "central"
    """At least 95 %."""
    IN_FIELD = "in-field"
    """80 to 95 %."""
    MARGINAL = "marginal"
    """20 to 80 %."""
    DISTANT = "distant"
    """Less than 20 %."""


def isodose_class(share: float) -> IsodoseClass:
    """The class of a lesion of whose volume this share, in [0, 1], lies inside the 95 % isodose."""
    if share >= 0.95:
        return IsodoseClass.CENTRAL
    if share >= 0.8:
        return IsodoseClass.IN_FIELD
    return IsodoseClass.MARGINAL if share >= 0.2 else IsodoseClass.DISTANT


@dataclass(frozen=True)
class DoseVolume:
    """The cumulative dose-volume histogram of a region.

    Attributes:
        dose_gy: ``(DVH_POINTS,)`` from 0 to the region's highest dose.
        share: of the region's volume that receives at least so much, ``(DVH_POINTS,)``, from 1 down.
        mean_gy, max_gy: over its voxels.
        d2_gy, d98_gy: dose that 2 % and 98 % of the volume receive at least (ICRU 83's near-maximum and near-minimum).
    """

    dose_gy: np.ndarray
    share: np.ndarray
    mean_gy: float
    max_gy: float
    d2_gy: float
    d98_gy: float


def dose_volume(dose: Volume, region: Volume) -> DoseVolume:
    """The dose-volume histogram of a region.

    Args:
        dose: Gy. region: mask, on the dose's grid.

    Raises:
        DataProblem: the region is empty, or on another grid.
    """
    values = _inside(dose, region)
    levels = np.linspace(0.0, float(values.max()), DVH_POINTS)
    ordered = np.sort(values)
    share = 1.0 - np.searchsorted(ordered, levels, side="left") / len(ordered)
    d98, d2 = np.percentile(values, [2, 98])
    return DoseVolume(levels, share, float(values.mean()), float(values.max()), float(d2), float(d98))


def distance_mm(region: Volume, other: Volume) -> float | None:
    """Least gap between the voxels of two regions in mm; 0 if they touch, None if ``other`` is empty.

    A voxel is a box: the gap between two boxes counts, not the distance of their centres.

    Args:
        region, other: masks on one grid, which may be oblique and anisotropic.

    Raises:
        DataProblem: the region is empty, or they lie on two grids.
    """
    _check(region, other)
    if not (other.array > 0).any():
        return None
    inside = region.array > 0
    nearest = ndimage.distance_transform_edt(
        other.array <= 0, sampling=region.spacing, return_distances=False, return_indices=True
    )
    apart = np.abs(nearest[:, inside] - np.argwhere(inside).T)
    return float(np.linalg.norm(np.maximum(apart - 1, 0) * region.spacing[:, None], axis=0).min())


@dataclass(frozen=True)
class TumourBoardSheet:
    """The numbers of one lesion; None is "not computed".

    Attributes:
        volume_ml: of the lesion.
        growth_ml_per_month: volume that did not enhance on the earlier image, by the months between.
        dose: its dose-volume histogram, in the unit of the dose that was given.
        v95_ml, share_95: volume, and share of the volume in [0, 1], inside the 95 % isodose.
        isodose: `isodose_class` of the share.
        ventricle_distance_mm, cavity_distance_mm: gap to the nearest voxel of either; 0 where they touch.
        months_since_radiotherapy: from the last day of treatment to the image.
    """

    volume_ml: float
    growth_ml_per_month: float | None
    dose: DoseVolume
    v95_ml: float | None
    share_95: float | None
    isodose: IsodoseClass | None
    ventricle_distance_mm: float | None
    cavity_distance_mm: float | None
    months_since_radiotherapy: float | None

    def row(self) -> dict[str, Any]:
        """As columns of a table; an empty text is "not computed"."""
        numbers = {
            "lesion_volume_ml": self.volume_ml,
            "lesion_growth": self.growth_ml_per_month,
            "lesion_mean_dose_gy": self.dose.mean_gy,
            "lesion_max_dose_gy": self.dose.max_gy,
            "lesion_d2_gy": self.dose.d2_gy,
            "lesion_d98_gy": self.dose.d98_gy,
            "lesion_v95_ml": self.v95_ml,
            "lesion_share_95": self.share_95,
            "isodose_class": None if self.isodose is None else str(self.isodose),
            "ventricle_distance_mm": self.ventricle_distance_mm,
            "cavity_distance_mm": self.cavity_distance_mm,
            "months_since_radiotherapy": self.months_since_radiotherapy,
        }
        return {name: "" if value is None else value for name, value in numbers.items()}


@dataclass(frozen=True)
class SheetRow:
    """One line of a sheet as people read it.

    Attributes:
        value: a number in `unit`, or words; None is "not computed", and `note` says why.
        unit: as in UCUM but for readers, such as ``Gy``, ``ml/month`` or ``%``; empty for words.
        note: what a reader must know of the value; may be empty.
    """

    name: str
    value: float | str | None
    unit: str = ""
    note: str = ""


def sheet_rows(
    sheet: TumourBoardSheet,
    *,
    lesion_from: str = "",
    ventricles_from: str = "",
    cavity_from: str = "",
    dose_from: str = "",
    dose_unit: str = "Gy",
    earlier: str = "the earlier image",
    end_from: str = "",
) -> list[SheetRow]:
    """The sheet as lines, each with its unit and where it is from.

    Args:
        lesion_from, ventricles_from, cavity_from, dose_from, end_from: origin of lesion, ventricles, cavity, dose and
            the last day of treatment, in words.
        dose_unit: ``Gy`` or ``Gy(RBE)``. earlier: the image that growth counts from, in words.
    """
    no_prescription = "a plan states no prescription, or several"
    growth = f"volume that did not enhance on {earlier}"
    if sheet.growth_ml_per_month is None:
        growth = "the time between the images is not known"
    share = None if sheet.share_95 is None else 100 * sheet.share_95
    isodose = None if sheet.isodose is None else str(sheet.isodose)
    without_prescription = no_prescription if share is None else ""
    values: dict[str, tuple[float | str | None, str]] = {
        "lesion_volume_ml": (sheet.volume_ml, lesion_from),
        "lesion_growth": (sheet.growth_ml_per_month, growth),
        "lesion_mean_dose_gy": (sheet.dose.mean_gy, dose_from),
        "lesion_max_dose_gy": (sheet.dose.max_gy, dose_from),
        "lesion_d2_gy": (sheet.dose.d2_gy, "2 % of its volume get at least this"),
        "lesion_d98_gy": (sheet.dose.d98_gy, "98 % of its volume get at least this"),
        "lesion_v95_ml": (sheet.v95_ml, without_prescription),
        "lesion_share_95": (share, without_prescription),
        "isodose_class": (isodose, no_prescription if isodose is None else "by that share"),
        "ventricle_distance_mm": (sheet.ventricle_distance_mm, ventricles_from or "they are not in the image"),
        "cavity_distance_mm": (sheet.cavity_distance_mm, cavity_from or "no cavity was found"),
        "months_since_radiotherapy": (
            sheet.months_since_radiotherapy,
            "the end of a course is not known" if sheet.months_since_radiotherapy is None else end_from,
        ),
    }
    units = {column: dose_unit if unit == "Gy" else unit for column, (_, unit) in QUANTITIES.items()}
    units["lesion_share_95"] = "%"
    return [SheetRow(QUANTITIES[column][0], value, units[column], note) for column, (value, note) in values.items()]


def tumour_board(
    lesion: Volume,
    dose: Volume,
    *,
    isodose_gy: float | None = None,
    ventricles: Volume | None = None,
    cavity: Volume | None = None,
    before: Volume | None = None,
    days_between: int | None = None,
    days_since_radiotherapy: int | None = None,
) -> TumourBoardSheet:
    """The sheet of one lesion, from volumes alone.

    Args:
        lesion: mask; the other volumes lie on its grid.
        dose: Gy (physical or EQD2).
        isodose_gy: dose on the 95 % isodose of the prescription (of several courses: of their sum), in the unit of
            `dose`; None: no prescription.
        ventricles, cavity: masks; None: not known.
        before: mask of what enhanced on the earlier image; None: no growth is computed.
        days_between: from the earlier image to this one, above 0.
        days_since_radiotherapy: from the last day of treatment to this image.

    Raises:
        DataProblem: the lesion is empty, or a volume lies on another grid.
    """
    histogram = dose_volume(dose, lesion)
    volume_ml = float((lesion.array > 0).sum()) * lesion.voxel_volume / 1000
    growth = None
    if before is not None and days_between:
        _check(lesion, before)
        new = float(((lesion.array > 0) & (before.array <= 0)).sum()) * lesion.voxel_volume / 1000
        growth = new / (days_between / DAYS_PER_MONTH)
    share = None if isodose_gy is None else float((_inside(dose, lesion) >= isodose_gy).mean())
    return TumourBoardSheet(
        volume_ml,
        growth,
        histogram,
        None if share is None else share * volume_ml,
        share,
        None if share is None else isodose_class(share),
        None if ventricles is None else distance_mm(lesion, ventricles),
        None if cavity is None else distance_mm(lesion, cavity),
        None if days_since_radiotherapy is None else days_since_radiotherapy / DAYS_PER_MONTH,
    )


def isodose_column(share: float) -> str:
    """The column of ``tumour_board.csv`` that holds the dose on the isodose of a share of the prescription."""
    return f"isodose_{round(100 * share)}_gy"


def dvh_rows(subject: str, sheet: TumourBoardSheet) -> Sequence[dict[str, Any]]:
    """Rows of ``dvh.csv``: subject, dose_gy, share."""
    pairs = zip(sheet.dose.dose_gy.tolist(), sheet.dose.share.tolist(), strict=True)
    return [{"subject": subject, "dose_gy": dose, "share": share} for dose, share in pairs]


def _inside(volume: Volume, region: Volume) -> np.ndarray:
    _check(region, volume)
    box = bounding_box(region.array)
    assert box is not None  # it is not empty
    return np.asarray(volume.array[box][region.array[box] > 0], dtype=np.float64)


def _check(region: Volume, other: Volume) -> None:
    if not same_grid(region, other):
        raise DataProblem(Problem("lesion", "lies on another grid than a volume", "resample them onto one grid"))
    if not (region.array > 0).any():
        raise DataProblem(Problem("lesion", "its mask is empty", "draw it, or leave it out"))
