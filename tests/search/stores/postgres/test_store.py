"""Properties of PostgreSQL only: servers that fail, several writers, HNSW, its limits on words."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray

psycopg = pytest.importorskip("psycopg")

from munjang.errors import InputError, MissingExtraError, StoreBusyError, StoreError  # noqa: E402
from munjang.search.documents import Entry, Passage  # noqa: E402
from munjang.search.filters import parse_filter  # noqa: E402
from munjang.search.stores.base import Changes, Match, Store  # noqa: E402
from munjang.search.stores.postgres.store import PostgresStore, open_postgres  # noqa: E402
from support.processes import python_environment  # noqa: E402
from support.stores import SETTINGS, document, entry, other_settings, vector_of  # noqa: E402

SECRET = "hunter2"


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    opened = open_postgres(postgres_url)
    opened.create(SETTINGS)
    yield opened
    opened.close()


@pytest.fixture
def admin(postgres_server: str) -> Iterator[Any]:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        yield connection


def put(store: Store, *numbers: int) -> None:
    store.write(Changes(put=[entry(document(number, f"문서 {number}")) for number in numbers]))


def stored(store: Store) -> list[Any]:
    with store.snapshot() as reader:
        return [one.id for one in reader.documents()]


# Opening


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/faq",
        f"postgresql://me:{SECRET}@/faq?host=/nowhere",
        f"postgresql://me:{SECRET}@127.0.0.1:99999/faq",
    ],
)
def test_an_unreachable_server(url: str) -> None:
    with pytest.raises(StoreError, match=r"database 'faq'.*can't be reached") as error:
        open_postgres(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "url", [f"postgresql://me:{SECRET}@[broken/faq", f"postgresql://me:{SECRET}%zz@h/faq"]
)
def test_an_invalid_address(url: str) -> None:
    with pytest.raises(InputError, match="is invalid") as error:
        open_postgres(url)
    assert SECRET not in str(error.value)
    assert error.value.__suppress_context__


def test_a_wrong_password_is_not_shown(admin: Any, postgres_server: str) -> None:
    admin.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    rules = Path(admin.execute("SHOW hba_file").fetchone()[0])
    rules.write_text(f"local all locked scram-sha-256\n{rules.read_text()}")
    admin.execute("SELECT pg_reload_conf()")
    url = postgres_server.replace("postgres:@", f"locked:{SECRET}@")
    with pytest.raises(StoreError, match="password authentication failed") as error:
        open_postgres(url)
    assert SECRET not in str(error.value)


def test_a_missing_database(postgres_server: str) -> None:
    with pytest.raises(StoreError, match='database "missing" does not exist'):
        open_postgres(postgres_server.replace("/postgres?", "/missing?"))


def test_a_database_without_pgvector(admin: Any, postgres_server: str) -> None:
    admin.execute("CREATE DATABASE bare")
    admin.execute("CREATE ROLE guest LOGIN")
    admin.execute("GRANT CREATE ON DATABASE bare TO guest")
    bare = postgres_server.replace("/postgres?", "/bare?")
    with pytest.raises(StoreError, match="has no extension"):
        open_postgres(bare, create=False)
    with pytest.raises(StoreError, match="an administrator must run CREATE EXTENSION vector"):
        open_postgres(bare.replace("postgres:@", "guest:@"))
    nowhere = quote("-c extension_control_path=/nowhere")
    with pytest.raises(StoreError, match="has no pgvector: install it"):
        open_postgres(f"{bare}&options={nowhere}")
    assert admin.execute("SELECT to_regnamespace('munjang')").fetchone() == (None,)


def test_a_user_who_may_only_read(admin: Any, store: PostgresStore, postgres_url: str) -> None:
    put(store, 1)
    schema = postgres_url.rpartition("=")[2]
    admin.execute("CREATE ROLE reader LOGIN")
    admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    reading = open_postgres(postgres_url.replace("postgres:@", "reader:@"), create=False)
    assert stored(reading) == [1]
    with pytest.raises(StoreError, match="permission denied"):
        put(reading, 2)
    reading.close()


def test_reading_only(store: PostgresStore, postgres_url: str) -> None:
    put(store, 1)
    reading = open_postgres(postgres_url, readonly=True)
    assert stored(reading) == [1]
    with pytest.raises(StoreError, match="for reading only"):
        put(reading, 2)
    with pytest.raises(StoreError, match="for reading only"):
        reading.rebuild()
    reading.close()


def test_an_index_of_a_newer_version(admin: Any, store: PostgresStore, postgres_url: str) -> None:
    admin.execute(f"INSERT INTO {postgres_url.rpartition('=')[2]}.migrations VALUES (99)")
    with pytest.raises(StoreError, match=r"version 99, .* up to \d+. Install a newer"):
        open_postgres(postgres_url)


def test_schemas_are_indexes(postgres_url: str) -> None:
    schema = postgres_url.rpartition("=")[2]
    names = [f"{schema}_가", f'{schema}"; DROP TABLE x; --', schema.upper()]
    for number, name in enumerate(names):
        opened = open_postgres(postgres_url, schema=name)
        opened.create(SETTINGS)
        put(opened, number)
        opened.close()
    for number, name in enumerate(names):
        opened = open_postgres(postgres_url.replace(schema, quote(name)), create=False)
        assert stored(opened) == [number]
        opened.close()


@pytest.mark.parametrize("name", ["pg_mine", "가" * 22, "a\x00"])
def test_invalid_schema_names(postgres_server: str, name: str) -> None:
    with pytest.raises(InputError, match="is not a valid name of a schema"):
        open_postgres(postgres_server, schema=name)


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*psycopg"):
        open_postgres("postgresql://localhost/faq")


# Losing the server


class Interrupted(Sequence[Passage]):
    """Passages that are read after the documents were written, which is when something happens."""

    def __init__(self, passages: Sequence[Passage], happening: Any) -> None:
        self._passages = passages
        self._happening = happening

    def __len__(self) -> int:
        return len(self._passages)

    def __getitem__(self, place: Any) -> Any:
        self._happening()
        return self._passages[place]


def cut_off(admin: Any) -> None:
    """End every connection of a store, as a restart of the server would."""
    killed = admin.execute(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
        "WHERE application_name = 'munjang'"
    ).fetchone()
    assert killed[0] > 0


def interrupted(number: int, happening: Any) -> Entry:
    whole = entry(document(number, "one two three four five"))
    return Entry(
        document=whole.document, digest=whole.digest, passages=Interrupted(whole.passages, happening)
    )


def test_a_connection_lost_in_a_write_loses_no_data(store: PostgresStore, admin: Any) -> None:
    put(store, 1, 2)
    done: list[bool] = []

    def once() -> None:
        if not done:
            done.append(True)
            cut_off(admin)

    with pytest.raises(StoreError, match=r"failed: .*terminat"):
        store.write(Changes(delete=[1], put=[interrupted(3, once)]))
    assert stored(store) == [1, 2]
    assert store.check() == []
    assert store.write(Changes(delete=[1], put=[interrupted(3, once)])) == 1
    assert stored(store) == [2, 3]
    assert store.check() == []


def test_a_connection_lost_between_calls_is_not_noticed(store: PostgresStore, admin: Any) -> None:
    put(store, 1)
    cut_off(admin)
    assert stored(store) == [1]
    cut_off(admin)
    put(store, 2)
    assert stored(store) == [1, 2]


def test_a_connection_lost_in_a_snapshot(store: PostgresStore, admin: Any) -> None:
    put(store, 1)
    with store.snapshot() as reader:
        cut_off(admin)
        with pytest.raises(StoreError, match="failed"):
            reader.count(parse_filter({"a": 1}))
        with pytest.raises(StoreError, match="failed"):
            reader.lexical(["문서"], 5)
    assert stored(store) == [1]


WRITER = """
import sys
from munjang.search.stores.base import Changes
from munjang.search.stores.postgres.store import open_postgres
from support.stores import document, entry
store = open_postgres(sys.argv[1])
number = int(sys.argv[2])
while True:
    put = [entry(document(one, f"word {one}")) for one in range(number, number + 20)]
    store.write(Changes(put=put, delete=[number - 10]))
    number += 20
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing(
    store: PostgresStore, postgres_url: str, tmp_path: Path
) -> None:
    tests = str(Path(__file__).parents[3])
    environment = python_environment(tmp_path)
    environment["PYTHONPATH"] += f":{tests}"
    number = 0
    generator = np.random.default_rng(7)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, postgres_url, str(number)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert writer.stdout is not None
        for _ in range(int(generator.integers(1, 12))):
            number = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        number = int(rest[-1]) if rest else number
        there = set(stored(store))
        deleted = {one - 10 for one in range(0, number, 20)}
        assert set(range(number)) - deleted <= there
        assert len(there - set(range(number))) in (0, 20)  # all of the unacknowledged write, or nothing of it
        assert store.check() == []


