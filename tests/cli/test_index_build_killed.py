"""``munjang index build`` killed at random moments and started again: the index is that of one build."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import Index
from munjang.search.stores import open_store
from support.program import program_environment

KILLS = int(os.environ.get("MUNJANG_BUILD_KILLS", "3"))
ROWS = 6000
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "rows.jsonl"
    rows = ({"id": n, "text": f"문장 {n} 서울 {n * 7919 % 1000}번째 word{n % 97}"} for n in range(ROWS))
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def command(path: Path, source: Path, model: Path) -> list[str]:
    program = [sys.executable, "-m", "munjang", "index", "build", str(path), str(source), "-m", str(model)]
    return [*program, "--analyzer", "hangul-bigrams", "--no-progress"]


def started(path: Path, source: Path, model: Path, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(path, source, model),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program_environment(home),
    )


def finish(path: Path, source: Path, model: Path, home: Path) -> None:
    process = started(path, source, model, home)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def documents_in(path: Path) -> int:
    """Count what is committed; 0 before the index has been made."""
    if not path.exists():
        return 0
    try:
        store = open_store(path, create=False, readonly=True, busy_timeout=5)
    except OSError:
        return 0
    try:
        return store.info().documents
    finally:
        store.close()


def content(path: Path) -> dict[Any, Any]:
    """All documents, and the passages found for a sample of words and of vectors."""
    with Index.open(path, create=False) as index:
        found: dict[Any, Any] = {document.id: document for document in index}
        for query in ("서울 7", "word13", "문장 4242"):
            hits = index.search(query, limit=30)
            found[query] = [(hit.id, hit.start, hit.end, round(hit.score, 4)) for hit in hits]
        assert index.check() == []
        assert len(index) == ROWS
        return found


def test_a_killed_and_resumed_build_creates_the_same_index(source: Path, model: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.munjang", tmp_path / "killed.munjang"
    finish(whole, source, model, tmp_path)
    chance = random.Random(5)
    counts = [0]
    for number in range(KILLS):
        process = started(path, source, model, tmp_path)
        # Until it has committed something more, or at any moment before.
        wanted = counts[-1] + chance.choice([0, 1])
        ends = time.monotonic() + chance.uniform(0.2, 2.0) * (1 if wanted == counts[-1] else 60)
        while process.poll() is None and time.monotonic() < ends:
            if documents_in(path) >= wanted > counts[-1]:
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        sent = SIGNALS[number % len(SIGNALS)]
        process.send_signal(sent)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 130, -sent), errors
        assert b"Traceback" not in errors
        if b"Stopped with" in errors:
            assert b"The same command resumes the build." in errors
        counts.append(documents_in(path))
        assert counts[-1] >= counts[-2]
    finish(path, source, model, tmp_path)
    assert content(path) == content(whole)
    assert counts == sorted(counts)
    assert np.any(np.diff(counts) > 0)  # some of them were killed in the middle
