"""A PACS for tests: Debian's Orthanc with its DICOMweb plugin, on loopback, in a folder of its own.

    with OrthancServer(tmp_path) as orthanc:
        DICOMwebClient(orthanc.dicomweb).store_instances(datasets)

It starts with a free port, empty and without login, and is gone with its process when the block ends.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_SECONDS = 60.0
_ATTEMPTS = 3
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the environment names


def missing_orthanc() -> str | None:
    """Why Orthanc cannot be started here and what to install, or None if it can."""
    if shutil.which("Orthanc") is None:
        return "Orthanc is missing: apt-get install orthanc orthanc-dicomweb"
    if not PLUGIN.is_file():
        return "Orthanc's DICOMweb plugin is missing: apt-get install orthanc-dicomweb"
    return None


class OrthancServer:
    """One Orthanc process, as a context manager.

    Args:
        folder: its configuration, storage and log go here.
        settings: what its configuration has beyond the usual, such as ``{"OverwriteInstances": True}``.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.settings = dict(settings or {})
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Root of its own REST interface, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dicomweb(self) -> str:
        """Root of its DICOMweb services, as DICOMweb clients and MONAI Label's ``--studies`` want it."""
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> Any:
        """The JSON answer to a GET of its REST interface, such as ``/studies``."""
        with _DIRECT.open(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def __enter__(self) -> OrthancServer:
        # Another process can take the port between asking for a free one and Orthanc's bind.
        for _ in range(_ATTEMPTS):
            if self._start():
                return self
            self.stop()
        raise RuntimeError(f"Orthanc does not start: {self._log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> bool:
        self.port = free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": "TEST",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.port,
            # Orthanc 1.10 binds to all interfaces; this makes it refuse whoever is not on this machine.
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "HttpThreadsCount": 8,
            "DicomWeb": {
                "Enable": True,
                "Root": "/dicom-web/",
                "EnableWado": True,
                "StudiesMetadata": "Full",
                "SeriesMetadata": "Full",
            },
            **self.settings,
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(configuration), encoding="utf-8")
        with (self.folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                return bool(self.get("/system"))
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        return False

    def stop(self) -> None:
        """End the process; nothing to do if it is not there."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _log(self) -> str:
        return (self.folder / "orthanc.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def free_port() -> int:
    """A TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