# Two at a time


def test_writers_take_turns(store: PostgresStore, postgres_url: str) -> None:
    def write(first: int) -> None:
        other = open_postgres(postgres_url)
        for number in range(first, first + 10):
            put(other, number)
        other.close()

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored(store)) == list(range(30))
    assert store.info().generation == 30
    assert store.check() == []


def test_a_writer_waits_for_a_limited_time(store: PostgresStore, postgres_url: str) -> None:
    other = open_postgres(postgres_url, busy_timeout=0.2)

    def wait() -> None:
        with pytest.raises(StoreBusyError, match="kept writing"):
            put(other, 2)

    store.write(Changes(put=[interrupted(1, wait)]))
    put(other, 2)
    assert stored(store) == [1, 2]
    other.close()


def test_opening_at_the_same_time(postgres_url: str) -> None:
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            opened = open_postgres(postgres_url)
            opened.create(SETTINGS)
            opened.close()
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failed.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_snapshot_from_before_a_switch_stays_readable(store: PostgresStore, admin: Any) -> None:
    target = other_settings(dimension=4, probe=(1.0,))
    put(store, 1, 2)
    with store.snapshot() as reader:
        store.stage(target, [entry(one, target) for one in store.unstaged(target, 10)])
        assert store.switch(target)
        assert len(reader.semantic(vector_of("a"), 5)) == 2
        assert len(reader.lexical(["문서"], 5)) == 2
    assert [layout.rpartition("_")[2] for layout in layouts(store, admin)] == ["1", "2"]
    store.rebuild()  # no reader uses the old tables any more
    assert [layout.rpartition("_")[2] for layout in layouts(store, admin)] == ["2"]
    assert store.check() == []


