"""Files that clients send: kept in a folder of their own, checked before anybody reads them, and always removed."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk
from fastapi import UploadFile
from treatment_response.problems import DataProblem, Problem

BARE = ".bin"
"""Extension of a label's voxels without anything else, as OHIF saves them."""

MAX_BYTES = 2**29
"""Largest volume that is read, unpacked: a small compressed file can unpack to more than the memory."""

_ONE_AT_A_TIME = threading.Lock()
"""While a volume is read to check it: several of `MAX_BYTES` at once would fill the memory."""

_READERS = {".nii.gz": "NiftiImageIO", ".nii": "NiftiImageIO", ".nrrd": "NrrdImageIO"}
_NRRD_HEADER_BYTES = 65536
_VOXEL_BYTES = {
    **dict.fromkeys((sitk.sitkUInt8, sitk.sitkInt8), 1),
    **dict.fromkeys((sitk.sitkUInt16, sitk.sitkInt16), 2),
    **dict.fromkeys((sitk.sitkUInt32, sitk.sitkInt32, sitk.sitkFloat32), 4),
}


def extension_of(upload: UploadFile, allowed: Sequence[str]) -> str:
    """The extension of an uploaded file, in lower case.

    Raises:
        DataProblem: it is none of the allowed ones.
    """
    named = (upload.filename or "").lower()
    for extension in allowed:
        if named.endswith(extension):
            return extension
    raise DataProblem(
        Problem("uploaded file", "its type is not taken", f"send one of {', '.join(allowed)} with that extension")
    )


@contextmanager
def received(upload: UploadFile, allowed: Sequence[str]) -> Iterator[Path]:
    """Context manager: the uploaded file on disk, under a name of the server's own; gone when the block ends.

    Args:
        upload: what the client sent.
        allowed: extensions that are taken.

    Raises:
        DataProblem: another type, or a volume that cannot be read.
    """
    extension = extension_of(upload, allowed)
    with tempfile.TemporaryDirectory(prefix="pulsar-") as folder:
        # Its own name: the client's could hold a patient's, and what is remembered of one upload is not of another.
        path = Path(folder) / f"upload-{uuid.uuid4().hex}{extension}"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        if extension != BARE:
            check_volume(path, extension)
        yield path


def check_volume(path: Path, extension: str) -> None:
    """Read a volume once, with the reader of its extension only.

    Raises:
        DataProblem: it is corrupt, not three-dimensional, too large, or keeps its voxels in another file.
    """
    if extension == ".nrrd":
        _refuse_detached(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[extension])
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) != 3:
            raise _problem(f"it has {len(size)} dimensions", "send a volume of three")
        voxel = _VOXEL_BYTES.get(reader.GetPixelID(), 8) * reader.GetNumberOfComponents()
        if size[0] * size[1] * size[2] * voxel > MAX_BYTES:
            what = f"its voxels take more than {MAX_BYTES // 2**20} MiB"
            raise _problem(what, "send the volume at the resolution of the scanner, and whole numbers as such")
        with _ONE_AT_A_TIME:
            reader.Execute()
    except RuntimeError as error:  # its text names the file and the reader's insides
        raise _problem("it cannot be read", f"send a valid {extension} file") from error


def _refuse_detached(path: Path) -> None:
    """A NRRD header can point to any file of this machine for its voxels."""
    with path.open("rb") as file:
        head = file.read(_NRRD_HEADER_BYTES)
    lines = head.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower().split(b"\n")
    fields = [line.partition(b":")[0].replace(b" ", b"") for line in lines]
    if b"datafile" in fields:
        raise _problem("its header points to another file", "send a NRRD file that holds its own voxels")


def _problem(what: str, remedy: str) -> DataProblem:
    return DataProblem(Problem("uploaded file", what, remedy))
