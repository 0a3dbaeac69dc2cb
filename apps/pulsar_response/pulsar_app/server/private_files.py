"""What the server writes is for its own user only, and what killed servers left behind is removed."""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)

_TEMPORARY = "imaging-server-"
_PARTIAL = re.compile(r"\.partial-([0-9]+)-.*")
"""Names of what is written half, with the process that writes it: see `treatment_response.files.whole_file`."""


def write_for_owner_only() -> None:
    """Every file and folder that this process and those that it starts make from now on is 0600 or 0700."""
    os.umask(0o077)


def take_from_others(folders: Iterable[Path]) -> None:
    """Make folders, and what is in them already, accessible to their owner only; links are not followed."""
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            if path.is_symlink():
                continue
            with suppress(OSError):  # it is gone meanwhile, or somebody else's
                path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)


def use_own_temporary_folder() -> Path:
    """Make a folder for this process's temporary files, and remove those of processes that have ended.

    A process holds a lock on its folder for as long as it lives, however it ends.

    Returns:
        The folder, which :mod:`tempfile` uses from now on.
    """
    place = Path(tempfile.gettempdir())
    for folder in place.glob(f"{_TEMPORARY}*"):
        if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
            continue
        lock = _lock(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            logger.info("removed the temporary files of a process that has ended")
    own = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    _lock(own)  # held until the process ends
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    tempfile.tempdir = str(own)
    return own


def remove_partial_files(folder: Path) -> int:
    """Remove what processes that have ended were writing in a folder, at any depth.

    Returns:
        How many files and folders were removed.
    """
    partial = [(path, _PARTIAL.fullmatch(path.name)) for path in folder.rglob(".partial-*")]
    orphans = [path for path, name in partial if name and not path.is_symlink() and not _may_write(int(name[1]), path)]
    for path in orphans:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if orphans:
        logger.info("removed %d files that a process had written half when it ended", len(orphans))
    return len(orphans)


def _may_write(process: int, path: Path) -> bool:
    """Whether a process lives and lived when the file was made: ids are used again."""
    try:
        return psutil.Process(process).create_time() <= path.stat().st_mtime
    except (psutil.Error, OSError, OverflowError):
        return False


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if a living process does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
