"""Where things lie in a prepared data set, and how one volume is written to it or read from it."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np

from treatment_response.cohort.lesion import FOLLOW_UP
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

DATALIST, LESIONS, DESCRIPTION = "dataset.json", "lesions.csv", "dataset_description.json"
REPORT_JSON, REPORT_TEXT = "ingest_report.json", "ingest_report.txt"


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
    """Read a 3D NIfTI.

    Args:
        where: the case, for the message if it cannot be read.

    Raises:
        DataProblem: the file is missing, is no NIfTI, is not 3D, or holds NaN or infinity.
    """
    try:
        image = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
    except FileNotFoundError:
        raise DataProblem(Problem(where, "the file is missing", "check its path")) from None
    except Exception as error:  # nibabel raises many kinds for files that are cut off or are something else
        what = f"the file cannot be read as NIfTI ({type(error).__name__})"
        raise DataProblem(Problem(where, what, "export it again")) from None
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise DataProblem(Problem(where, f"the image has {array.ndim} dimensions instead of 3", "export one 3D image"))
    if not np.issubdtype(array.dtype, np.integer) and not np.isfinite(array).all():
        raise DataProblem(Problem(where, "the image holds NaN or infinite values", "export it again"))
    return Volume(array, np.asarray(image.affine, dtype=float))


def same_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes have one shape and voxel centres that agree within a hundredth of a millimetre."""
    if first.array.shape != second.array.shape:
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.array.shape])).reshape(3, -1).T
    return bool(np.abs(first.to_world(corners) - second.to_world(corners)).max() < 0.01)


def _compact(array: np.ndarray) -> np.ndarray:
    """The array as uint8 or int16 where that is exact, else as float32."""
    if array.dtype in (np.uint8, np.int16):
        return array
    low, high = array.min(), array.max()
    if low >= -32768 and high <= 32767 and np.array_equal(array, np.rint(array)):
        return array.astype(np.int16)
    return array.astype(np.float32)
