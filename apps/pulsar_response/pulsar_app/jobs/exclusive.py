"""What long jobs share: one at a time in a folder, progress that people see, and records that survive being stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from treatment_response.problems import Problem

from pulsar_app.server.problems import Busy

_ENDING = 3.0  # seconds that a killed process may need until it is gone


def say(line: str) -> None:
    """Tell progress: MONAI Label reads a task's standard output line by line and shows the last twenty."""
    print(line, flush=True)


@contextlib.contextmanager
def alone(folder: Path, job: str, stop: str) -> Iterator[None]:
    """Hold a folder while a job runs; a killed process holds it no longer.

    Args:
        folder: made if it is missing.
        job: such as ``training``, for the message.
        stop: the request that stops it, for the message.

    Raises:
        Busy: another process or thread holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    try:
        lock.acquire(timeout=_ENDING)
    except Timeout:
        what = f"another {job} is running"
        raise Busy(Problem(job, what, f"wait for its end, or stop it ({stop})")) from None
    try:
        yield
    finally:
        lock.release()


def is_idle(folder: Path, wait: bool = False) -> bool:
    """Whether no job holds the folder.

    Args:
        wait: give a job that was just stopped the time to end.
    """
    if not (folder / ".lock").is_file():
        return True
    try:
        with FileLock(folder / ".lock").acquire(timeout=_ENDING if wait else 0):
            return True
    except Timeout:
        return False


def label_state(datastore: Datastore, image_id: str) -> str:
    """What changes when another final label of the image is saved; empty without one."""
    if not datastore.get_label_by_image_id(image_id, DefaultLabelTag.FINAL):
        return ""
    return str(datastore.get_label_info(image_id, DefaultLabelTag.FINAL).get("ts", ""))


class Records:
    """One JSON object per line, appended as soon as it is known; a line cut off by a kill is passed over.

    Args:
        path: of the file; it and its folder are made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A leading line break: whatever a killed process left half-written stays a line of its own.
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(record))

    def read(self) -> list[dict[str, Any]]:
        """The records in the order they were added."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
        return [record for record in records if isinstance(record, dict)]


class LesionScores:
    """P(response) of an image's lesions, by image and model, shared by batch inference and active learning.

    Args:
        app_dir: the app's folder.
        model: SHA-256 of the weights.
    """

    def __init__(self, app_dir: Path, model: str) -> None:
        self._records = Records(Path(app_dir) / "model" / "scores" / f"{model[:12]}.jsonl")

    def all(self) -> dict[tuple[str, str], list[float]]:
        """P(response) of the lesions by image id and `label_state`."""
        return {(record["image"], record["state"]): record["p_response"] for record in self._records.read()}

    def put(self, image_id: str, state: str, p_response: list[float]) -> None:
        """Keep an image's."""
        self._records.add({"image": image_id, "state": state, "p_response": p_response})
