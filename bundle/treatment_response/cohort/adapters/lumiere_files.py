"""Which files LUMIERE is, as its publisher lists them, and how its archive is unpacked.

The collection is figshare's 10.6084/m9.figshare.c.5904905. Addresses, sizes and checksums are asked from figshare at
the time of the download, so none is written down here. The numbers of the articles are those that public code uses.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

import requests

from treatment_response.cohort.table_file import read_table_file
from treatment_response.downloads import Advance, RemoteFile
from treatment_response.files import check_room, whole_file
from treatment_response.problems import DataProblem, Problem

FIGSHARE = "https://api.figshare.com/v2"
ARTICLES = {
    "readme": 21266241,
    "ratings": 21195556,
    "demographics": 21195559,
    "completeness": 21195430,
    "images": 21249516,
}
_TIMEOUT_SECONDS = 60.0
_REMEDY = "try later, or give a list of the files with --files (columns name, url, size, md5)"


def published_files(api: str = FIGSHARE) -> list[RemoteFile]:
    """Ask figshare for the files of all articles.

    Args:
        api: address of figshare's interface.

    Raises:
        DataProblem: it cannot be reached, or answers in another form.
    """
    files = []
    for name, number in ARTICLES.items():
        try:
            response = requests.get(f"{api}/articles/{number}", timeout=_TIMEOUT_SECONDS)
            response.raise_for_status()
            listed = response.json()["files"]
            files += [
                RemoteFile(
                    str(one["name"]),
                    str(one["download_url"]),
                    int(one["size"]),
                    str(one.get("computed_md5") or one.get("supplied_md5") or ""),
                )
                for one in listed
            ]
        except requests.RequestException as error:  # also an answer that is no JSON
            what = f"cannot be asked for the files of LUMIERE's {name} ({type(error).__name__})"
            raise DataProblem(Problem("figshare", what, _REMEDY)) from None
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataProblem):
                raise
            what = f"lists the files of LUMIERE's {name} in another form than expected"
            raise DataProblem(Problem("figshare", what, _REMEDY)) from None
    return files


def listed_files(path: Path) -> list[RemoteFile]:
    """Read a list of files that a user gives: a CSV with ``name, url, size, md5``.

    Raises:
        DataProblem: it is no such table.
    """
    table = read_table_file(path, "list of files", ("name", "url", "size", "md5"))
    files, problems = [], list(table.problems)
    for row in table.rows:
        size = row.text("size")
        try:
            files.append(
                RemoteFile(
                    row.text("name"), row.text("url"), int(size) if size.isdecimal() else -1, row.text("md5").lower()
                )
            )
        except DataProblem as error:
            problems += error.problems
    if problems:
        raise DataProblem(*problems)
    return files


def unpack(archive: Path, folder: Path, advance: Advance) -> int:
    """Unpack a ZIP file; what is there already, in the right size, is not unpacked again.

    Args:
        advance: is told how many bytes are unpacked.

    Returns:
        Number of files in the archive.

    Raises:
        DataProblem: the archive is damaged, has a member that would lie outside of ``folder``, or does not fit.
    """
    damaged = DataProblem(Problem(archive.name, "is damaged", "remove it and run the same command again"))
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            targets = {member: folder / member.filename for member in members}
            root = folder.resolve()
            if not all(target.resolve().is_relative_to(root) for target in targets.values()):
                what = "has a member that would lie outside of the folder"
                raise DataProblem(Problem(archive.name, what, "do not use this archive"))
            missing = [member for member in members if not _is_there(targets[member], member.file_size)]
            check_room(folder, sum(member.file_size for member in missing), "--out", "the unpacked archive")
            done = sum(member.file_size for member in members) - sum(member.file_size for member in missing)
            advance(done)
            for member in missing:
                with whole_file(targets[member]) as partial, content.open(member) as packed, partial.open("wb") as file:
                    shutil.copyfileobj(packed, file, 2**20)
                done += member.file_size
                advance(done)
            return len(members)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise damaged from None


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
