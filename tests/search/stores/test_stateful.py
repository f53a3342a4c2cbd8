"""Any sequence of changes, moves, reopenings and searches: each store behaves like a dictionary."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from munjang.errors import InputError
from munjang.search.documents import Document, DocumentId
from munjang.search.filters import parse_filter
from munjang.search.settings import IndexSettings
from munjang.search.stores.base import Changes, Store
from support.stores import (
    SETTINGS,
    STORES,
    StoreKind,
    StorePlace,
    entry,
    other_settings,
    similarities,
    vector_of,
)

EXAMPLES = int(os.environ.get("MUNJANG_EXAMPLES", "25"))
OTHER = other_settings(model="larger", dimension=12, probe=(0.5,))
WORDS = ["red", "blue", "서울", "é", "or", "near"]
IDS = st.sampled_from([1, "1", 2, "two", "둘", '"', 2**70, "", "a b"])
TEXTS = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
LANGUAGES = st.sampled_from(["ko", "en"])
DOCUMENTS = st.builds(
    lambda identifier, text, note, lang, year: Document(
        id=identifier, fields={"text": text, "note": note}, metadata={"lang": lang, "year": year}, source=lang
    ),
    IDS, TEXTS, TEXTS, LANGUAGES, st.integers(2018, 2022),
)  # fmt: skip
FILTERS = st.sampled_from(
    [None, {"lang": "ko"}, {"year": {"gte": 2020}}, {"lang": "en", "year": {"lt": 2021}}]
)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dictionary; ``kind`` is set in a subclass for each store."""

    kind: StoreKind

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.place: StorePlace = self.kind.place(Path(self.folder.name))
        self.store: Store = self.place.open()
        self.documents: dict[DocumentId, Document] = {}
        self.settings: IndexSettings = SETTINGS
        self.unstaged: set[DocumentId] | None = None  # what a move has yet to prepare; None: there is no move

    @initialize()
    def create(self) -> None:
        self.store.create(SETTINGS)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def put(
        self, documents: Sequence[Document], *, delete: Sequence[DocumentId] = (), new: bool = False
    ) -> int:
        entries = [entry(one, self.settings) for one in documents]
        return self.store.write(Changes(put=entries, delete=delete, new=new))

    def forget(self, ids: Sequence[DocumentId]) -> int:
        gone = {one for one in ids if self.documents.pop(one, None) is not None}
        if self.unstaged is not None:
            self.unstaged -= gone
        return len(gone)

    def remember(self, documents: Sequence[Document]) -> None:
        self.documents.update((one.id, one) for one in documents)
        if self.unstaged is not None:
            self.unstaged |= {one.id for one in documents}

    @rule(documents=st.lists(DOCUMENTS, max_size=4), delete=st.lists(IDS, max_size=3))
    def write(self, documents: list[Document], delete: list[DocumentId]) -> None:
        deleted = self.put(documents, delete=delete)
        assert deleted == self.forget(delete)
        self.remember(documents)

    @rule(documents=st.lists(DOCUMENTS, min_size=1, max_size=3))
    def add(self, documents: list[Document]) -> None:
        ids = {one.id for one in documents}
        if len(ids) < len(documents) or ids & self.documents.keys():
            with pytest.raises(InputError):
                self.put(documents, new=True)
        else:
            assert self.put(documents, new=True) == 0
            self.remember(documents)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.place.open(create=False)

    @rule()
    def rebuild(self) -> None:
        self.store.rebuild()

    @rule(data=st.data(), limit=st.integers(1, 5))
    def prepare_a_move(self, data: st.DataObject, limit: int) -> None:
        target = self.target
        if self.unstaged is None:
            self.unstaged = set(self.documents)
        left = self.store.unstaged(target, limit)
        assert {one.id for one in left} <= self.unstaged
        assert len(left) == min(limit, len(self.unstaged))
        assert all(self.documents[one.id] == one for one in left)
        kept = left[: data.draw(st.integers(0, len(left)))]
        self.store.stage(target, [entry(one, target) for one in kept])
        self.unstaged -= {one.id for one in kept}

    @precondition(lambda self: self.unstaged is not None)
    @rule()
    def switch(self) -> None:
        done = self.store.switch(self.target)
        assert done == (not self.unstaged)
        if done:
            self.settings, self.unstaged = self.target, None

    @rule()
    def abandon(self) -> None:
        self.store.abandon()
        self.unstaged = None

    @property
    def target(self) -> IndexSettings:
        return OTHER if self.settings == SETTINGS else SETTINGS

    @rule(words=st.lists(st.sampled_from([*WORDS, "NEAR", '"']), max_size=3), where=FILTERS)
    def search_by_word(self, words: list[str], where: dict[str, Any] | None) -> None:
        with self.store.snapshot() as reader:
            matches = reader.lexical(words, 1000, parse_filter(where))
            places = reader.find([match.passage for match in matches])
        expected = sorted(
            (str(one.id), passage.field, passage.start, passage.end)
            for one in self.chosen(where)
            for passage in entry(one).passages
            if set(words) & set(passage.words)
        )
        assert sorted((str(each.document), *each[1:]) for each in places.values()) == expected
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True)

    @rule(text=TEXTS, where=FILTERS, limit=st.integers(1, 8), exact=st.booleans())
    def search_by_vector(self, text: str, where: dict[str, Any] | None, limit: int, exact: bool) -> None:
        query = vector_of(text, self.settings.dimension)
        with self.store.snapshot() as reader:
            matches = reader.semantic(query, limit, parse_filter(where), exact=exact)
            places = reader.find([match.passage for match in matches])
        expected = similarities(self.chosen(where), query)[:limit]
        np.testing.assert_allclose([match.score for match in matches], expected, atol=1e-5)
        assert {each.document for each in places.values()} <= {one.id for one in self.chosen(where)}

    def chosen(self, where: dict[str, Any] | None) -> list[Document]:
        parsed = parse_filter(where)
        return [one for one in self.documents.values() if parsed is None or parsed.holds(one.metadata)]

    @rule(ids=st.lists(IDS), where=FILTERS)
    def read(self, ids: list[DocumentId], where: dict[str, Any] | None) -> None:
        with self.store.snapshot() as reader:
            there = [one for one in ids if one in self.documents]
            assert reader.get(ids) == {one: self.documents[one] for one in there}
            assert reader.digests(ids) == {one: entry(self.documents[one]).digest for one in there}
            assert list(reader.documents(parse_filter(where))) == self.chosen(where)

    @rule()
    def check(self) -> None:
        assert self.store.check() == []

    @invariant()
    def holds_as_many(self) -> None:
        with self.store.snapshot() as reader:
            assert reader.count() == len(self.documents)
        info = self.store.info()
        passages = [one for each in self.documents.values() for one in entry(each).passages]
        vectors = [one for one in passages if one.vector is not None]
        assert (info.documents, info.passages, info.vectors) == (
            len(self.documents),
            len(passages),
            len(vectors),
        )


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name, marks=kind.marks) for kind in STORES])
def test_a_store_behaves_like_a_dictionary(kind: StoreKind) -> None:
    machine = type("Machine", (StoreMachine,), {"kind": kind})
    checks = [HealthCheck.too_slow]
    limits = settings(
        max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(machine, settings=limits)
