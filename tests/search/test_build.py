"""Building an index from files: what is encoded, resuming after a stop, and the removal of documents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from munjang import Index, SentenceTransformer
from munjang.errors import DataFileError
from munjang.search.index import Built
from munjang.search.prepare import LocalEngine
from munjang.search.sources import Source
from munjang.search.stores.base import Changes
from support.documents import FAQ, faq_file
from support.processes import python_environment

FIELDS = ["question", "answer"]


@pytest.fixture
def index(tmp_path: Path, model: SentenceTransformer) -> Iterator[Index]:
    with Index.open(tmp_path / "faq.munjang", model=model, fields=FIELDS) as opened:
        yield opened


def rows(path: Path, count: int, first: int = 0) -> Path:
    lines = (json.dumps({"id": n, "question": f"질문 {n}", "n": n}) for n in range(first, first + count))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_build_from_a_file(index: Index, tmp_path: Path) -> None:
    seen: list[int] = []
    assert index.build(faq_file(tmp_path), advance=seen.append) == Built(read=4, written=4)
    assert sum(seen) == 4
    found = index.get("a")
    assert found is not None
    assert found.metadata == {"lang": "en", "year": 2021}
    assert found.source == "faq.jsonl"


def test_only_changes_are_written(index: Index, tmp_path: Path) -> None:
    path = faq_file(tmp_path)
    index.build(path)
    changed = [{**row, "answer": "달라졌어요."} if row["id"] == 2 else row for row in FAQ]
    path.write_text(
        "\n".join(map(json.dumps, [*changed, {"id": 9, "question": "새 질문"}])), encoding="utf-8"
    )
    assert index.build(path) == Built(read=5, written=2, unchanged=3)
    assert index.build(path) == Built(read=5, written=0, unchanged=5)


def test_prune_deletes_missing_documents(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    rows(folder / "a.jsonl", 3)
    rows(folder / "b.jsonl", 1500, first=10)
    (folder / ".hidden").touch()
    index.add({"id": "mine", "question": "남는다"})
    assert index.build(folder) == Built(read=1503, written=1503, skipped={"hidden": 1})
    (folder / "b.jsonl").unlink()
    rows(folder / "a.jsonl", 2)
    assert index.build(folder).deleted == 0
    assert index.build(folder, prune=True) == Built(read=2, unchanged=2, deleted=1501, skipped={"hidden": 1})
    assert [document.id for document in index] == ["mine", 0, 1]


def test_a_stopped_build_resumes(index: Index, tmp_path: Path) -> None:
    path = rows(tmp_path / "many.jsonl", 2500)
    done = [0]

    def stop(count: int) -> None:
        done[0] += count
        if done[0] > 1600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.build(path, advance=stop)
    assert len(index) == 1000
    assert index.build(path) == Built(read=2500, written=1500, unchanged=1000)


KILLED = """
import sys, munjang
with munjang.Index.open(sys.argv[1], model=sys.argv[2], fields=["question", "answer"]) as index:
    print("ready", flush=True)
    index.build(sys.argv[3])
"""


def test_a_killed_build_resumes(tmp_path: Path, folder: Path) -> None:
    source, place = rows(tmp_path / "many.jsonl", 4000), tmp_path / "x.munjang"
    command = [sys.executable, "-c", KILLED, str(place), str(folder), str(source)]
    process = subprocess.Popen(
        command, env=python_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with Index.open(place) as index:
        deadline = time.monotonic() + 60
        while len(index) < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Index.open(place) as index:
        there = len(index)
        assert there % 1000 == 0
        built = index.build(source)
        assert (built.unchanged, built.written) == (there, 4000 - there)
        assert index.check() == []


def test_a_duplicate_id(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text('{"id": 1, "question": "a"}\n{"id": 1, "question": "b"}\n', encoding="utf-8")
    with pytest.raises(DataFileError, match="id 1 occurs twice"):
        index.build(path)


def test_equal_rows_without_an_id_are_one(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "same.csv"
    path.write_text("question\n가\n가\n나\n", encoding="utf-8")
    assert index.build(path).written == 2


def test_an_engine_prepares_the_same_documents(
    index: Index, tmp_path: Path, model: SentenceTransformer
) -> None:
    path = rows(tmp_path / "many.jsonl", 1200)
    seen: list[int] = []
    built = index.build(Source(path=str(path)), engine=LocalEngine(model), advance=seen.append)
    assert built == Built(read=1200, written=1200)
    assert sum(seen) == 1200
    assert index.build(path).unchanged == 1200


def test_a_full_write_is_one_transaction(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = index.store.write

    def counted(changes: Changes) -> int:
        sizes.append(len(changes.put))
        return write(changes)

    monkeypatch.setattr(index.store, "write", counted)
    index.build(rows(tmp_path / "many.jsonl", 2500))
    assert sizes == [1000, 1000, 500]


def test_markdown_hits_have_their_section(tmp_path: Path, model: SentenceTransformer) -> None:
    (tmp_path / "guide.md").write_text(
        "# 설치\n윈도우에서 설치해요.\n# 사용\n문장을 찾아요.", encoding="utf-8"
    )
    with Index.open(tmp_path / "x.munjang", model=model) as index:
        index.build(tmp_path / "guide.md")
        (hit,) = index.search("찾다", mode="lexical")
        assert (hit.id, hit.document.source) == ("guide.md#사용", "guide.md")
        assert hit.document.metadata == {"headings": ["사용"]}
