"""The derived file: a file that is damaged or belongs to another index is never searched."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from munjang.search.vectors import file as vector_file
from munjang.search.vectors.matrix import VectorMatrix
from support.vectors import IDENTITY, blobs, check, filled, matrix, sort_of

ROWS = sort_of("clustered", 5000, 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "faq.munjang-vectors"
    assert filled(ROWS, path, generation=7).save()
    return path


def test_a_file_is_found_again(path: Path) -> None:
    made = matrix(path, 20)
    assert (len(made), made.generation, made.stale, made.unsaved) == (5000, 7, None, 0)
    check(made, ROWS, range(5000), ROWS[3], 25)
    assert made.damage() == []
    assert [left.name for left in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("change", ["identity", "dimension", "similarity"])
def test_a_derived_file_of_another_program_is_ignored_and_replaced(path: Path, change: str) -> None:
    other = {"identity": IDENTITY, "dimension": 20, "similarity": "cosine"}
    other |= {change: {"identity": "another database", "dimension": 10, "similarity": "dot"}[change]}
    made = VectorMatrix(path, **other)  # type: ignore[arg-type]
    assert (len(made), made.generation) == (0, 0)
    assert made.stale is not None
    assert made.stale.startswith("belongs to another index")
    assert made.save()
    assert matrix(path, 20).stale is not None


def test_a_derived_file_newer_than_its_database_can_be_deleted(path: Path) -> None:
    made = matrix(path, 20)
    made.clear()
    assert (len(made), made.generation) == (0, 0)
    made.update(blobs(ROWS[:10]), [], 3)
    assert made.save()
    assert (len(matrix(path, 20)), matrix(path, 20).generation) == (10, 3)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 1000, 100_000, -1])
def test_a_truncated_derived_file_is_ignored(path: Path, length: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:length])
    _made_anew(path)


def test_a_derived_file_that_is_too_long_is_ignored(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    _made_anew(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"SQLite format 3\0" * 300])
def test_a_file_with_other_content_is_ignored(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _made_anew(path)


def test_a_folder_instead_of_the_derived_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "faq").mkdir()
    made = filled(ROWS, tmp_path / "faq")
    assert not made.save()
    check(made, ROWS, range(5000), ROWS[3], 5)


@pytest.mark.parametrize("large", [True, False])
def test_damage_at_any_offset_is_detected(path: Path, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed bit in any part is detected at opening or by a full read, or it is padding between the parts.

    A large file is read whole only when it is checked.
    """
    if large:
        monkeypatch.setattr(vector_file, "_CHECKED_WHOLE", 0)
    content = path.read_bytes()
    between = found_late = 0
    for place in [*range(64), *range(64, len(content), 997), *range(len(content) - 200, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        made = matrix(path, 20)
        if made.stale is None:
            late = bool(made.damage())
            found_late += late
            between += not late and content[place] == 0
            assert late or content[place] == 0
    codes_and_vectors = 5000 * 20 * 5
    assert found_late > 0.95 * codes_and_vectors / 997 if large else found_late == 0
    assert between <= 64


def test_a_file_of_a_newer_version_is_ignored(path: Path) -> None:
    import struct
    import zlib

    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack("<I", 2)
    content[32:36] = struct.pack("<I", zlib.crc32(bytes(content[:32])))
    path.write_bytes(bytes(content))
    assert matrix(path, 20).stale == "is of version 2, not 1"


def _made_anew(path: Path) -> None:
    made = matrix(path, 20)
    assert (len(made), made.generation) == (0, 0)
    assert made.stale is not None
    made.update(blobs(ROWS), [], 8)
    assert made.save()
    again = matrix(path, 20)
    assert (len(again), again.generation, again.stale) == (5000, 8, None)


# When it can't be written


def test_a_missing_derived_file_does_not_affect_searches(tmp_path: Path) -> None:
    made = filled(ROWS, tmp_path / "nowhere" / "faq")
    assert not made.save()
    check(made, ROWS, range(5000), ROWS[3], 5)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files by the system, which fails then as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_old_file_and_the_new_rows(path: Path) -> None:
    made = matrix(path, 20)
    more = sort_of("random", 3000, 20)
    made.update(blobs(more, 5000), [], 8)
    with largest_file(300_000):
        assert not made.save()
    check(made, np.concatenate((ROWS, more)), range(8000), more[3], 9)
    assert [left.name for left in path.parent.iterdir()] == [path.name]
    assert (len(matrix(path, 20)), matrix(path, 20).generation) == (5000, 7)


def test_a_read_only_folder_costs_no_search(path: Path) -> None:
    """Run as another user, because nothing is read-only for the superuser."""
    path.parent.chmod(0o555)
    program = f"""
import os, pathlib, sys
import numpy as np
from munjang.search.vectors.matrix import VectorMatrix
matrix = VectorMatrix(None, identity="x", dimension=1, similarity="dot")
matrix.update([(1, bytes(4))], [], 1)
matrix.search(np.ones(1, dtype=np.float32), 1)  # loads what the other user may not be able to read
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
made = VectorMatrix(pathlib.Path("other"), identity="{IDENTITY}", dimension=2, similarity="dot")
made.update([(1, bytes(8)), (2, np.ones(2, dtype="<f4").tobytes())], [], 5)
print(made.save(), made.search(np.ones(2, dtype=np.float32), 1)[0].tolist())
"""
    command = [sys.executable, "-c", program, str(path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    path.parent.chmod(0o755)
    assert (done.stdout, done.stderr) == ("False [2]\n", "")


# What writers that were killed leave


def test_leftovers_of_a_killed_writer_are_deleted_after_an_hour(path: Path) -> None:
    old, new = (path.with_name(f".{path.name}.{name}.tmp") for name in ("0a", "0b"))
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 4000, time.time() - 4000))
    made = matrix(path, 20)
    assert made.save()
    assert (old.exists(), new.exists()) == (False, True)


def test_two_that_save_leave_one_whole_file(path: Path) -> None:
    one, other = matrix(path, 20), matrix(path, 20)
    one.update(blobs(ROWS[:10], 5000), [], 8)
    other.update(blobs(ROWS[:20], 5000), [], 9)
    assert one.save()
    assert other.save()
    check(one, np.concatenate((ROWS, ROWS[:10])), range(5010), ROWS[3], 5)
    assert (len(matrix(path, 20)), matrix(path, 20).generation) == (5020, 9)
