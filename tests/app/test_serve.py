"""`make serve`: what it starts, what it says, and that nothing is left when it stops."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
import requests
from orthanc_server import missing_orthanc
from pulsar_app.local import ohif_review
from pulsar_app.local.processes import Program, free_port
from treatment_response.problems import DataProblem

READY = "Ctrl-C stops everything"


class Serving:
    """A running `scripts/serve.py`, and what it has printed so far."""

    def __init__(self, repository: Path, log: Path, arguments: list[str], environment: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", str(repository / "scripts" / "serve.py"), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.1)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def serving(
    repository: Path, folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[Serving]:
    folder.mkdir(parents=True, exist_ok=True)
    started = Serving(repository, folder / "said.txt", ["--folder", str(folder), *arguments], environment or {})
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.send_signal(signal.SIGINT)
            try:
                started.process.wait(60)
            finally:
                started.process.kill()


def gone(processes: list[psutil.Process], seconds: float = 20) -> bool:
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := missing_orthanc():
        pytest.skip(missing)
    return tmp_path_factory.mktemp("serve")


def test_it_shows_a_patient_and_leaves_nothing_running(repository: Path, folder: Path) -> None:
    taken = free_port()
    other = Program("other", [sys.executable, "-m", "http.server", str(taken), "--bind", "127.0.0.1"], folder / "log")
    with other, serving(repository, folder, "--patients", "1", "--port", str(taken)) as run:
        run.wait_for(READY)
        children = run.children()
        assert f"Port {taken} is in use" in run.said
        assert "RESEARCH USE ONLY" in run.said
        assert "SYN001" not in run.said
        (predict,) = re.findall(r"predict:\s+(\S+)", run.said)
        ((origin, study, series),) = re.findall(
            r"its map:\s+(\S+)/viewer\?StudyInstanceUIDs=(\S+)&initialSeriesInstanceUID=([^#\s]+)#at=-?[\d.]+,",
            run.said,
        )
        assert predict == f"{origin}/ohif/monai-label?StudyInstanceUIDs={study}"
        assert "pulsar/ohif_panel.js" in requests.get(predict, timeout=30).text
        info = requests.get(f"{origin}/info/", timeout=30).json()
        assert "pulsar_response" in info["models"]
        found = requests.get(f"{origin}/dicom-web/studies/{study}/series/{series}/instances", timeout=30).json()
        assert found[0]["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.30"]  # Parametric Map Storage
        assert len(children) >= 2
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(60) == 0
        assert run.said.rstrip().endswith("Stopped.")
        assert gone(children)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{origin}/info/", timeout=5)


def test_a_second_start_is_quick_and_a_killed_one_leaves_nothing(repository: Path, folder: Path) -> None:
    before = (folder / "archive" / "maps.json").read_text()
    written = (folder / "archive" / "maps.json").stat().st_mtime_ns
    with serving(repository, folder, "--patients", "1", "--port", "0") as run:
        run.wait_for(READY)
        children = run.children()
        with serving(repository, folder / "..", "--folder", str(folder)) as second:
            assert second.process.wait(60) == 2
            assert "is in use by another" in second.said
        assert len(children) >= 2
        run.process.kill()
        run.process.wait(10)
        assert gone(children)
    assert (folder / "archive" / "maps.json").read_text() == before
    assert (folder / "archive" / "maps.json").stat().st_mtime_ns == written


def test_a_folder_needs_neither_pacs_nor_viewer(repository: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)), images / "case.nii.gz")
    nothing = {"PATH": str(Path(sys.executable).parent)}
    with serving(repository, tmp_path / "own", "--studies", str(images), "--port", "0", environment=nothing) as run:
        run.wait_for("Serving the folder")
        children = run.children()
        (url,) = re.findall(r"at (http://127.0.0.1:\d+)", run.said)
        assert "case" in json.dumps(requests.get(f"{url}/datastore/?output=all", timeout=30).json())
        run.process.terminate()
        assert run.process.wait(60) == 0
        assert gone(children)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "apt-get install orthanc orthanc-dicomweb"),
        (("--studies", "/does/not/exist"), "is not a folder"),
    ],
)
def test_what_is_missing_is_named(repository: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    nothing = {"PATH": str(Path(sys.executable).parent)}
    with serving(repository, tmp_path / "own", *arguments, environment=nothing) as run:
        assert run.process.wait(60) == 2
    assert sentence in run.said
    assert "Traceback" not in run.said


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    child = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with Program("parent", [sys.executable, "-c", parent], tmp_path / "log") as program:
        program.wait_until(lambda: "up" in program.log.read_text(), 20)
        found = psutil.Process(program._process.pid)
        family = [found, *found.children(recursive=True)]
        assert len(family) == 2
    assert gone(family, 5)


def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        Program(
            "it", [sys.executable, "-c", "print('no such thing'); raise SystemExit(7)"], tmp_path / "log"
        ) as program,
        pytest.raises(DataProblem, match="ended with status 7, last saying: no such thing"),
    ):
        program.wait_until(lambda: False, 20)


# The package of OHIF


def package(folder: Path, members: dict[str, bytes | tarfile.TarInfo]) -> tuple[Path, str]:
    """A package as npm fetches them, and its checksum."""
    file = folder / "package.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file, "sha512-" + base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


def test_only_what_is_needed_is_unpacked(tmp_path: Path) -> None:
    file, integrity = package(
        tmp_path,
        {
            "package/package.json": b"{}",
            "package/dist/index.html": b"page",
            "package/dist/assets/a.js": b"a",
            "package/dist/a.js.map": b"map",
            "package/dist/ort/b.wasm": b"b",
            "package/dist/dicom-microscopy-viewer/c.js": b"c",
        },
    )
    ohif_review.unpack(file, tmp_path / "pages", integrity)
    found = {str(path.relative_to(tmp_path / "pages")) for path in (tmp_path / "pages").rglob("*") if path.is_file()}
    assert found == {"index.html", "assets/a.js"}


def test_another_package_than_the_pinned_one_is_not_unpacked(tmp_path: Path) -> None:
    file, _ = package(tmp_path, {"package/dist/index.html": b"page"})
    with pytest.raises(DataProblem, match="does not have the pinned checksum"):
        ohif_review.unpack(file, tmp_path / "pages")
    assert not (tmp_path / "pages").exists()


@pytest.mark.parametrize("name", ["package/dist/../../../evil", "/evil", "package/dist/a/../../../../evil"])
def test_no_member_leaves_the_folder(tmp_path: Path, name: str) -> None:
    file, integrity = package(tmp_path, {"package/dist/index.html": b"page", name: b"evil"})
    inside = tmp_path / "deep" / "pages"
    inside.parent.mkdir()
    ohif_review.unpack(file, inside, integrity)
    assert [path.name for path in inside.iterdir()] == ["index.html"]
    assert not list(tmp_path.rglob("evil"))
    assert not Path("/evil").exists()


def test_links_are_not_unpacked(tmp_path: Path) -> None:
    link = tarfile.TarInfo("package/dist/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    file, integrity = package(tmp_path, {"package/dist/index.html": b"page", "link": link})
    ohif_review.unpack(file, tmp_path / "pages", integrity)
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["index.html"]


def test_a_registry_out_of_reach_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DataProblem, match="could not fetch it \\(npm error network\\)"):
        ohif_review.install_ohif(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
