"""The server part of the app names no system: what it says of one comes from the app or the model."""

from __future__ import annotations

import re
from pathlib import Path

from pulsar_app import server

ROOM = Path(server.__file__).parent
WORDS = re.compile(
    r"pulsar|lesion|metasta|\bmri[ _]?[12]\b|\bgtvs?\b|tumou?r|p_response|non-?response|rice_?net|\brano\b",
    re.IGNORECASE,
)
ALLOWED = {
    "pulsar_app": "the package's name is historic, and MONAI Label's users have it in their folders",
    "PULSAR_SERVER_": "administrators set these environment variables; another name would open their servers",
}


def test_no_line_of_the_server_speaks_of_a_system() -> None:
    found = []
    for path in sorted(ROOM.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for allowed in ALLOWED:
                line = line.replace(allowed, "")
            if WORDS.search(line):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert not found


def test_every_exception_is_needed() -> None:
    text = "".join(path.read_text() for path in ROOM.rglob("*.py"))
    assert not [allowed for allowed in ALLOWED if allowed not in text]
