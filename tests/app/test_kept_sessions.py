"""Sessions: only so many and so large, and what a killed server left of them is removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pulsar_app.server.kept_sessions import KeptSessions
from pulsar_app.server.problems import Busy, TooLarge

EXPIRY = 3600


def sent(folder: Path, size: int) -> str:
    path = folder / f"upload-{size}.nii.gz"
    path.write_bytes(b"0" * size)
    return str(path)


@pytest.fixture
def sessions(tmp_path: Path) -> KeptSessions:
    return KeptSessions(str(tmp_path / "sessions"), EXPIRY, most=2, most_bytes=2**20)


def test_there_are_only_so_many(sessions, tmp_path):
    first, _ = sessions.add_session(sent(tmp_path, 10))
    sessions.add_session(sent(tmp_path, 11))
    with pytest.raises(Busy, match="2 already"):
        sessions.add_session(sent(tmp_path, 12))
    sessions.remove_session(first)
    sessions.add_session(sent(tmp_path, 13))


def test_they_are_only_so_large_together(sessions, tmp_path):
    sessions.add_session(sent(tmp_path, 600_000))
    with pytest.raises(TooLarge, match="1 MiB"):
        sessions.add_session(sent(tmp_path, 600_001))
    sessions.add_session(sent(tmp_path, 300_000))


def test_those_of_an_earlier_server_count(sessions, tmp_path):
    sessions.add_session(sent(tmp_path, 10))
    restarted = KeptSessions(sessions.store_path, EXPIRY, most=1, most_bytes=2**20)
    with pytest.raises(Busy):
        restarted.add_session(sent(tmp_path, 11))


def test_what_expired_or_was_left_half_is_removed_and_the_rest_stays(tmp_path):
    sessions = KeptSessions(str(tmp_path / "sessions"), EXPIRY, most=9, most_bytes=2**20)
    store = Path(sessions.store_path)
    alive, _ = sessions.add_session(sent(tmp_path, 10))
    old, info = sessions.add_session(sent(tmp_path, 11))
    (store / old / "meta.info").write_text(json.dumps({**info.to_json(), "last_access_ts": 1}))
    (store / "no-description").mkdir()
    (store / "no-description" / "upload.nii.gz").write_bytes(b"0")
    cut, _ = sessions.add_session(sent(tmp_path, 12))
    (store / cut / "meta.info").write_text('{"name": "')
    _, gone = sessions.add_session(sent(tmp_path, 13))
    Path(gone.image).unlink()
    assert sessions.remove_expired() == 4
    assert [folder.name for folder in store.iterdir()] == [alive]
    assert sessions.remove_expired() == 0
