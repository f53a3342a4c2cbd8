"""Indexes whose bytes were changed: every answer is right or a `MunjangError`, and a check finds the rest."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from munjang import Index, SentenceTransformer
from munjang.errors import InputError, MunjangError, StoreError
from munjang.search.stores import open_store

COUNT = 40
COPIES = 60
QUERY = "서울 도서관"
Answers = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: SentenceTransformer) -> Path:
    """An index and its derived file, both closed."""
    path = tmp_path_factory.mktemp("whole") / "a.munjang"
    with Index.open(path, model=model, fields=["title", "text"]) as index:
        index.add(
            {
                "id": number if number % 2 else f"이름-{number}",
                "title": f"서울 {number}",
                "text": f"도서관 {number} 번째 글입니다. " * (1 + number % 5),
                "metadata": {"year": 2000 + number, "tags": ["a", "나"]},
            }
            for number in range(COUNT)
        )
        index.rebuild()
    return path


def answers(path: Path, model: SentenceTransformer) -> Answers:
    """Return the answers of an index; a `MunjangError` in place of an answer."""
    found: Answers = {}

    def ask(name: str, work: Callable[[], Any]) -> None:
        try:
            found[name] = work()
        except MunjangError as error:
            found[name] = error

    try:
        index = Index.open(path, model=model, create=False)
    except MunjangError as error:
        return {"open": error}
    with index:
        for mode in ("semantic", "lexical", "hybrid"):
            ask(mode, partial(shown, index, mode=mode))
        ask("filtered", lambda: shown(index, filter={"year": {"gte": 2010}, "tags": "나"}))
        ask("get", lambda: [index.get(3), index.get("이름-4"), index.get("absent")])
        ask("count", lambda: (len(index), index.count({"year": 2003})))
        ask("documents", lambda: list(index.documents()))
        ask("info", lambda: {**index.info(), "location": "", "bytes": {}, "details": {}})
        ask("check", index.check)
    return found


def shown(index: Index, **options: Any) -> list[Any]:
    hits = index.search(QUERY, limit=5, **options)
    return [(hit.id, round(hit.score, 5), hit.text, hit.snippet, hit.document) for hit in hits]


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return a copy with some bytes changed, a range set to zero, or the end truncated."""
    spoilt = bytearray(content)
    kind = chance.random()
    start = chance.randrange(len(spoilt))
    if kind < 0.1:
        return bytes(spoilt[:start])
    if kind < 0.2:
        end = min(len(spoilt), start + chance.choice([64, 512, 8192]))
        spoilt[start:end] = bytes(end - start)
        return bytes(spoilt)
    for _ in range(chance.choice([1, 1, 4, 40])):
        spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    return bytes(spoilt)


@pytest.mark.parametrize("suffix", ["", "-vectors"])
def test_a_damaged_index_gives_right_answers_or_our_errors(
    whole: Path, model: SentenceTransformer, tmp_path: Path, suffix: str
) -> None:
    expected = answers(whole, model)
    assert expected["check"] == []
    content = whole.with_name(whole.name + suffix).read_bytes()
    chance = random.Random(11)
    failed = unnoticed = 0
    for number in range(COPIES):
        path = tmp_path / f"{number}.munjang"
        for each in ("", "-vectors"):
            shutil.copy(whole.with_name(whole.name + each), path.with_name(path.name + each))
        path.with_name(path.name + suffix).write_bytes(changed(content, chance))
        found = answers(path, model)
        errors = {name for name, value in found.items() if isinstance(value, MunjangError)}
        wrong = {name for name, value in found.items() if name not in errors and value != expected[name]}
        failed += bool(errors)
        if suffix:
            assert not errors | wrong, number  # what is derived is made again
        else:
            unnoticed += bool(wrong) and found["check"] == []
    if not suffix:
        assert failed > COPIES / 10
    # The counts of words in SQLite's full text have no checksum; a changed one moves the scores of a search.
    assert unnoticed <= COPIES / 30


def test_readable_documents_of_a_damaged_index_are_exported(
    whole: Path, model: SentenceTransformer, tmp_path: Path
) -> None:
    """A page of the table of documents is destroyed; the others are saved, and the check counts both."""
    content = bytearray(whole.read_bytes())
    place = content.rindex("도서관 39 번째 글입니다. ".encode())
    page = place // 8192 * 8192
    content[page : page + 8192] = os.urandom(8192)
    path = tmp_path / "a.munjang"
    path.write_bytes(content)
    store = open_store(path, create=False, readonly=True, busy_timeout=1)
    with store.snapshot() as reader:
        found = list(reader.salvage())
    store.close()
    saved = {one[0].id: one[0] for one in found if one is not None}
    assert None in found
    assert 0 < len(saved) < COUNT
    with Index.open(whole, model=model) as index:
        assert all(index.get(number) == document for number, document in saved.items())
    with Index.open(path, model=model, create=False) as index:
        problems = index.check()
    assert f"{len(saved)} documents can be read" in problems[-1]
    assert f"{COUNT - len(saved)} documents can't be read" in problems[-2]


def test_a_changed_letter_changes_the_digest(whole: Path, model: SentenceTransformer, tmp_path: Path) -> None:
    content = whole.read_bytes()
    path = tmp_path / "a.munjang"
    path.write_bytes(content.replace("도서관 39 번째".encode(), "도서실 39 번째".encode(), 1))
    with Index.open(path, model=model, create=False) as index:
        problems = index.check()
    assert any("Document 39 differs from what was written" in line for line in problems)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "long", "NUL", "below a file", "empty"])
def test_a_file_that_is_not_an_index(tmp_path: Path, model: SentenceTransformer, kind: str) -> None:
    path = tmp_path / "x.munjang"
    place = {
        "folder": str(tmp_path),
        "device": "/dev/zero",
        "long": str(tmp_path / ("x" * 5000)),
        "NUL": f"{tmp_path}/x\0y",
        "below a file": f"{path}/y.munjang",
        "empty": "",
    }.get(kind, str(path))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "below a file":
        path.write_text("x")
    for create in (True, False):
        with pytest.raises((StoreError, InputError)) as caught:
            Index.open(place, model=model, create=create)
        assert len(str(caught.value)) < 1000


def test_a_fifo_instead_of_the_derived_file_is_ignored(
    whole: Path, model: SentenceTransformer, tmp_path: Path
) -> None:
    path = tmp_path / "a.munjang"
    shutil.copy(whole, path)
    os.mkfifo(tmp_path / "a.munjang-vectors")
    with Index.open(path, model=model) as index:
        assert len(index.search(QUERY, mode="semantic")) == 10
