"""The real server as a process of its own, for tests: started in a temporary folder, always stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from preloaded_python import preloaded_python

REPOSITORY = Path(__file__).resolve().parents[2]
APP = REPOSITORY / "apps" / "pulsar_response"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def app_folder(folder: Path) -> Path:
    """A writable app folder with the checkout's code: MONAI Label makes bin/, lib/, logs/ and model/ in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("main.py", "pulsar_app"):
        if not (folder / name).exists():
            (folder / name).symlink_to(APP / name)
    return folder


class AppServer:
    """``python -m monailabel.main start_server`` on a free port of this machine; use it in ``with``.

    Args:
        studies: a DICOMweb URL, or a folder of NIfTI.
        folder: where the app's folder, the server's cache, its temporary files and its log go.
        conf: ``--conf`` settings.
        environment: more environment variables, such as MONAI_LABEL_AUTH_ENABLE.
        ready: path that answers 200 once the server is up.
        seconds: how long to wait for that.

    Attributes:
        url: of the server, with the port and without a slash at the end.
        process: what started the server, ends it and ends with it.
        temporary: its folder for temporary files, for tests that nothing is left behind.
    """

    def __init__(
        self,
        studies: str | Path,
        folder: Path,
        conf: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        ready: str = "/health",
        seconds: float = 90.0,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = app_folder(folder / "app")
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "server.log"
        self.ready, self.seconds = ready, seconds
        command = [preloaded_python().python, "-m", "monailabel.main", "start_server", "--app", str(self.app)]
        command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(self.port)]
        for key, value in (conf or {}).items():
            command += ["--conf", key, value]
        self._command = command
        self._environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.temporary),
            "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache"),
            "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
            **(environment or {}),
        }

    def __enter__(self) -> Self:
        self.start()
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process without waiting for an answer."""
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.temporary.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop the server and whatever it started."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    @property
    def pid(self) -> int:
        """Id of the process that serves, which is a fork of the preloaded Python."""
        return int(re.findall(r"Started server process \[(\d+)\]", self.log)[-1])

    @property
    def log(self) -> str:
        """All that the server wrote so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def infer(
        self,
        model: str,
        image: str,
        params: Mapping[str, Any] | None = None,
        label: Path | None = None,
        output: str = "json",
        **more: Any,
    ) -> requests.Response:
        """``POST /infer/{model}`` as viewers send it; the answer is not checked."""
        files = {"label": (label.name, label.read_bytes())} if label else None
        return requests.post(
            f"{self.url}/infer/{model}",
            params={"image": image, "output": output},
            data={"params": json.dumps(params or {})},
            files=files,
            timeout=120,
            **more,
        )

    def save_label(self, image: str, label: Path, params: Mapping[str, Any], tag: str = "final") -> requests.Response:
        """``PUT /datastore/label`` as viewers submit what a person drew; the answer is not checked."""
        return requests.put(
            f"{self.url}/datastore/label",
            params={"image": image, "tag": tag},
            data={"params": json.dumps(params)},
            files={"label": (label.name, label.read_bytes())},
            timeout=120,
        )

    def _wait(self) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"The server ended with status {self.process.returncode}:\n{self.log[-4000:]}")
            try:
                if requests.get(self.url + self.ready, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"The server did not answer {self.ready} in {self.seconds:g} s:\n{self.log[-4000:]}")
