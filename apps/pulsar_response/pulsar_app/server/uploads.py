"""Files that clients send: kept in a folder of their own, rewritten before anybody reads them, and always removed."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile
from treatment_response.inference.volume_files import rewrite
from treatment_response.problems import DataProblem, Problem

from pulsar_app.server.settings import server_settings
from pulsar_app.server.workers import decode

BARE = ".bin"
"""Extension of a label's voxels without anything else, as OHIF saves them."""

_WHERE = "uploaded file"


def extension_of(upload: UploadFile, allowed: Sequence[str]) -> str:
    """The extension of an uploaded file, in lower case.

    Raises:
        DataProblem: it is none of the allowed ones.
    """
    named = (upload.filename or "").lower()
    for extension in allowed:
        if named.endswith(extension):
            return extension
    raise DataProblem(Problem(_WHERE, "its type is not taken", f"send one of {', '.join(allowed)} with that extension"))


@contextmanager
def received(upload: UploadFile, allowed: Sequence[str]) -> Iterator[Path]:
    """Context manager: what the client sent, in a file of the server's own; gone when the block ends.

    A volume comes as a NIfTI that the server wrote, whatever format it was sent in: what reads it later never sees the
    client's header. It is read in a worker process, by this project's own readers.

    Args:
        upload: what the client sent.
        allowed: extensions that are taken.

    Raises:
        DataProblem: another type, or a volume that cannot be read.
        TooLarge: reading it takes more memory than it may have.
        Unavailable: reading it takes too long.
    """
    extension = extension_of(upload, allowed)
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        sent = Path(folder) / f"sent{extension}"
        with sent.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        if extension == BARE:
            yield sent
            return
        # Its own name: the client's could hold a patient's, and what is remembered of one upload is not of another.
        path = Path(folder) / f"upload-{uuid.uuid4().hex}.nii.gz"
        decode(_WHERE, rewrite, sent, path, _WHERE, server_settings().volume_limit)
        sent.unlink()
        yield path
