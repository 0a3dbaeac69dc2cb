"""OHIF for reviewing stored maps: one pinned release, fetched once through npm, checked and trimmed."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from treatment_response.problems import DataProblem, Problem

from pulsar_app.local.parts import find_npm

VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
DIST = PurePosixPath("package/dist")
# Speech and whole-slide microscopy: three quarters of the size, and nothing that a head MR needs.
LEFT_OUT = frozenset({"ort", "dicom-microscopy-viewer"})
FETCH_SECONDS = 600


def install_ohif(cache: Path) -> Path:
    """The folder of OHIF's pages, fetched on first use.

    Args:
        cache: folder that keeps it; made if missing.

    Returns:
        ``cache/ohif-<version>``, with ``index.html`` in it.

    Raises:
        DataProblem: npm is missing or cannot fetch the package, or the package is not the pinned one.
    """
    pages = cache / f"ohif-{VERSION}"
    if (pages / "index.html").is_file():
        return pages
    npm = find_npm()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".ohif-") as folder:
        package = fetch(npm, Path(folder))
        unpack(package, Path(folder) / "pages")
        try:
            (Path(folder) / "pages").rename(pages)
        except OSError:
            # Another start has installed the same release meanwhile.
            if not (pages / "index.html").is_file():
                raise
    return pages


def fetch(npm: Path, folder: Path) -> Path:
    """Download the package into ``folder``."""
    command = [str(npm), "pack", f"@ohif/app@{VERSION}", "--silent", "--pack-destination", "."]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        said = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
    except subprocess.TimeoutExpired:
        said = f"no answer within {FETCH_SECONDS} s"
    packages = list(folder.glob("*.tgz"))
    if len(packages) != 1:
        raise DataProblem(
            Problem(
                f"OHIF {VERSION}",
                f"npm could not fetch it ({said})",
                "check the network and npm's registry setting (`npm ping`), then start again",
            )
        )
    return packages[0]


def unpack(package: Path, pages: Path, integrity: str = INTEGRITY) -> None:
    """Check a package and extract its pages, without what is left out.

    Args:
        package: the .tgz that npm fetched.
        pages: folder to make.
        integrity: its checksum, as npm writes them: ``sha512-<base64>``.

    Raises:
        DataProblem: the checksum is another one; nothing is extracted then.
    """
    with package.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != integrity:
        raise DataProblem(
            Problem(
                f"OHIF {VERSION}",
                "the package that npm fetched does not have the pinned checksum, and is not used",
                "find out which registry npm asks (`npm config get registry`); do not go on with it",
            )
        )
    pages.mkdir()
    with tarfile.open(package) as archive:
        for member in archive:
            inside = PurePosixPath(member.name)
            if not inside.is_relative_to(DIST):
                continue
            inside = inside.relative_to(DIST)
            content = archive.extractfile(member) if member.isfile() else None  # links would be followed
            if content is None or inside.parts[0] in LEFT_OUT or inside.suffix == ".map" or ".." in inside.parts:
                continue
            # Written by hand: Debian's Python 3.11 has no filter for what an archive may extract.
            target = pages / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
