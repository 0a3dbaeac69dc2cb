"""Files written whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from treatment_response.files import whole_file, write_whole


def test_a_failed_writing_leaves_the_older_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "table.csv.gz"
    write_whole(path, "old")
    with pytest.raises(RuntimeError):
        _fail_half_way(path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def _fail_half_way(path: Path) -> None:
    with whole_file(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        assert partial.name.endswith("table.csv.gz")
        raise RuntimeError


def test_text_keeps_its_line_ends_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "ä\r\n")
    write_whole(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == "ä\r\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_threads_that_write_one_file_do_not_write_into_each_other(tmp_path: Path) -> None:
    both_open = Barrier(2)

    def write(text: str) -> None:
        with whole_file(tmp_path / "a") as partial:
            partial.write_text(text)
            both_open.wait()
            assert partial.read_text() == text

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["one", "two"]))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
