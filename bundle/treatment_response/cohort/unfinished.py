"""A folder that is written over several runs: whole at its place, or kept beside it until the same command goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock

from treatment_response.cohort.layout import DATALIST
from treatment_response.files import make_folder, state_of, write_whole
from treatment_response.problems import DataProblem, Problem

_DONE = ".finished"


class UnfinishedFolder:
    """Finished units of work in a folder that is still written, each with what its result depends on."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def result(self, unit: str, fingerprint: str) -> dict[str, Any] | None:
        """What was kept of a unit by an earlier run, if nothing that it depends on has changed since."""
        try:
            kept = json.loads(self._path(unit).read_text(encoding="utf-8"))
            return dict(kept["result"]) if kept["fingerprint"] == fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, unit: str, fingerprint: str, result: dict[str, Any]) -> None:
        """Say that all files of a unit are written."""
        write_whole(self._path(unit), json.dumps({"fingerprint": fingerprint, "result": result}))

    def _path(self, unit: str) -> Path:
        return self.root / _DONE / f"{unit}.json"


def fingerprint(files: Iterable[Path], settings: Any) -> str:
    """A hash of the states of files, by name, size and time, and of settings."""
    states = [(path.name, state_of(path) if path.is_file() else None) for path in sorted(files)]
    return hashlib.sha256(json.dumps([states, settings], sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the lock of a folder that is written over several runs, in which two runs at once would mix their results.

    Raises:
        DataProblem: another command holds it.
    """
    make_folder(out.parent, "--out")
    lock = filelock.FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        what = "another command is writing it"
        raise DataProblem(Problem("--out", what, "wait for its end, or name another folder")) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)  # before the release: who waits for this file takes a new one
        lock.release()


@contextlib.contextmanager
def resumed_whole(out: Path) -> Iterator[Path]:
    """A sibling folder that becomes ``out`` when the block ends well.

    If the block is stopped the sibling stays, and the same command finds it again. Input that cannot be used removes
    it. An earlier prepared data set at ``out`` is replaced only at the end.

    Raises:
        DataProblem: ``out`` holds something that is no prepared data set, or another command is writing it.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100  (resolve() would follow a link and write elsewhere)
    if out.exists() and not (out / DATALIST).is_file() and (not out.is_dir() or any(out.iterdir())):
        what = "the folder is not empty and holds no prepared data set"
        raise DataProblem(Problem("--out", what, "name a new folder, or empty it"))
    root = out.with_name(f".{out.name}.unfinished")
    with only_writer(out):
        root.mkdir(parents=True, exist_ok=True)
        try:
            yield root
            shutil.rmtree(root / _DONE, ignore_errors=True)
            old = out.with_name(f".{out.name}.old-{os.getpid()}")
            if out.exists():
                out.rename(old)
            root.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        except DataProblem:
            shutil.rmtree(root, ignore_errors=True)
            raise
