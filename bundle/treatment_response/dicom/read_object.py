"""Read a whole DICOM file with its pixel data, within limits."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset

from treatment_response.dicom.file_structure import Damage, NotDicom, read_structure
from treatment_response.dicom.regular_files import open_regular

MAX_FILE_BYTES = 1 << 30
"""Bytes of a file that is read as a whole."""


class ObjectUnusable(Exception):
    """Why a file cannot be read, as (what, remedy)."""


def read_object(path: Path) -> FileDataset:
    """Read a file, with its structure checked first. Pixel data are not decoded.

    Raises:
        ObjectUnusable: it is no regular file, larger than ``MAX_FILE_BYTES``, no DICOM, or damaged.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                what = f"is larger than {MAX_FILE_BYTES >> 20} MB, so it was not read"
                raise ObjectUnusable(what, "leave it out, or export single images")
            content = BytesIO(file.read(MAX_FILE_BYTES))
    except OSError as error:
        raise ObjectUnusable(
            f"cannot be read ({error.strerror or error})", "check the disk and the permissions"
        ) from None
    try:
        structure = read_structure(content, size, ())
        if structure.damage:
            raise Damage(structure.damage)
        content.truncate(size - structure.padding)
        content.seek(0)
        return dcmread(content, force=True)
    except Damage as error:
        raise ObjectUnusable(str(error), "export it again") from None
    except NotDicom:
        raise ObjectUnusable("is not DICOM", "leave it out, or export it again") from None
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise ObjectUnusable("is damaged", "export it again") from None