def layouts(store: PostgresStore, admin: Any) -> list[str]:
    schema = store.info().details["place"].rpartition("schema ")[2].strip("'")
    rows = admin.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'vectors%%' ORDER BY 1",
        [schema],
    )
    return [row[0] for row in rows]


def test_check_reports_damage(store: PostgresStore, admin: Any, postgres_url: str) -> None:
    put(store, *range(5))
    schema = postgres_url.rpartition("=")[2]
    admin.execute(f"SET search_path TO {schema}, public")
    admin.execute("UPDATE documents SET metadata = '{\"a\": 1}' WHERE number = 1")
    admin.execute("UPDATE documents SET body = '[' WHERE number = 2")
    admin.execute("DELETE FROM documents WHERE number = 3")
    admin.execute("DELETE FROM passages_1 WHERE document = 4")
    found = "\n".join(store.check())
    for part in (
        "Document number 1 has other metadata for filters",
        "Document number 2 can't be read",
        "5 documents were counted, but there are 4",
        "1 passages in passages_1 belong to no document",
        "1 vectors in vectors_1 belong to no passage",
        "5 passages were counted in passages_1, but there are 4",
    ):
        assert part in found
    store.rebuild()
    assert "counted" not in "\n".join(store.check())


# Vectors


def clusters(count: int, dimension: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(3)
    centres = generator.standard_normal((40, dimension))
    vectors = centres[np.arange(count) % 40] + 0.5 * generator.standard_normal((count, dimension))
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def plain(number: int, vector: NDArray[np.float32], **metadata: Any) -> Entry:
    passage = Passage(field="text", start=0, end=1, words=["word"], vector=vector)
    return Entry(document=document(number, "a", metadata=metadata), digest=b"", passages=[passage])


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.05)
    return False


def nearest(store: Store, query: NDArray[np.float32], limit: int, **options: Any) -> Sequence[Match]:
    with store.snapshot() as reader:
        return reader.semantic(query, limit, **options)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_hnsw_finds_what_an_exact_search_finds(postgres_url: str, admin: Any, similarity: str) -> None:
    # So few vectors the server would rather look at one by one.
    store = open_postgres(f"{postgres_url}&options={quote('-c enable_seqscan=off')}", exact_below=0)
    store.create(other_settings(dimension=16, similarity=similarity))
    vectors = clusters(3000, 16)
    schema = postgres_url.rpartition("=")[2]
    admin.execute(f"DROP INDEX {schema}.vectors_1_nearest")  # as one does before many are loaded
    store.write(Changes(put=[plain(one, vectors[one], rare=one % 500 == 0) for one in range(3000)]))
    store.rebuild()
    common = 0
    for query in vectors[:20] + np.float32(0.1):
        found = nearest(store, query, 10)
        exact = nearest(store, query, 10, exact=True)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query) if similarity == "cosine" else 1.0
        wanted = np.sort((vectors.astype(np.float64) @ query) / lengths)[::-1][:10]
        np.testing.assert_allclose([match.score for match in exact], wanted, rtol=1e-6, atol=1e-6)
        common += len({match.passage for match in found} & {match.passage for match in exact})
    assert common >= 190
    store.close()  # a backend that ends hands in its statistics
    used = "SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = %s AND indexrelname = %s"
    assert eventually(lambda: admin.execute(used, [schema, "vectors_1_nearest"]).fetchone()[0] >= 20)


