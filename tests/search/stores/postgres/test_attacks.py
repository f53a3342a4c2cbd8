"""An index in PostgreSQL under hostile values and damage: right answers or a `MunjangError`."""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from munjang import Index, SentenceTransformer
from munjang.errors import InputError, InputTypeError, MunjangError, StoreError
from munjang.search.stores.postgres.writer import PostgresWriter

HOSTILE = "'; DROP TABLE documents; -- %s %(x)s \\\" $$ {} \U0001f600 \ud7ff\x01"


@pytest.fixture
def index(postgres_url: str, model: SentenceTransformer) -> Iterator[Index]:
    with Index.open(postgres_url, model=model, fields=["text", HOSTILE]) as opened:
        yield opened


def execute(url: str, command: str, *values: object) -> None:
    """Change the stored data without using the index."""
    import psycopg

    head, _, schema = url.partition("&schema=")
    with psycopg.connect(head, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {schema}".encode())
        connection.execute(command.encode(), values)


@pytest.mark.filterwarnings("ignore::munjang.TruncationWarning")
def test_names_values_and_filters_with_the_meaning_of_sql(index: Index) -> None:
    metadata = {HOSTILE: HOSTILE, "n": http.HTTPStatus.OK, "a.b": 1, "o": {HOSTILE: [HOSTILE, 2**63 - 1]}}
    index.add([{"id": HOSTILE, "text": HOSTILE, HOSTILE: "서울", "metadata": metadata}, "다른 글"])
    document = index.get(HOSTILE)
    assert document is not None
    assert document.fields == {"text": HOSTILE, HOSTILE: "서울"}
    assert document.metadata == {**metadata, "n": 200}
    name = HOSTILE.replace(".", "")
    assert index.count({name: HOSTILE}) == 1
    assert index.count({f"o.{name}": HOSTILE}) == 1
    assert index.count({f"o.{name}": {"gt": 2**62}}) == 1
    for value in (
        HOSTILE,
        10**400,
        -(10**400),
        float("inf"),
        http.HTTPStatus.OK,
        np.int64(200),
        "\0",
        "\ud800",
    ):
        expected = int(value == 200)
        assert index.count({"n": value}) == expected
        assert index.count({"n": [value, None]}) == expected
        index.count({"n": {"gte": value}})
    for query in (HOSTILE, "서울", "' OR 1=1", "\\", "a:* & !b", "<->"):
        for mode in ("hybrid", "lexical", "semantic"):
            assert len(index.search(query, mode=mode, filter={"n": {"exists": True}})) <= 1
    assert index.check() == []


@pytest.mark.parametrize(
    "given",
    [
        {"id": 1, "text": "a\0b"},
        {"id": 1, "text": "a\ud800"},
        {"id": "a\0", "text": "a"},
        {"id": "a" * 1001, "text": "a"},
        {"id": 2**63, "text": "a"},
        {"id": 10**5000, "text": "a"},
        {"id": 1, "text": "a", "metadata": {"x": "\0"}},
        {"id": 1, "text": "a", "metadata": {"x\0": 1}},
        {"id": 1, "text": "a", "metadata": {"x": 10**400}},
        {"id": 1, "text": "a", "metadata": {"x": float("nan")}},
    ],
    ids=range(10),
)
def test_values_that_are_refused(index: Index, given: Any) -> None:
    with pytest.raises((InputError, InputTypeError)):
        index.add([given])
    assert len(index) == 0


@pytest.mark.parametrize(
    "options", [{"rerank": "x"}, {"mode": "'"}, {"limit": 10**5000}, {"filter": "x"}, {"min_score": 10**400}]
)
def test_search_options_that_are_refused(index: Index, options: dict[str, Any]) -> None:
    with pytest.raises((InputError, InputTypeError), match=next(iter(options))):
        index.search("x", **options)


def test_long_names_and_texts(index: Index) -> None:
    long = "가" * 1000
    index.add([{"id": long, "text": "글 " * 3000, "metadata": {long * 10: long * 100}}])
    assert index.get(long) is not None
    assert index.count({long * 10: long * 100}) == 1
    assert index.search("글", mode="lexical")[0].id == long


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("UPDATE layouts SET settings = %s", ["{"]),
        ("UPDATE layouts SET settings = %s", ["{}"]),
        ('UPDATE layouts SET settings = replace(settings, \'"dimension": \', \'"dimension": "x\')', []),
        ("UPDATE documents SET body = %s", ["["]),
        ("UPDATE documents SET body = %s", ["[1, 2, 3]"]),
        ("UPDATE documents SET body = %s", ['[{"text": 5}, {}]']),
        ("UPDATE documents SET id = %s", [""]),
        ("UPDATE documents SET id = %s || id", ["ix"]),
        ("UPDATE passages_1 SET start = 7000, stop = 9000", []),
        ("UPDATE passages_1 SET field = 'other'", []),
        ("DELETE FROM state", []),
        ("DROP TABLE documents CASCADE", []),
        ("DROP TABLE passages_1 CASCADE", []),
    ],
    ids=range(13),
)
def test_damaged_tables(
    index: Index, postgres_url: str, model: SentenceTransformer, command: str, values: list[str]
) -> None:
    index.add([{"id": number, "text": f"서울 {number}"} for number in range(3)])
    execute(postgres_url, command, *values)
    failed = 0

    def ask(work: Any) -> None:
        nonlocal failed
        try:
            work()
        except MunjangError as error:
            failed += isinstance(error, StoreError)

    def reopened() -> list[str]:
        with Index.open(postgres_url, model=model, create=False) as again:
            return again.check()

    for work in (
        lambda: [hit.snippet for hit in index.search("서울")],
        lambda: [hit.snippet for hit in index.search("서울", mode="lexical")],
        lambda: index.get(1),
        lambda: list(index.documents()),
        lambda: index.upsert([{"id": 1, "text": "새 글"}]),
        index.check,
        index.info,
        reopened,
    ):
        ask(work)
    assert failed


def test_a_connection_that_is_cut_while_writing(index: Index, postgres_url: str) -> None:
    """The server ends the connection in a transaction: it is rolled back, and the next transaction works."""
    index.add([{"id": 1, "text": "서울"}])
    store: Any = index.store

    def cut() -> None:
        with store._writing() as (connection, state):
            PostgresWriter(connection, state).delete([1])
            execute(postgres_url, "SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
            PostgresWriter(connection, state).finish()

    with pytest.raises(StoreError):
        cut()
    assert index.get(1) is not None
    index.add([{"id": 2, "text": "부산"}])
    assert index.check() == []
