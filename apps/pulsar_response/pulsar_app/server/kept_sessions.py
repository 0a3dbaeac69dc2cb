"""MONAI Label's sessions, within limits, and all of them gone in the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from monailabel.utils.sessions import SessionInfo, Sessions
from treatment_response.problems import Problem

from pulsar_app.server.problems import Busy, TooLarge

_REMEDY = "remove one (DELETE /session/ID), or wait until one expires"


class KeptSessions(Sessions):
    """Sessions on disk, at most so many and so large together.

    Args:
        store_path: their folder; empty for MONAI Label's own.
        expiry: seconds after the last use.
        most: how many there may be.
        most_bytes: how much their files may take together.
    """

    def __init__(self, store_path: str, expiry: int, most: int, most_bytes: int) -> None:
        super().__init__(store_path, expiry)
        self._most, self._most_bytes = most, most_bytes
        self._changing = threading.RLock()

    def add_session(self, data_file: str, *args: Any, **more: Any) -> tuple[str, SessionInfo]:
        """Keep a file, which is moved.

        Raises:
            Busy: there are as many sessions as there may be.
            TooLarge: their files would take more than they may.
        """
        with self._changing:
            kept = self._folders()
            if len(kept) >= self._most:
                raise Busy(Problem("session", f"the server keeps {len(kept)} already, as many as it may", _REMEDY))
            taken = sum(file.stat().st_size for folder in kept for file in folder.iterdir())
            if taken + Path(data_file).stat().st_size > self._most_bytes:
                what = f"with it the sessions would take more than {self._most_bytes // 2**20} MiB"
                raise TooLarge(Problem("session", what, _REMEDY))
            session_id, info = super().add_session(data_file, *args, **more)
            return str(session_id), info

    def remove_session(self, session_id: str) -> None:
        with self._changing:
            super().remove_session(session_id)

    def remove_expired(self) -> int:
        """Remove what was not used for long, and what a killed server left: MONAI Label's own stops at the latter.

        Returns:
            How many were removed.
        """
        with self._changing:
            gone = [folder.name for folder in self._folders() if self._is_over(folder.name)]
            for session_id in gone:
                self.remove_session(session_id)
        return len(gone)

    def _is_over(self, session_id: str) -> bool:
        try:
            info = self.get_session(session_id, update_ts=False, fetch_cache=False)
        except ValueError:  # its description was written half
            return True
        return info is None or info.last_access_ts + info.expiry < time.time()

    def _folders(self) -> list[Path]:
        store = Path(self.store_path)
        return [folder for folder in store.iterdir() if folder.is_dir()] if store.is_dir() else []

    def _write_meta_info(self, session_id: str, session_info: SessionInfo) -> None:
        with self._changing:  # nobody who cleans up finds half of it
            super()._write_meta_info(session_id, session_info)