def test_a_selective_filter_finds_all_matches(postgres_url: str) -> None:
    store = open_postgres(postgres_url, exact_below=0)
    store.create(other_settings(dimension=16))
    vectors = clusters(3000, 16)
    store.write(Changes(put=[plain(one, vectors[one], rare=one % 500 == 0) for one in range(3000)]))
    rare = parse_filter({"rare": True})
    assert len(nearest(store, vectors[1], 5, where=rare)) == 5
    assert len(nearest(store, vectors[1], 50, where=rare)) == 6
    assert len(nearest(store, vectors[1], 1200)) == 1200
    store.close()


@pytest.mark.parametrize(
    ("dimension", "index"), [(2000, "vector_cosine_ops"), (4000, "halfvec"), (4001, None)]
)
def test_long_vectors(postgres_url: str, admin: Any, dimension: int, index: str | None) -> None:
    store = open_postgres(postgres_url, exact_below=0)
    store.create(other_settings(dimension=dimension))
    vectors = clusters(60, dimension)
    store.write(Changes(put=[plain(one, vectors[one]) for one in range(60)]))
    found = nearest(store, vectors[7], 5)
    wanted = np.argsort(-(vectors.astype(np.float64) @ vectors[7]), kind="stable")[:5] + 1
    assert [match.passage for match in found] == list(wanted)
    assert found[0].score == pytest.approx(1.0, abs=1e-6)
    rows = admin.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND indexdef LIKE '%%hnsw%%'",
        [postgres_url.rpartition("=")[2]],
    ).fetchall()
    assert [index in row[0] for row in rows] == ([] if index is None else [True])
    store.close()


def test_equal_vectors_and_vectors_of_zeros(store: PostgresStore) -> None:
    one, zero = vector_of("a"), np.zeros(8, np.float32)
    vectors = [zero, one, -one, one, zero]
    store.write(Changes(put=[plain(number, vector) for number, vector in enumerate(vectors)]))
    found = nearest(store, one, 5)
    assert [match.passage for match in found] == [2, 4, 1, 5, 3]
    assert [round(match.score, 5) for match in found] == [1, 1, 0, 0, -1]
    assert [match.passage for match in nearest(store, zero, 5)] == [1, 2, 3, 4, 5]


# Words


def worded(number: int, words: Sequence[str]) -> Entry:
    passage = Passage(field="note", start=0, end=1, words=words, vector=None)
    return Entry(document=document(number), digest=b"", passages=[passage])


def by_word(store: Store, *words: str) -> list[int]:
    with store.snapshot() as reader:
        return [match.passage for match in reader.lexical(words, 10)]


def test_words_beyond_the_limits_of_tsvector(store: PostgresStore) -> None:
    long = "긴" * 5000
    store.write(
        Changes(
            put=[
                worded(1, [long]),
                worded(2, [long + "말"]),
                worded(3, [f"w{number}" for number in range(20_000)]),
                worded(4, [f"{number:0>400}" for number in range(6000)]),  # more than a megabyte
                worded(5, ["again"] * 300),
                worded(6, []),
            ]
        )
    )
    assert by_word(store, long) == [1]
    assert by_word(store, long + "말") == [2]
    assert by_word(store, "w0") == by_word(store, "w19999") == [3]
    assert by_word(store, f"{5:0>400}") == [4]
    assert by_word(store, "again") == [5]
    assert by_word(store, "") == by_word(store) == []


@pytest.mark.parametrize(
    "word", ["'", "\\", "\\'", "a:*", "a & b", "!", "<->", " ", "%s", "\x00", "\ud800", "'); --"]
)
def test_no_word_is_syntax(store: PostgresStore, word: str) -> None:
    store.write(Changes(put=[worded(1, [word, "other"]), worded(2, ["a"]), worded(3, ["b"])]))
    assert by_word(store, word) == [1]


def test_rare_words_count_more_and_long_passages_less(store: PostgresStore) -> None:
    filler = [worded(number, ["common", f"x{number}"]) for number in range(10, 30)]
    put = [worded(1, ["common", "a"]), worded(2, ["rare", "b"]), worded(3, ["rare", *"abcdefghijk"]), *filler]
    store.write(Changes(put=put))
    found = by_word(store, "common", "rare")
    assert found[:2] == [2, 3]
    with store.snapshot() as reader:
        once = reader.lexical(["rare"], 5)
        filtered = reader.lexical(["rare"], 5, parse_filter({"none": {"exists": False}}))
    assert filtered == once
