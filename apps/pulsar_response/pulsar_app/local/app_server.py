"""The MONAI Label server with this app, as a program of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pulsar_app.local.processes import LOOPBACK, Program, answers, free_port

APP = Path(__file__).parents[2]
START_SECONDS = 180.0


def start_app(studies: str, folder: Path, port: int = 0) -> tuple[Program, str]:
    """Start the app and wait until it answers.

    Args:
        studies: DICOMweb root of a PACS, or a folder of NIfTI.
        folder: its log and its cache go here.
        port: wanted port; another free one is taken if it is in use. 0: any.

    Returns:
        The program, which the caller stops, and the server's root URL.

    Raises:
        DataProblem: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = free_port(port)
    url = f"http://{LOOPBACK}:{taken}"
    # Never the `monailabel` script: that runs whichever Python is first on the path.
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(APP), "--studies", studies]
    program = Program(
        "the MONAI Label server",
        [*command, "--host", LOOPBACK, "--port", str(taken)],
        folder / "server.log",
        environment={
            "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": "MR"}),
            "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "cache"),
            "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
        },
    )
    try:
        program.wait_until(lambda: answers(f"{url}/health"), START_SECONDS)
    except BaseException:
        program.stop()
        raise
    return program, url
