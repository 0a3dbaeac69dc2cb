"""What `make serve` needs beside the Python environment, and what to do where a part is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

from treatment_response.problems import DataProblem, Problem

PLUGIN_PLACES = (
    Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so"),
    Path("/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so"),
)


def find_orthanc() -> tuple[Path, Path]:
    """The Orthanc server and its DICOMweb plugin.

    Raises:
        DataProblem: one of them is not installed; says the command that installs it.
    """
    server = shutil.which("Orthanc")
    plugin = next((place for place in PLUGIN_PLACES if place.is_file()), None)
    problems = []
    if server is None:
        problems.append(_missing("Orthanc", "sudo apt-get install orthanc orthanc-dicomweb"))
    elif plugin is None:
        problems.append(_missing("Orthanc's DICOMweb plugin", "sudo apt-get install orthanc-dicomweb"))
    if problems or server is None or plugin is None:
        raise DataProblem(*problems)
    return Path(server), plugin


def find_npm() -> Path:
    """npm, which fetches OHIF.

    Raises:
        DataProblem: npm is not installed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataProblem(_missing("npm, which fetches the OHIF viewer once,", "sudo apt-get install npm"))
    return Path(npm)


def _missing(what: str, command: str) -> Problem:
    return Problem(
        what,
        "is not installed",
        f"install it with `{command}` (a Debian or Ubuntu system), use apps/pulsar_response/deploy/compose.yaml where "
        "there is Docker, or give a folder of NIfTI with --studies, which needs no viewer",
    )
