"""Read a dose grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from treatment_response.dicom.entries import DoseEntry
from treatment_response.dicom.headers import state_transfer_syntax
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem


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
        DataProblem: relative dose, uneven planes, or a file that is no readable dose.
    """
    name = where or (entry.name if isinstance(entry, DoseEntry) else "dose")
    try:
        dataset = dcmread(entry.path if isinstance(entry, DoseEntry) else entry, force=True)
        if dataset.get("SOPClassUID") != RTDoseStorage:
            raise ValueError
        state_transfer_syntax(dataset)
        units = str(dataset.get("DoseUnits") or "").strip().upper()
        stored = dataset.pixel_array.reshape(-1, int(dataset.Rows), int(dataset.Columns))
        affine, order = _grid(dataset, len(stored))
        scaling = float(dataset.DoseGridScaling)
    except DataProblem:
        raise
    except _Uneven as error:
        raise DataProblem(Problem(name, str(error), "export the dose on an even grid")) from None
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(name, "is not a readable RT Dose with a dose grid", "export it again")) from None
    if units != "GY":
        what = f"has dose units {units or 'not given'}, expected GY"
        raise DataProblem(Problem(name, what, "export absolute dose from the planning system"))
    array = (stored[order].transpose(2, 1, 0) * scaling).astype(np.float32)
    return Dose(
        Volume(array, affine),
        str(dataset.get("DoseSummationType") or "").strip().upper(),
        str(dataset.get("DoseType") or "").strip().upper(),
        str(dataset.get("FrameOfReferenceUID") or ""),
    )


class _Uneven(Exception):
    """The planes of the grid are not evenly spaced."""


def _grid(dataset: Dataset, planes: int) -> tuple[np.ndarray, np.ndarray]:
    """RAS affine of the grid, and the order of its planes along row × column."""
    orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    position = np.array(dataset.ImagePositionPatient, dtype=float)
    offsets = np.atleast_1d(np.array(dataset.get("GridFrameOffsetVector") or [0.0], dtype=float))
    if offsets.size != planes:
        raise _Uneven(f"has {planes} planes but {offsets.size} plane offsets")
    if abs(offsets[0]) > 1e-3:
        # The standard's second form: offsets are patient z coordinates (axial grids only), not relative to the first.
        offsets = (offsets - offsets[0]) * np.sign(normal[2] or 1.0)
    order = np.argsort(offsets)
    along = offsets[order]
    gaps = np.diff(along)
    if planes > 1 and np.abs(gaps - gaps.mean()).max() > 0.02 * gaps.mean() + 0.01:
        raise _Uneven(f"has planes {gaps.min():.2f} to {gaps.max():.2f} mm apart, expected one distance")
    thickness = float(gaps.mean()) if planes > 1 else float(dataset.get("SliceThickness") or 1.0)
    spacing = np.array(dataset.PixelSpacing, dtype=float)
    affine = np.eye(4)
    affine[:3, :3] = flip_lps_ras(np.stack([row * spacing[1], column * spacing[0], normal * thickness])).T
    affine[:3, 3] = flip_lps_ras(position + along[0] * normal)
    return affine, order
