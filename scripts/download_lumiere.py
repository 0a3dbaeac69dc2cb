"""Download LUMIERE from figshare (33 GB) and unpack it; what was stopped is gone on with."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from treatment_response.cohort.adapters.lumiere_files import listed_files, published_files, unpack
from treatment_response.commands import command
from treatment_response.downloads import download
from treatment_response.files import check_folder


@command("the same command goes on where it stopped")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 or 2 (a file that cannot be had)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="LUMIERE_DIR", help="folder of tables and images")
    parser.add_argument(
        "--files", type=Path, metavar="CSV", help="name, url, size, md5 of the files, instead of figshare's list"
    )
    parser.add_argument("--no-unpack", action="store_true", help="keep the archive of the images as it is")
    options = parser.parse_args(arguments)
    check_folder(options.out)
    files = listed_files(options.files) if options.files else published_files()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        for file in files:
            task = progress.add_task(file.name, total=file.size)
            download(file, options.out, partial(_show, progress, task))
        archives = [] if options.no_unpack else [file.name for file in files if file.name.endswith(".zip")]
        for name in archives:
            task = progress.add_task(f"unpacking {name}", total=None)
            unpack(options.out / name, options.out, partial(_show, progress, task))
    print(f"{options.out}: {len(files)} files, each with its published size and checksum")
    print("Its terms of use are in LUMIERE-readme.pdf. Next: scripts/prepare_lumiere.py")
    return 0


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


if __name__ == "__main__":
    sys.exit(main())
