"""Read a dose grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from treatment_response.dicom.entries import DoseEntry
from treatment_response.dicom.image_plane import is_grid
from treatment_response.dicom.pixels import PixelsUnusable, decoded
from treatment_response.dicom.read_object import ObjectUnusable, read_object
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

MAX_DOSE_GY = 500.0
"""More is not given in one plan to a brain: such values are in cGy, or damaged."""


@dataclass(frozen=True)
class Dose:
    """A dose grid.

    Attributes:
        volume: dose in Gy, float32, on the dose's own grid.
        summation_type: Dose Summation Type (``PLAN``, ``FRACTION``, ``BEAM``, …).
        dose_type: Dose Type (``PHYSICAL``, ``EFFECTIVE``).
    """

    volume: Volume
    summation_type: str
    dose_type: str
    frame_uid: str


def read_dose(entry: DoseEntry | Path, where: str | None = None) -> Dose:
    """Read a dose in Gy.

    Args:
        entry: from ``scan_folder``, or a file.
        where: how to call the dose in problems; None is its description.

    Raises:
        DataProblem: units other than Gy, Dose Type ``ERROR``, uneven planes, values that are no doses, or a file
            that is no readable dose.
    """
    name = where or (entry.name if isinstance(entry, DoseEntry) else "dose")
    try:
        return _dose(read_object(entry.path if isinstance(entry, DoseEntry) else entry))
    except _Refused as refused:
        raise DataProblem(Problem(name, *refused.args)) from None
    except (ObjectUnusable, PixelsUnusable) as error:
        what, remedy = error.args
        raise DataProblem(Problem(name, f"is not a readable RT Dose with a dose grid: it {what}", remedy)) from None
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(name, "is not a readable RT Dose with a dose grid", "export it again")) from None


class _Refused(Exception):
    """Why a dose is not read, as (what, remedy)."""


def _dose(dataset: Dataset) -> Dose:
    if dataset.get("SOPClassUID") != RTDoseStorage:
        raise ValueError
    units = str(dataset.get("DoseUnits") or "").strip().upper()
    kind = str(dataset.get("DoseType") or "").strip().upper()
    if units != "GY":
        what = f"has dose units {units[:16] or 'not given'}, expected GY"
        raise _Refused(what, "export absolute dose from the planning system")
    if kind == "ERROR":
        raise _Refused("holds the error of a dose (Dose Type ERROR), expected a dose", "export the plan's dose")
    stored = decoded(dataset)
    affine, order = _grid(dataset, len(stored))
    array = _in_gray(stored[order].transpose(2, 1, 0), float(dataset.DoseGridScaling))
    summation = str(dataset.get("DoseSummationType") or "").strip().upper()
    return Dose(Volume(array, affine), summation, kind, str(dataset.get("FrameOfReferenceUID") or ""))


def _in_gray(stored: np.ndarray, scaling: float) -> np.ndarray:
    if not (np.isfinite(scaling) and scaling > 0):
        raise _Refused(f"has dose grid scaling {scaling:g}, expected a number above 0", "export it again")
    if stored.min() < 0:
        raise _Refused("holds negative doses", "export the plan's dose, not a difference")
    if stored.max() == stored.min():
        raise _Refused(f"holds {stored.max() * scaling:g} Gy everywhere, expected a dose", "export it again")
    if stored.max() * scaling > MAX_DOSE_GY:
        what = f"reaches {stored.max() * scaling:.0f} Gy, expected at most {MAX_DOSE_GY:.0f} (are its values in cGy?)"
        raise _Refused(what, "export it in Gy")
    return (stored * scaling).astype(np.float32)


def _grid(dataset: Dataset, planes: int) -> tuple[np.ndarray, np.ndarray]:
    """RAS affine of the grid, and the order of its planes along row × column."""
    orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
    position = np.array(dataset.ImagePositionPatient, dtype=float)
    spacing = np.array(dataset.PixelSpacing, dtype=float)
    if not is_grid(position, orientation, spacing):
        raise _Refused("has a position, orientation or pixel spacing that is none", "export it again")
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    offsets = np.atleast_1d(np.array(dataset.get("GridFrameOffsetVector") or [0.0], dtype=float))
    even = "export the dose on an even grid"
    if offsets.size != planes:
        raise _Refused(f"has {planes} planes but {offsets.size} plane offsets", even)
    if not np.isfinite(offsets).all():
        raise _Refused("has plane offsets that are no numbers", even)
    if abs(offsets[0]) > 1e-3:
        # The standard's second form: offsets are patient z coordinates (axial grids only), not relative to the first.
        offsets = (offsets - offsets[0]) * np.sign(normal[2] or 1.0)
    order = np.argsort(offsets)
    along = offsets[order]
    gaps = np.diff(along)
    if planes > 1 and np.abs(gaps - gaps.mean()).max() > 0.02 * gaps.mean() + 0.01:
        raise _Refused(f"has planes {gaps.min():.2f} to {gaps.max():.2f} mm apart, expected one distance", even)
    thickness = float(gaps.mean()) if planes > 1 else float(dataset.get("SliceThickness") or 1.0)
    if thickness <= 0:
        raise _Refused(f"has planes {thickness:g} mm apart", even)
    affine = np.eye(4)
    affine[:3, :3] = flip_lps_ras(np.stack([row * spacing[1], column * spacing[0], normal * thickness])).T
    affine[:3, 3] = flip_lps_ras(position + along[0] * normal)
    return affine, order
