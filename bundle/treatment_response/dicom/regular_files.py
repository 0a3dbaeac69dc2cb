"""The files under a folder that can be read safely: no pipe, no device, no link that leads nowhere."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


@dataclass
class Listing:
    """What lies under a folder.

    Attributes:
        files: regular files, and links to them, in order of path.
        passed_over: path and reason of what holds no file: pipes, sockets, devices, links to folders.
        unreachable: path and reason of what may hold a file that cannot be reached.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: list[tuple[Path, str]] = field(default_factory=list)
    unreachable: list[tuple[Path, str]] = field(default_factory=list)


def list_files(root: Path) -> Listing:
    """List a folder without opening anything in it. Links to folders are not followed, so the walk always ends."""
    listing = Listing()

    def cannot_list(error: OSError) -> None:
        listing.unreachable.append((Path(error.filename), f"cannot be listed ({error.strerror})"))

    for folder, folders, names in os.walk(root, onerror=cannot_list):
        for name in folders:
            path = Path(folder) / name
            if path.is_symlink():
                listing.passed_over.append((path, "is a link to a folder, and links to folders are not followed"))
        for name in names:
            _sort_in(Path(folder) / name, listing)
    listing.files.sort()
    return listing


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading without ever waiting.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("not a regular file")
    return file


def _sort_in(path: Path, listing: Listing) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        what = "is a link that leads nowhere" if path.is_symlink() else f"cannot be reached ({error.strerror})"
        listing.unreachable.append((path, what))
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "")
    if kind:
        listing.passed_over.append((path, f"is a {kind} and no file, so it was not opened"))
    else:
        listing.files.append(path)
