"""LUMIERE's files from a real server on this machine: broken off, resumed, damaged, not listed."""

from __future__ import annotations

import hashlib
import io
import json
import runpy
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from treatment_response.cohort.adapters.lumiere_files import ARTICLES, published_files, unpack
from treatment_response.downloads import RemoteFile, download
from treatment_response.problems import DataProblem


class Figshare(ThreadingHTTPServer):
    """Articles of one file each. ``break_after``: bytes after which the next answer ends, as often as listed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.break_after: list[int] = []
        self.ranges: list[str] = []
        self.resumes = True
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def listed(self, name: str) -> RemoteFile:
        content = self.files[name]
        return RemoteFile(name, f"{self.url}/{name}", len(content), hashlib.md5(content).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Figshare

    def do_GET(self) -> None:
        kind, _, name = self.path[1:].partition("/")
        if kind == "articles":
            names = dict(zip(map(str, ARTICLES.values()), self.server.files, strict=False))
            listed = self.server.listed(names[name])
            entry = {"name": listed.name, "download_url": listed.url, "size": listed.size, "computed_md5": listed.md5}
            self.answer(200, json.dumps({"files": [entry]}).encode())
            return
        content = self.server.files[kind]
        self.server.ranges.append(self.headers.get("Range", ""))
        start = 0
        if self.server.resumes and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.answer(206 if start else 200, content[start:], start)

    def answer(self, status: int, body: bytes, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
        self.end_headers()
        self.wfile.write(body[: self.server.break_after.pop(0)] if self.server.break_after else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def figshare() -> Iterator[Figshare]:
    server = Figshare()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def nothing(_: int) -> None:
    pass


@pytest.mark.parametrize("resumes", [True, False], ids=["ranges", "no ranges"])
def test_a_download_that_breaks_off_goes_on_where_it_was(figshare: Figshare, resumes: bool, tmp_path: Path) -> None:
    figshare.files["images.zip"], figshare.resumes = bytes(range(256)) * 40, resumes
    figshare.break_after = [4000, 2500] if resumes else [4000]
    told: list[int] = []
    assert download(figshare.listed("images.zip"), tmp_path, told.append, wait_seconds=0)
    assert (tmp_path / "images.zip").read_bytes() == figshare.files["images.zip"]
    assert figshare.ranges == ["", "bytes=4000-", "bytes=6500-"][: 3 if resumes else 2]
    assert told[-1] == 10240
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]
    assert not download(figshare.listed("images.zip"), tmp_path, nothing)
    assert len(figshare.ranges) == (3 if resumes else 2)


def test_a_download_that_was_cut_off_is_told_and_kept_for_the_next_command(figshare: Figshare, tmp_path: Path) -> None:
    figshare.files["images.zip"] = bytes(10_000)
    figshare.break_after = [1000] * 5
    with pytest.raises(
        DataProblem, match=r"images.zip: 0.0 of 0.0 MB are there, and the connection broke off .*goes on"
    ):
        download(figshare.listed("images.zip"), tmp_path, nothing, wait_seconds=0)
    assert [path.name for path in tmp_path.iterdir()] == [".images.zip.part"]
    download(figshare.listed("images.zip"), tmp_path, nothing, wait_seconds=0)
    assert figshare.ranges[-1] == "bytes=5000-"


def test_a_copy_with_another_checksum_or_size_is_not_kept(figshare: Figshare, tmp_path: Path) -> None:
    figshare.files["ratings.csv"] = b"right content"
    listed = figshare.listed("ratings.csv")
    figshare.files["ratings.csv"] = b"wrong content"
    with pytest.raises(DataProblem, match=r"ratings.csv: its MD5 checksum is not the published one"):
        download(listed, tmp_path, nothing, wait_seconds=0)
    figshare.files["ratings.csv"] = b"longer content than listed"
    with pytest.raises(DataProblem, match="the server sends more than the 13 bytes"):
        download(listed, tmp_path, nothing, wait_seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_figshares_list_and_a_list_of_ones_own(
    figshare: Figshare, tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(repository / "scripts/download_lumiere.py"))["main"]
    members = {"Imaging/Patient-001/week-000/T1.nii.gz": b"T1", "Imaging/Patient-001/week-000/T2.nii.gz": b"T2" * 500}
    figshare.files = {"readme.pdf": b"1", "ratings.csv": b"2", "facts.csv": b"3", "there.csv": b"4"}
    figshare.files["Imaging.zip"] = archive(members)
    files = published_files(figshare.url)
    assert files == [figshare.listed(name) for name in figshare.files]
    rows = [f"{file.name},{file.url},{file.size},{file.md5}" for file in files]
    (tmp_path / "files.csv").write_text("name,url,size,md5\n" + "\n".join(rows))
    out = tmp_path / "LUMIERE"
    assert main(["--out", str(out), "--files", str(tmp_path / "files.csv")]) == 0
    assert {name: (out / name).read_bytes() for name in members} == members
    assert (out / "ratings.csv").read_bytes() == b"2"
    (tmp_path / "files.csv").write_text(
        "name,url,size,md5\n../x.csv,http://h/x,1,\nx.csv,ftp://h/x,1,\nx,http://h/x,1,"
    )
    assert main(["--out", str(out), "--files", str(tmp_path / "files.csv")]) == 2
    error = capsys.readouterr().err
    for sentence in (
        "a file of the list: has a name that cannot be a file's",
        "file x.csv: has an address that begins with neither https:// nor http://",
        "file x: is listed without its size or its MD5 checksum",
    ):
        assert sentence in error
    with pytest.raises(DataProblem, match="figshare: cannot be asked for the files of LUMIERE's readme"):
        published_files(figshare.url + "/elsewhere/nothing")


def test_an_archive_is_unpacked_once_and_never_outside(tmp_path: Path) -> None:
    (tmp_path / "one.zip").write_bytes(archive({"Imaging/a": b"12345", "Imaging/b": b"6"}))
    told: list[int] = []
    (tmp_path / "Imaging").mkdir()
    (tmp_path / "Imaging/a").write_bytes(b"12345")
    assert unpack(tmp_path / "one.zip", tmp_path, told.append) == 2
    assert told == [5, 6]  # the first was there
    (tmp_path / "out.zip").write_bytes(archive({"../escaped": b"1"}))
    with pytest.raises(DataProblem, match=r"out.zip: has a member that would lie outside"):
        unpack(tmp_path / "out.zip", tmp_path / "folder", nothing)
    (tmp_path / "cut.zip").write_bytes(archive({"Imaging/c": b"1" * 1000})[:-30])
    with pytest.raises(DataProblem, match=r"cut.zip: is damaged"):
        unpack(tmp_path / "cut.zip", tmp_path, nothing)
