"""The matrix beside an SQLite index is consistent with each snapshot, and its file is updated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from munjang.search.stores.base import Changes
from munjang.search.stores.sqlite.store import SqliteStore, open_sqlite
from munjang.search.stores.sqlite.vectors import compare_all
from support.stores import SETTINGS, document, entry, other_settings, similarities, vector_of


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    opened = open_sqlite(tmp_path / "a.munjang", create=True)
    opened.create(SETTINGS)
    opened.write(Changes(put=[entry(document(n, f"first{n}")) for n in range(20)]))
    return opened


@pytest.mark.parametrize("later", [1, 3, 9])
def test_an_old_snapshot_sees_its_own_vectors(store: SqliteStore, later: int) -> None:
    query = vector_of("question")
    with store.snapshot() as before:
        expected = similarities(before.documents(), query)
        before.semantic(query, 5)
        for step in range(later):
            store.write(Changes(put=[entry(document(n, f"later{step} {n}")) for n in range(step, 20)]))
            with store.snapshot() as now:
                found = now.semantic(query, 100)
                np.testing.assert_allclose(
                    [match.score for match in found], similarities(now.documents(), query), atol=1e-6
                )
        found = before.semantic(query, 100)
        np.testing.assert_allclose([match.score for match in found], expected, atol=1e-6)
        assert len(before.find([match.passage for match in found])) == 20
    store.close()


def test_the_derived_file_is_written_when_much_has_changed(store: SqliteStore, tmp_path: Path) -> None:
    derived = tmp_path / "a.munjang-vectors"
    query = vector_of("question")
    with store.snapshot() as reader:
        reader.semantic(query, 5)
    assert not derived.exists()  # so few are read from the database in no time
    store.write(Changes(put=[entry(document(f"n{n}", f"more{n}")) for n in range(1500)]))
    with store.snapshot() as reader:
        reader.semantic(query, 5)
    written = derived.stat().st_mtime_ns
    store.write(Changes(put=[entry(document("one", "more"))]))
    with store.snapshot() as reader:
        assert len(reader.semantic(query, 2000)) == 1521
    assert derived.stat().st_mtime_ns == written
    assert store.info().bytes["vectors"] > 1500 * 8 * 4
    store.close()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_vectors_of_any_length_are_compared_as_the_settings_say(tmp_path: Path, similarity: str) -> None:
    settings = other_settings(similarity=similarity, normalize=False)
    store = open_sqlite(tmp_path / "a.munjang", create=True)
    store.create(settings)
    entries = [entry(document(n, f"word{n}")) for n in range(50)]
    for number, one in enumerate(entries):
        vector = one.passages[0].vector
        assert vector is not None
        vector *= 0 if number == 7 else 1 + number
    store.write(Changes(put=entries))
    with store.snapshot() as reader:
        stamp = reader.stamp
        assert stamp is not None
        query = vector_of("question") * 3
        found = reader.semantic(query, 50)
        passages, scores = compare_all(reader.connection, stamp, query, 50)
    assert [match.passage for match in found] == passages.tolist()
    np.testing.assert_allclose([one.score for one in found], scores, rtol=1e-5, atol=1e-5)
    assert store.check() == []
    store.close()
