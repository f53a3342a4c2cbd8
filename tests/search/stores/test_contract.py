"""The contract of a store: each test runs on each kind of store of `support.stores.STORES`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from munjang.errors import IndexMismatchError, InputError, MunjangError, StoreBusyError, StoreError
from munjang.search.documents import Document, DocumentId, Entry, Passage
from munjang.search.filters import parse_filter
from munjang.search.stores.base import Changes, Match, Reader, Store
from support.stores import (
    SETTINGS,
    STORES,
    StorePlace,
    document,
    entry,
    fill,
    other_settings,
    similarities,
    vector_of,
)

PLACES = [document("서울", "한강 다리 야경 남산 타워"), document("부산", "바다 다리 시장", note="여름 바다")]
OTHER = other_settings(model="larger", dimension=12, probe=(0.5, 0.5, 0.5, 0.5))


@pytest.fixture(params=[pytest.param(kind, id=kind.name, marks=kind.marks) for kind in STORES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    given: StorePlace = request.param.place(tmp_path)
    return given


@pytest.fixture
def store(place: StorePlace) -> Iterator[Store]:
    with fill(place) as opened:
        yield opened


def put(store: Store, *documents: Document) -> None:
    store.write(Changes(put=[entry(one) for one in documents]))


def ids(reader: Reader, found: list[Match]) -> list[DocumentId]:
    where = reader.find([match.passage for match in found])
    return [where[match.passage].document for match in found]


def lexical(
    store: Store, *words: str, limit: int = 10, where: dict[str, object] | None = None
) -> list[DocumentId]:
    with store.snapshot() as reader:
        return ids(reader, list(reader.lexical(words, limit, parse_filter(where))))


def semantic(
    store: Store, text: str, limit: int = 10, where: dict[str, object] | None = None
) -> list[DocumentId]:
    with store.snapshot() as reader:
        return ids(reader, list(reader.semantic(vector_of(text), limit, parse_filter(where))))


def stored(store: Store) -> list[Document]:
    with store.snapshot() as reader:
        return list(reader.documents())


# Beginning


def test_a_location_without_an_index_is_not_opened(place: StorePlace) -> None:
    with pytest.raises(StoreError, match="no index"):
        place.open(create=False)


def test_settings_are_kept(place: StorePlace) -> None:
    store = place.open()
    before = store.settings
    store.create(SETTINGS)
    store.create(SETTINGS)
    after = store.settings
    assert (before, after) == (None, SETTINGS)
    store.close()
    store.close()
    again = place.open(create=False)
    assert again.settings == SETTINGS
    again.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"analyzer": "kiwi/1"}, "analyzer 'split/1', now 'kiwi/1'"),
        ({"dimension": 9}, "dimension 8, now 9"),
        ({"probe": (0.25, -0.5, 0.5)}, "the model 'tiny'"),
        ({"fields": ("text",)}, "fields"),
    ],
)
def test_other_settings_are_refused(store: Store, changes: dict[str, object], message: str) -> None:
    with pytest.raises(IndexMismatchError, match=message):
        store.create(other_settings(**changes))
    assert store.settings == SETTINGS


def test_a_model_is_identified_by_its_vectors_not_by_its_name(store: Store) -> None:
    store.create(other_settings(model="the same, elsewhere", probe=(0.2500001, -0.5, 0.75)))
    assert store.settings == SETTINGS


def test_a_new_store_has_no_hits(place: StorePlace) -> None:
    store = place.open()
    with store.snapshot() as reader:
        assert list(reader.documents()) == []
        assert reader.count() == 0
        assert list(reader.lexical(["a"], 5)) == []
        assert list(reader.semantic(vector_of("a"), 5)) == []
    with pytest.raises(MunjangError, match="create"):
        put(store, document(1, "a"))
    store.close()


def test_a_closed_store_raises_an_error(store: Store) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"), store.snapshot():
        pass
    with pytest.raises(StoreError, match="closed"):
        put(store, document(1, "a"))


# Documents


def test_documents_are_returned_unchanged(place: StorePlace) -> None:
    given = [
        document(17, "number"),
        document("17", "text", metadata={"a": {"b": [1, 2.5, None, True, "가"]}, "큰": 2**70}),
        document("빈 것"),
        document(
            "quotes \"' and \\ -- ; DROP TABLE document", 'say "hi"', note="NEAR(a b) * AND", source="a'b.md"
        ),
        document("emoji", "👩‍👩‍👧 e\u0301 \u200b"),
    ]
    with fill(place, given) as store:
        assert stored(store) == given
    again = place.open(create=False)
    assert stored(again) == given
    with again.snapshot() as reader:
        assert reader.get(["17", 17, "missing"]) == {"17": given[1], 17: given[0]}
        assert reader.digests([17, 18, "17"]) == {17: entry(given[0]).digest, "17": entry(given[1]).digest}
        assert reader.count() == 5
    again.close()


def test_a_put_replaces(store: Store) -> None:
    put(store, document(1, "사과 나무"), document(2, "배 나무"), document(3, "감 나무"))
    put(store, document(2, "포도 덩굴", metadata={"sweet": True}))
    assert [one.id for one in stored(store)] == [1, 2, 3]  # in the order in which they were first put
    assert lexical(store, "배") == []
    assert lexical(store, "포도") == [2]
    assert semantic(store, "포도 덩굴", 1) == [2]
    assert len(semantic(store, "배 나무")) == 3
    assert store.check() == []


def test_of_equal_ids_in_a_call_the_last_is_kept(store: Store) -> None:
    put(store, document(1, "old"), document(2, "other"), document(1, "new"))
    assert stored(store) == [document(1, "new"), document(2, "other")]
    assert lexical(store, "old") == []


def test_new_refuses_existing_documents_without_a_change(store: Store) -> None:
    put(store, document(17, "a"))
    added = [entry(document("17", "b")), entry(document(17, "c"))]
    with pytest.raises(InputError, match="17"):
        store.write(Changes(put=added, new=True))
    assert stored(store) == [document(17, "a")]
    store.write(Changes(put=added[:1], new=True))
    with pytest.raises(InputError, match="twice"):
        store.write(Changes(put=[entry(document("twice", "b"))] * 2, new=True))
    assert [one.id for one in stored(store)] == [17, "17"]


def test_entries_of_other_settings_are_refused(store: Store) -> None:
    put(store, document(1, "a"))
    changes = Changes(put=[entry(document(2, "b"))], settings=other_settings(model="another"))
    with pytest.raises(IndexMismatchError, match="was migrated to the model"):
        store.write(changes)
    assert stored(store) == [document(1, "a")]
    store.write(Changes(put=changes.put, settings=store.settings))
    assert len(stored(store)) == 2
    with store.snapshot() as reader:
        assert reader.settings == store.settings


def test_deleting(store: Store) -> None:
    put(store, *PLACES)
    assert store.write(Changes(delete=["서울", "nowhere", "서울"])) == 1
    assert stored(store) == PLACES[1:]
    assert lexical(store, "다리") == ["부산"]
    assert semantic(store, "한강 다리 야경") == ["부산"]
    assert store.write(Changes(delete=["서울"])) == 0
    assert store.check() == []


def test_a_write_deletes_before_it_puts(store: Store) -> None:
    put(store, document(1, "one"), document(2, "two"))
    assert store.write(Changes(delete=[1], put=[entry(document(1, "again"))], new=True)) == 1
    assert stored(store) == [document(2, "two"), document(1, "again")]


def test_a_write_of_nothing(store: Store) -> None:
    assert store.write(Changes()) == 0
    assert stored(store) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document(1, "a", metadata={"x": float("nan")}), "JSON"),
        (document(1, "a", metadata={"x": {1, 2}}), "JSON"),
        (document(1, "a", metadata={"x": {1: 2}}), "JSON"),
        (document(True, "a"), "id"),
        (document(1.5, "a"), "id"),  # type: ignore[arg-type]
        (document(1, "\ud800"), "Unicode"),
    ],
)
def test_values_that_cannot_be_stored_are_refused(store: Store, wrong: Document, message: str) -> None:
    put(store, document(0, "before"))
    with pytest.raises(MunjangError, match=message):
        put(store, document(2, "good"), wrong)
    assert stored(store) == [document(0, "before")]


@pytest.mark.parametrize("vector", [np.zeros(3, np.float32), np.full(8, np.nan, np.float32)])
def test_a_vector_of_a_wrong_length_is_refused(store: Store, vector: np.ndarray) -> None:
    one = Passage(field="text", start=0, end=1, words=["a"], vector=vector)
    with pytest.raises(MunjangError, match="vector"):
        store.write(Changes(put=[Entry(document=document(1, "a"), digest=b"", passages=[one])]))
    assert stored(store) == []


def test_a_query_of_another_dimension_is_refused(store: Store) -> None:
    put(store, *PLACES)
    with store.snapshot() as reader, pytest.raises(IndexMismatchError, match=r"3.*8"):
        reader.semantic(np.ones(3, np.float32), 5)


# Searching


def test_passages_are_found_by_word(store: Store) -> None:
    put(store, *PLACES)
    assert sorted(map(str, lexical(store, "다리"))) == ["부산", "서울"]
    assert lexical(store, "타워") == ["서울"]
    assert lexical(store, "리") == []  # words are whole
    with store.snapshot() as reader:
        best, *others = reader.lexical(["바다", "여름"], 10)
        assert best.score > others[0].score
        assert reader.find([best.passage]) == {best.passage: ("부산", "note", 0, 5)}


def test_more_of_the_words_is_better(store: Store) -> None:
    put(
        store,
        *(document(n, f"filler{n} text") for n in range(9)),
        document(9, "red boat"),
        document(10, "red car"),
    )
    assert lexical(store, "red", "boat") == [9, 10]
    assert lexical(store, "red", "boat", limit=1) == [9]
    assert lexical(store) == []


@pytest.mark.parametrize(
    "word",
    [
        '"',
        "*",
        "NEAR(",
        "a OR b",
        "text:red",
        "^red",
        "red*",
        "-red",
        "red)",
        "(red",
        "'; --",
        "\0",
        "😀",
        "\ud800",
        "",
        " ",
    ],
)
def test_nothing_in_a_word_is_syntax(store: Store, word: str) -> None:
    put(store, document(1, "red boat"))
    assert lexical(store, word) == []
    assert lexical(store, word, "red") == [1]


def test_queries_of_very_many_words(store: Store) -> None:
    put(store, document(1, "red boat"))
    assert lexical(store, *(f"w{n}" for n in range(50_000))) == []
    assert lexical(store, *(["red"] * 50_000)) == [1]
    assert lexical(store, "x" * 1_000_000, "red") == [1]


def test_words_keep_their_accents_and_marks(store: Store) -> None:
    put(store, document(1, "résumé"), document(2, "resume"), document(3, "ß ſ"), document(4, "ss s"))
    assert lexical(store, "resume") == [2]
    assert lexical(store, "résumé") == [1]
    assert lexical(store, "ss", "s") == [4]
    put(store, document(5, "Paris PARIS"))
    assert lexical(store, "paris") == []
    assert lexical(store, "Paris") == [5]


def test_passages_are_found_by_vector(store: Store) -> None:
    documents = [document(n, f"a{n} b{n} c{n} d{n} e{n} f{n}") for n in range(60)]
    put(store, *documents)
    query = vector_of("question")
    with store.snapshot() as reader:
        for exact in (False, True):
            found = reader.semantic(query, 50, exact=exact)
            expected = similarities(documents, query)[:50]
            np.testing.assert_allclose([match.score for match in found], expected, atol=1e-6)
        best = reader.semantic(vector_of("d7 e7 f7"), 1)[0]
        assert best.score == pytest.approx(1, abs=1e-6)
        assert reader.find([best.passage]) == {best.passage: (7, "text", 9, 17)}
        assert len(reader.semantic(query, 1000)) == 120


def test_a_field_without_vectors_is_searched_by_word_alone(store: Store) -> None:
    put(store, document(1, note="only here"))
    assert lexical(store, "here") == [1]
    assert semantic(store, "only here") == []


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, {1, 2, 3, 4}),
        ({"lang": "ko"}, {1, 2}),
        ({"lang": "ko", "year": {"gte": 2020}}, {2}),
        ({"tag": ["a", "c"]}, {1, 3}),
        ({"tag": {"ne": "a"}}, {2, 3, 4}),
        ({"author.name": "김"}, {2}),
        ({"year": {"exists": False}}, {4}),
        ({"draft": True}, {3}),
        ({"draft": 1}, {4}),
        ({"lang' OR '1'='1": "x"}, set()),
        ({'$."lang"': {"exists": True}}, set()),
        ({"big": 2**70}, {4}),
    ],
)
def test_filters(store: Store, where: dict[str, object], expected: set[DocumentId]) -> None:
    put(
        store,
        document(1, "x one", metadata={"lang": "ko", "year": 2019, "tag": ["a", "b"]}),
        document(2, "x two", metadata={"lang": "ko", "year": 2020.5, "author": {"name": "김"}}),
        document(3, "x three", metadata={"lang": "en", "year": 2021, "tag": "c", "draft": True}),
        document(4, "x four", metadata={"draft": 1, "big": 2**70}),
    )
    with store.snapshot() as reader:
        parsed = parse_filter(where)
        assert {one.id for one in reader.documents(parsed)} == expected
        assert reader.count(parsed) == len(expected)
    assert set(lexical(store, "x", where=where)) == expected
    assert set(semantic(store, "x", where=where)) == expected


# Moments


def test_a_snapshot_is_consistent(place: StorePlace, store: Store) -> None:
    put(store, document(1, "red one"), document(2, "red two"))
    other = place.open(create=False)
    with store.snapshot() as reader:
        before = reader.semantic(vector_of("red one"), 5)
        put(store, document(2, "blue two"), document(3, "red three"))
        other.write(Changes(delete=[1]))
        assert semantic(store, "blue two", 1) == [2]  # another reader continues meanwhile
        assert reader.count() == 2
        assert reader.get([1, 2, 3]) == {1: document(1, "red one"), 2: document(2, "red two")}
        assert ids(reader, list(reader.lexical(["red"], 5))) == [1, 2]
        again = reader.semantic(vector_of("red one"), 5)
        assert [match.passage for match in again] == [match.passage for match in before]
        np.testing.assert_allclose(
            [match.score for match in again], [match.score for match in before], atol=1e-6
        )
        assert len(reader.find([match.passage for match in before])) == 2
    assert lexical(store, "red") == [3]
    assert set(semantic(other, "red one")) == {2, 3}
    other.close()


def test_writers_and_readers_in_many_threads(store: Store) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for step in range(10):
                put(store, document(f"{thread}-{step}", f"common w{thread}x{step}"))
                assert lexical(store, f"w{thread}x{step}") == [f"{thread}-{step}"]
                assert semantic(store, f"common w{thread}x{step}", 1) == [f"{thread}-{step}"]
        except BaseException as error:  # noqa: BLE001 - handed to the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert len(lexical(store, "common", limit=100)) == 40
    assert store.check() == []


def test_another_store_sees_what_was_written(place: StorePlace, store: Store) -> None:
    other = place.open(create=False)
    for number in range(5):
        put(store, document(number, f"n{number} text"))
        assert semantic(other, f"n{number} text", 1) == [number]
        put(other, document(number, f"m{number} text"))
        assert semantic(store, f"m{number} text", 1) == [number]
        assert lexical(store, f"n{number}") == []
    other.close()


# Moving to other settings


def stage(store: Store, documents: list[Document]) -> None:
    store.stage(OTHER, [entry(one, OTHER, size=2) for one in documents])


def test_a_migration_is_one_transaction(place: StorePlace, store: Store) -> None:
    put(store, *PLACES, document("빈 것"))
    assert not store.switch(OTHER)
    first = list(store.unstaged(OTHER, 2))
    assert first == PLACES
    stage(store, first)
    assert not store.switch(OTHER)
    store.close()
    again = place.open(create=False)  # a move resumes after a stop
    assert lexical(again, "남산") == ["서울"]
    rest = list(again.unstaged(OTHER, 2))
    assert rest == [document("빈 것")]
    stage(again, rest)
    assert again.settings == SETTINGS
    assert again.unstaged(OTHER, 2) == []
    assert again.switch(OTHER)
    assert again.settings == OTHER
    assert stored(again) == [*PLACES, document("빈 것")]
    with again.snapshot() as reader:
        best = reader.semantic(vector_of("남산 타워", 12), 1)
        assert (
            reader.find([best[0].passage]) == {best[0].passage: ("서울", "text", 9, 14)} or best[0].score < 1
        )
        assert len(reader.semantic(vector_of("x", 12), 100)) == 5
    assert lexical(again, "야경") == ["서울"]
    assert again.check() == []
    again.close()


def test_writes_during_a_migration_are_migrated(store: Store) -> None:
    put(store, document(1, "a b"), document(2, "c d"), document(3, "e f"))
    stage(store, list(store.unstaged(OTHER, 10)))
    put(store, document(2, "new words"), document(4, "g h"))
    store.write(Changes(delete=[3]))
    assert lexical(store, "new") == [2]
    assert not store.switch(OTHER)
    left = list(store.unstaged(OTHER, 10))
    assert [one.id for one in left] == [2, 4]
    stage(store, left)
    assert store.switch(OTHER)
    assert [lexical(store, word) for word in ("a", "c", "new", "e", "g")] == [[1], [], [2], [], [4]]
    assert store.check() == []


def test_entries_of_deleted_documents_are_not_staged(store: Store) -> None:
    put(store, document(1, "a b"), document(2, "c d"))
    left = list(store.unstaged(OTHER, 10))
    store.write(Changes(delete=[1], put=[entry(document(2, "changed"))]))
    stage(store, left)  # prepared from what was there before
    assert [one.id for one in store.unstaged(OTHER, 10)] == [2]
    stage(store, list(store.unstaged(OTHER, 10)))
    assert store.switch(OTHER)
    assert lexical(store, "a") == lexical(store, "c") == []
    assert lexical(store, "changed") == [2]
    assert store.check() == []


def test_a_migration_is_abandoned(store: Store) -> None:
    put(store, *PLACES)
    stage(store, list(store.unstaged(OTHER, 1)))
    with pytest.raises(IndexMismatchError, match="larger"):
        store.unstaged(other_settings(analyzer="kiwi/1"), 10)
    store.abandon()
    store.abandon()
    assert len(store.unstaged(other_settings(analyzer="kiwi/1"), 10)) == 2
    store.abandon()
    assert store.settings == SETTINGS
    assert store.check() == []


def test_entries_are_not_staged_without_a_migration(store: Store) -> None:
    put(store, *PLACES)
    with pytest.raises(IndexMismatchError, match="started"):
        stage(store, PLACES)


# Keeping house


def test_rebuild_does_not_change_search_results(store: Store) -> None:
    put(store, *(document(n, f"a{n} common") for n in range(50)))
    store.write(Changes(delete=list(range(10, 40))))
    before = stored(store)
    store.rebuild()
    assert stored(store) == before
    assert semantic(store, "a45 common", 1) == [45]
    assert lexical(store, "a45") == [45]
    put(store, document("after", "a45 common"))
    assert set(semantic(store, "a45 common", 2)) == {45, "after"}
    assert store.check() == []


def test_info_counts(store: Store) -> None:
    put(store, *PLACES)
    info = store.info()
    assert (info.documents, info.passages, info.vectors) == (2, 4, 3)
    assert info.generation > 0
    assert sum(info.bytes.values()) > 0
    put(store, document(1, "more"))
    assert store.info().generation > info.generation


def test_passage_numbers_are_not_used_again(store: Store) -> None:
    seen: set[int] = set()
    for number in range(5):
        put(store, document(1, f"a{number} common"))
        with store.snapshot() as reader:
            now = {match.passage for match in reader.lexical(["common"], 10)}
        assert len(now) == 1
        assert not now & seen
        seen |= now


def test_errors_of_a_busy_store_are_errors_of_the_store() -> None:
    assert issubclass(StoreBusyError, StoreError)
