"""Where things lie in a prepared data set, and how one volume is written to it or read from it."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np

from treatment_response.cohort.lesion import FOLLOW_UP
from treatment_response.cohort.nifti_file import read_nifti
from treatment_response.geometry import Volume

DATALIST, LESIONS, CASES = "dataset.json", "lesions.csv", "cases.csv"
DESCRIPTION = "dataset_description.json"
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
    """Read a 3D NIfTI, see :func:`treatment_response.cohort.nifti_file.read_nifti`.

    Args:
        where: the case, for the message if it cannot be read.

    Raises:
        DataProblem: the file is missing, is no NIfTI, is not 3D, or holds NaN or infinity.
    """
    return read_nifti(path, where).volume


def _compact(array: np.ndarray) -> np.ndarray:
    """The array as uint8 or int16 where that is exact, else as float32."""
    if array.dtype in (np.uint8, np.int16):
        return array
    low, high = array.min(), array.max()
    if low >= -32768 and high <= 32767 and np.array_equal(array, np.rint(array)):
        return array.astype(np.int16)
    return array.astype(np.float32)
