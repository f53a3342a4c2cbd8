"""`Index` over PostgreSQL: the same behaviour; its address is shown without the password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from munjang import SentenceTransformer
from munjang.errors import IndexMismatchError
from munjang.search.index import Index
from munjang.search.prepare import LocalEngine
from munjang.search.stores import redact_password
from support.tiny import tiny_sentence_model

TEXTS = {"서울": "한강 다리 위의 야경", "부산": "바다와 시장이 있는 도시", 17: "a bridge over the river"}


@pytest.fixture
def filled(postgres_url: str, folder: Path) -> str:
    with Index.open(postgres_url, model=folder, analyzer="hangul-bigrams") as index:
        metadata = {"lang": "ko"}
        index.add([{"id": name, "text": text, "metadata": metadata} for name, text in TEXTS.items()])
    return postgres_url


def test_documents_that_were_put_are_found(filled: str) -> None:
    with Index.open(filled, create=False) as index:
        assert [hit.id for hit in index.search("시장", mode="lexical")] == ["부산"]
        assert {hit.id for hit in index.search("한강", limit=3, filter={"lang": "ko"})} == set(TEXTS)
        assert index.search(TEXTS[17], mode="semantic", limit=1, exact=True)[0].document.id == 17
        assert index.delete(["서울", "17"]) == 1
        assert [document.id for document in index] == ["부산", 17]
        assert index.check() == []


def test_both_stores_return_the_same_hits(filled: str, folder: Path, tmp_path: Path) -> None:
    with (
        Index.open(filled) as there,
        Index.open(tmp_path / "here.munjang", model=folder, analyzer="hangul-bigrams") as here,
    ):
        here.add(list(there))
        for query in ("다리", "바다 도시", "river"):
            one, other = (index.search(query, mode="semantic", limit=3) for index in (there, here))
            assert [hit.id for hit in one] == [hit.id for hit in other]
            assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
            words = [{hit.id for hit in index.search(query, mode="lexical")} for index in (there, here)]
            assert words[0] == words[1]


def test_an_index_built_by_an_engine(
    postgres_url: str, folder: Path, model: SentenceTransformer, tmp_path: Path
) -> None:
    file = tmp_path / "shard.jsonl"
    rows = ({"id": number, "text": f"{number} 번째 문장"} for number in range(30))
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with Index.open(postgres_url, model=folder, analyzer="hangul-bigrams") as index:
        built = index.build(file, engine=LocalEngine(model))
        assert (built.written, built.unchanged) == (30, 0)
        built = index.build(file, engine=LocalEngine(model))
        assert (built.written, built.unchanged) == (0, 30)
        assert len(index) == 30


def test_the_password_is_not_shown(filled: str, tmp_path: Path) -> None:
    secret = filled.replace("postgres:@", "postgres:hunter2@")
    with Index.open(secret) as index:
        assert "hunter2" not in json.dumps(index.info(), default=str)
    other = tiny_sentence_model(tmp_path / "other", seed=1)
    with pytest.raises(IndexMismatchError) as error:
        Index.open(secret, model=other)
    assert "hunter2" not in str(error.value)
    with pytest.raises(IndexMismatchError) as error:
        Index.open(secret, fields=("title",))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgres://host:5432/db?password=secret&schema=a", "postgres://host:5432/db?password=***&schema=a"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("folder/me:secret@faq.munjang", "folder/me:secret@faq.munjang"),
    ],
)
def test_addresses_are_shown_without_passwords(location: str, expected: str) -> None:
    assert redact_password(location) == expected
