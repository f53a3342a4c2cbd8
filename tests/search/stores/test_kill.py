"""A writer is killed repeatedly at random times on one file, without lost or partial writes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from munjang.search.documents import Document, DocumentId
from munjang.search.stores.base import Changes, Store
from munjang.search.stores.sqlite.store import open_sqlite
from support.store_writer import TARGETS, WORDS, Writers, replay
from support.stores import SETTINGS, document, entry, similarities, vector_of

KILLS = int(os.environ.get("MUNJANG_KILLS", "100"))  # of the writer; a fifth as many of a move
LONGEST = (
    0.06  # seconds that a writer lives at most at first; on a busy machine more, so that it does something
)


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    program = Writers(tmp_path_factory.mktemp("writers"))
    yield program
    program.close()


def adapted(longest: float, steps: int) -> float:
    """Increase the lifetime of the next writer after a writer that did little."""
    return min(longest * 1.15, 1.0) if steps < 3 else max(longest * 0.9, LONGEST / 2)


def stored(store: Store) -> dict[DocumentId, Document]:
    with store.snapshot() as reader:
        return {one.id: one for one in reader.documents()}


def check_searches(store: Store, documents: dict[DocumentId, Document], drawn: random.Random) -> None:
    """Assert that searches agree with plain arithmetic and plain sets."""
    word = drawn.choice(WORDS)
    query = vector_of(f"question {drawn.random()}")
    with store.snapshot() as reader:
        nearest = reader.semantic(query, 1000)
        with_word = reader.lexical([word], 1000)
        places = reader.find([match.passage for match in (*nearest, *with_word)])
    expected = similarities(documents.values(), query)
    np.testing.assert_allclose([match.score for match in nearest], expected, atol=1e-6)
    found = {places[match.passage].document for match in with_word}
    assert found == {one.id for one in documents.values() if word in one.fields["text"].split()}
    assert all(places[match.passage].document in documents for match in nearest)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_killed_writers_lose_nothing(writers: Writers, tmp_path: Path) -> None:
    path = tmp_path / "killed.munjang"
    drawn = random.Random(4)
    documents: dict[DocumentId, Document] = {}
    following = acknowledged = 0
    kept: Store | None = None  # now and then a reader stays open, and the log of changes with it
    longest = LONGEST
    for kill in range(KILLS):
        steps = writers.run(path, "write", following, drawn.uniform(0, longest))
        longest = adapted(longest, len(steps))
        assert steps == list(range(following, following + len(steps)))
        acknowledged += len(steps)
        for step in steps:
            replay(documents, step)
        following += len(steps)
        if not path.exists():
            continue
        store = kept or open_sqlite(path, create=True)
        there = stored(store)
        if there != documents:  # the unacknowledged write, and all of it
            replay(documents, following)
            following += 1
            assert there == documents
        if store.settings is not None:
            check_searches(store, documents, drawn)
        assert store.check() == []
        kept = store if kill % 7 else None
        if kept is None:
            store.close()
    if kept is not None:
        kept.close()
    assert acknowledged > KILLS // 2  # else the writers did not live long enough to prove anything


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_killed_moves_lose_nothing(writers: Writers, tmp_path: Path) -> None:
    path = tmp_path / "moved.munjang"
    drawn = random.Random(5)
    documents = [document(number, " ".join(drawn.choices(WORDS, k=5))) for number in range(150)]
    store = open_sqlite(path, create=True)
    store.create(SETTINGS)
    store.write(Changes(put=[entry(one) for one in documents]))
    move, longest = 1, 3 * LONGEST
    for _ in range(KILLS // 5):
        steps = writers.run(path, "move", move, drawn.uniform(0, longest))
        longest = adapted(longest, 3 * len(steps))
        assert steps == list(range(move, move + len(steps)))
        move += len(steps)
        settings = store.settings
        assert settings is not None
        if settings == TARGETS[move % 2]:  # switched, and killed before it could say so
            move += 1
        with store.snapshot() as reader:
            assert list(reader.documents()) == documents
            nearest = reader.semantic(vector_of("question", settings.dimension), 999)
            found = reader.find([match.passage for match in nearest])
        assert {place.document for place in found.values()} == {one.id for one in documents}
        assert store.check() == []
    store.close()
    assert move > 2
