"""A PACS on this machine: Debian's Orthanc with its DICOMweb plugin, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from treatment_response.problems import DataProblem, Problem

from pulsar_app.local.parts import find_orthanc
from pulsar_app.local.processes import LOOPBACK, Program, answers, free_port

START_SECONDS = 60.0
SETTINGS = Path(__file__).parents[2] / "deploy" / "orthanc.json"


class Orthanc:
    """A running Orthanc, as a context manager.

    Args:
        folder: made if missing; holds its configuration, its log and, in ``storage/``, what it stores.
    """

    def __init__(self, folder: Path) -> None:
        server, plugin = find_orthanc()
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        # Orthanc listens on every interface whatever one sets; these make it refuse who is not on this machine.
        settings = json.loads(SETTINGS.read_text())
        settings |= {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(plugin)],
            "HttpPort": self.port,
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(settings, indent=2))
        self.program = Program("Orthanc", [str(server), str(file)], folder / "orthanc.log")

    def __enter__(self) -> Orthanc:
        try:
            self.program.wait_until(lambda: answers(f"{self.url}/system"), START_SECONDS)
        except BaseException:
            self.program.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.stop()

    @property
    def url(self) -> str:
        """Root of its own REST interface."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def dicomweb(self) -> str:
        """Root of its DICOMweb services."""
        return f"{self.url}/dicom-web"

    def load(self, files: list[Path], progress: Callable[[int], None] | None = None) -> None:
        """Store DICOM files.

        Args:
            files: DICOM part 10 files.
            progress: called with the number of files stored so far.

        Raises:
            DataProblem: Orthanc refused a file.
        """
        with requests.Session() as session, ThreadPoolExecutor(4) as pool:

            def send(file: Path) -> int:
                return session.post(f"{self.url}/instances", data=file.read_bytes(), timeout=60).status_code

            for done, (file, status) in enumerate(zip(files, pool.map(send, files), strict=True), start=1):
                if status != requests.codes.ok:
                    raise DataProblem(
                        Problem(f"file '{file.name}'", f"Orthanc refused it ({status})", "check that it is DICOM")
                    )
                if progress:
                    progress(done)

    def search(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The answer to a QIDO-RS search, such as ``search("series", Modality="MR")``."""
        answer = requests.get(f"{self.dicomweb}/{path}", params=query, timeout=60)
        answer.raise_for_status()
        return list(answer.json())
