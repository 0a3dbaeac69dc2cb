"""Downloads of large public files: resumed where they broke off, and kept only if size and checksum are right."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from treatment_response.files import check_room, make_folder
from treatment_response.problems import DataProblem, Problem

Advance = Callable[[int], None]
"""Takes how many bytes of the file are there."""
TRIES = 5
_CHUNK = 2**20
_WAIT_SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,199}", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web, with what tells whether a copy of it is whole.

    Attributes:
        name: of the copy; a plain file name.
        url: http or https.
        size: in bytes.
        md5: as its publisher states it: it tells a damaged copy, not a forged one.

    Raises:
        DataProblem: one of them makes no sense.
    """

    name: str
    url: str
    size: int
    md5: str

    def __post_init__(self) -> None:
        what = ""
        if not _NAME.fullmatch(self.name):
            what = "has a name that cannot be a file's"
        elif not self.url.startswith(("https://", "http://")):
            what = "has an address that begins with neither https:// nor http://"
        elif self.size < 0 or not _MD5.fullmatch(self.md5):
            what = "is listed without its size or its MD5 checksum"
        if what:
            where = f"file {self.name}" if _NAME.fullmatch(self.name) else "a file of the list"
            raise DataProblem(Problem(where, what, "correct the list of files"))


def download(file: RemoteFile, folder: Path, advance: Advance, wait_seconds: float = 5.0) -> bool:
    """Bring a file into a folder.

    It has its name only when it is whole. What broke off lies beside it as ``.NAME.part`` and is gone on with.

    Args:
        wait_seconds: before the connection is tried again, up to `TRIES` times.

    Returns:
        Whether anything was downloaded; False if the file is there already.

    Raises:
        DataProblem: no room on the disk, no connection, or a copy with another size or checksum.
    """
    target, part = folder / file.name, folder / f".{file.name}.part"
    if target.is_file() and target.stat().st_size == file.size:
        advance(file.size)
        return False
    make_folder(folder, "--out")
    there = part.stat().st_size if part.is_file() else 0
    check_room(folder, max(file.size - there, 0), "--out", file.name)
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(wait_seconds)
        try:
            _go_on(file, part, advance)
        except requests.HTTPError as error:
            reason = str(error.response.status_code) if error.response is not None else type(error).__name__
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = type(error).__name__
        if part.is_file() and part.stat().st_size == file.size:
            _check(file, part)
            part.replace(target)
            return True
    there = part.stat().st_size if part.is_file() else 0
    what = f"{there / 1e6:.1f} of {file.size / 1e6:.1f} MB are there, and the connection broke off"
    what += f" ({reason})" if reason else ""
    raise DataProblem(Problem(file.name, what, "the same command goes on from there"))


def _go_on(file: RemoteFile, part: Path, advance: Advance) -> None:
    """Append to the part what the server still has.

    Raises:
        requests.RequestException, urllib3.exceptions.HTTPError: the connection failed or broke off.
        DataProblem: the server sends another file.
    """
    start = part.stat().st_size if part.is_file() else 0
    if start > file.size:
        part.unlink()
        start = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=_WAIT_SECONDS) as response:
        response.raise_for_status()
        goes_on = response.status_code == requests.codes.partial_content
        if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise requests.RequestException("the server sent another range")
        written = start if goes_on else 0
        with part.open("ab" if goes_on else "wb") as copy:
            while chunk := response.raw.read1(_CHUNK):  # what has come, where others wait for all of it and lose it
                written += len(chunk)
                if written > file.size:
                    copy.close()
                    part.unlink()
                    what = f"the server sends more than the {file.size} bytes that are listed"
                    raise DataProblem(Problem(file.name, what, "look whether a newer version was published"))
                copy.write(chunk)
                advance(written)


def _check(file: RemoteFile, part: Path) -> None:
    """Remove a part that is not the file.

    Raises:
        DataProblem: its checksum differs.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as copy:
        while chunk := copy.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != file.md5:
        part.unlink()
        what = "its MD5 checksum is not the published one; what was downloaded is removed"
        raise DataProblem(Problem(file.name, what, "run the same command again"))
