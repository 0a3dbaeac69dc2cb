"""Where things lie in a prepared data set, and how one volume is written to it or read from it."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np

from treatment_response.cohort.lesion import FOLLOW_UP
from treatment_response.cohort.nifti_file import read_nifti
from treatment_response.geometry import Volume

DATALIST, LESIONS, CASES = "dataset.json", "lesions.csv", "cases.csv"
DESCRIPTION = "dataset_description.json"
REPORT_JSON, REPORT_TEXT = "ingest_report.json", "ingest_report.txt"
_SAME_PLACE_MM = 0.01


def image_path(subject: str, session: str, sequence: str = "T1w") -> str:
    """Path of a session's MR relative to the data set; MRI 1 and MRI 2 carry contrast, the follow-up does not.

    Args:
        sequence: BIDS suffix of the image: a follow-up that is no T1 is filed as what it is.
    """
    contrast = "" if session == FOLLOW_UP else "_ce-gadolinium"
    return f"{subject}/{session}/anat/{subject}_{session}{contrast}_{sequence}.nii.gz"


def mask_path(subject: str, session: str, lesion: str) -> str:
    """Path of a lesion's mask in a session."""
    return f"derivatives/masks/{subject}/{session}/{subject}_{session}_label-{lesion}_mask.nii.gz"


def dose_path(subject: str, session: str) -> str:
    """Path of a session's dose in Gy."""
    return f"derivatives/dose/{subject}/{session}/{subject}_{session}_dose.nii.gz"


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume as NIfTI with its affine and nothing else: the header holds no name, date or description.

    Whole numbers are stored as the smallest integers that hold them (quicker to read, and surely free of NaN).
    The same volume always gives the same bytes.
    """
    image = nibabel.Nifti1Image(_compact(volume.array), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=1)
    # A sheared affine has no quaternion; sform carries it and readers prefer it.
    image.set_qform(volume.affine, code=1, strip_shears=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def read_volume(path: Path, where: str) -> Volume:
    """Read a 3D NIfTI, see :func:`treatment_response.cohort.nifti_file.read_nifti`.

    Args:
        where: the case, for the message if it cannot be read.

    Raises:
        DataProblem: the file is missing, is no NIfTI, is not 3D, or holds NaN or infinity.
    """
    return read_nifti(path, where).volume


def same_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes have one shape and voxel centres that agree within a hundredth of a millimetre."""
    return first.array.shape == second.array.shape and _farthest_corners_mm(first, second) < _SAME_PLACE_MM


def grid_difference(first: Volume, second: Volume) -> str:
    """What differs between two grids, in numbers: ``5 × 6 × 7 voxels against 5 × 6 × 8``; empty if nothing does."""
    if same_grid(first, second):
        return ""
    differences = []
    if first.array.shape != second.array.shape:
        differences.append(f"{_times(first.array.shape)} voxels against {_times(second.array.shape)}")
    if not np.allclose(first.spacing, second.spacing, rtol=0, atol=1e-4):
        differences.append(f"voxels of {_times(first.spacing)} mm against {_times(second.spacing)} mm")
    axes = ["".join(nibabel.aff2axcodes(volume.affine)) for volume in (first, second)]
    cosines = np.sum(first.affine[:3, :3] * second.affine[:3, :3], axis=0) / (first.spacing * second.spacing)
    angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    if axes[0] != axes[1]:
        differences.append(f"axes {axes[0]} against {axes[1]}")
    elif angle > 0.01:
        differences.append(f"axes turned by {angle:.2g}°")
    shift = first.affine[:3, 3] - second.affine[:3, 3]
    if np.abs(shift).max() >= _SAME_PLACE_MM:
        differences.append(f"first voxel moved by ({shift[0]:.3g}, {shift[1]:.3g}, {shift[2]:.3g}) mm in RAS")
    return ", ".join(differences) or f"corners up to {_farthest_corners_mm(first, second):.2g} mm apart"


def _farthest_corners_mm(first: Volume, second: Volume) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.array.shape])).reshape(3, -1).T
    return float(np.abs(first.to_world(corners) - second.to_world(corners)).max())


def _times(numbers: Iterable[float]) -> str:
    return " × ".join(f"{number:.6g}" for number in numbers)


def _compact(array: np.ndarray) -> np.ndarray:
    """The array as uint8 or int16 where that is exact, else as float32."""
    if array.dtype in (np.uint8, np.int16):
        return array
    low, high = array.min(), array.max()
    if low >= -32768 and high <= 32767 and np.array_equal(array, np.rint(array)):
        return array.astype(np.int16)
    return array.astype(np.float32)
