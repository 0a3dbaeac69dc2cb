"""Files that are there complete or not at all, whenever the process is killed."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treatment_response.problems import DataProblem, Problem

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden sibling to write to, which takes the name of `path` when the ``with`` block ends without an error.

    Args:
        path: the file; its folder is made if needed, an older file is replaced.

    Yields:
        The sibling's path, with the same suffixes; it is removed if the block fails. Each thread has its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def state_of(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to or replaced: device, inode, size, and its times in nanoseconds.

    Raises:
        OSError: there is no such file.
    """
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def check_folder(out: Path) -> None:
    """Refuse an ``--out`` that is a file, before any work is done for it.

    Raises:
        DataProblem: it, or a folder above it, is a file.
    """
    existing = next(path for path in (out, *out.parents) if path.exists())
    if not existing.is_dir():
        raise DataProblem(Problem("--out", f"{existing} is a file", "name a folder, which is made if needed"))


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error says that the disk is full, or that a file may not be so large."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def full_disk(where: str) -> Problem:
    """What is told of it; `where` is what was to be written."""
    what = "the disk is full, or a file may not be so large"
    return Problem(where, what, "free some room and run the same command again")


def make_folder(folder: Path, where: str) -> None:
    """Make a folder that programs keep their results in, unless it is there.

    Args:
        folder: with the folders above it.
        where: what the folder is for, for messages.

    Raises:
        DataProblem: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({error.strerror})"
        raise DataProblem(Problem(where, what, "name another folder")) from None
    if not os.access(folder, os.W_OK):
        raise DataProblem(Problem(where, "the folder cannot be written to", "name another folder"))


def check_room(place: Path, needed_bytes: int, where: str, what: str) -> None:
    """Refuse a disk that has no room for what is to be written, before the work.

    Args:
        place: file or folder that will be written, there or not.
        where, what: the place and what needs the room, for the message.

    Raises:
        DataProblem: less is free than is needed.
    """
    nearest = next(folder for folder in (place.resolve(), *place.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(nearest).free
    if free < needed_bytes:
        what = f"{what} may need {needed_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        raise DataProblem(Problem(where, what, "free some room, or name a place on another disk"))


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes with `whole_file`."""
    with whole_file(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def read_at_most(path: Path, where: str, most: int) -> bytes:
    """Read a file from outside.

    Args:
        path: the file.
        where: what the user should look at if it cannot be read.
        most: bytes; a larger file is not read.

    Raises:
        DataProblem: it is larger, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > most:
            what = f"{path.name} has {size} bytes, more than the {most} that such a file may have"
            raise DataProblem(Problem(where, what, "take the files that a training run wrote"))
        return path.read_bytes()
    except OSError as error:
        what = f"{path.name} cannot be read ({type(error).__name__})"
        raise DataProblem(Problem(where, what, "make it readable")) from error
