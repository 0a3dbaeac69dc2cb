"""A person in two data sets, as far as identical images show."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from treatment_response.problems import DataProblem, Problem


def shared_image(first: Mapping[Path, str], second: Mapping[Path, str]) -> tuple[str, str] | None:
    """Two subjects with the same image, byte by byte after unpacking; None if there are none.

    Args:
        first, second: image file → whose it is, as messages call them.

    Raises:
        DataProblem: a file cannot be read.
    """
    one, other = (_hashes(files) for files in (first, second))
    common = sorted(one.keys() & other.keys())
    return (one[common[0]], other[common[0]]) if common else None


def _hashes(files: Mapping[Path, str]) -> dict[str, str]:
    """SHA-256 of an image → whose it is."""
    found = {}
    for file, subject in files.items():
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
                found[hashlib.file_digest(stream, "sha256").hexdigest()] = subject
        except OSError as error:
            what = f"{file.name} cannot be read ({type(error).__name__})"
            raise DataProblem(Problem(subject, what, "prepare the data set again")) from None
    return found
