"""Files of a model that are not what they should be: other kinds of files, or far too large."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from munjang.checkpoints.files import JSON_LIMIT, read_json, read_limited
from munjang.errors import CheckpointError


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(CheckpointError, match=r"vocab\.txt' has 5 bytes, .* at most 4"):
        read_limited(path, 4)


def test_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse; reading it would run out of memory
    with pytest.raises(CheckpointError, match=f"at most {JSON_LIMIT:,}"):
        read_json(path)


def test_other_kinds_of_files_are_refused_at_once(tmp_path: Path) -> None:
    fifo, folder, link = tmp_path / "fifo", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(fifo)
    folder.mkdir()
    link.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, kind in [
            (fifo, "fifo"),
            (folder, "folder"),
            (link, "device"),
            (tmp_path / "socket", "socket"),
        ]:
            with pytest.raises(CheckpointError, match=f"{path.name}' is a {kind}, not a regular file"):
                read_limited(path, 100)


def test_an_endless_file_of_no_size_is_read_only_to_the_limit() -> None:
    with pytest.raises(CheckpointError, match="at most 4"):
        read_limited(Path("/proc/self/status"), 4)  # its size is given as 0


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "missing", "file/below"])
def test_names_that_no_file_has(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError):
        read_limited(tmp_path / name, 100)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a"', "NaN\x00"])
def test_json_that_no_parser_takes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_json(path)
