"""`Index`: storage, searches and errors."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import munjang
from munjang import CrossEncoder, Index, SentenceTransformer
from munjang.errors import (
    IndexMismatchError,
    InputError,
    InputTypeError,
    StoreError,
    TruncationError,
    UnknownModelError,
)
from munjang.search.documents import Document
from munjang.search.stores.base import Changes
from munjang.search.text.analysis import analyzer_named
from support.documents import FAQ
from support.stores import STORES
from support.tiny import MAX_TOKENS, PROMPTS, tiny_cross_encoder, tiny_sentence_model

FIELDS = ["question", "answer"]
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": row["id"],
        "question": row["question"],
        "answer": row["answer"],
        "metadata": {"lang": row["lang"], "year": row["year"]},
    }
    for row in FAQ
]


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "other", seed=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faq.munjang"


@pytest.fixture
def index(path: Path, model: SentenceTransformer) -> Iterator[Index]:
    with Index.open(path, model=model, fields=FIELDS) as opened:
        opened.add(DOCUMENTS)
        yield opened


# Documents


def test_documents_are_returned_unchanged(index: Index) -> None:
    assert index.get("a") == Document(
        id="a",
        fields={"question": "Where is my parcel?", "answer": "It is on its way."},
        metadata={"lang": "en", "year": 2021},
    )
    assert [document.id for document in index] == [1, 2, "a", "b"]
    assert len(index) == index.count() == 4
    assert index.count({"lang": "ko", "year": {"gte": 2020}}) == 2
    assert 1 in index
    assert "1" not in index
    assert None not in index
    assert index.get(99) is None


def test_an_index_is_persistent(index: Index, path: Path, folder: Path) -> None:
    index.close()
    with Index.open(path) as again:
        assert len(again) == 4
        assert again.search("서울", limit=1)[0].id in (2, "b")
        assert again.settings.model == str(folder)


def test_add_refuses_existing_documents(index: Index) -> None:
    with pytest.raises(InputError, match="id 'b' is in the index already; use upsert"):
        index.add([{"id": "new", "question": "x"}, {"id": "b", "question": "x"}])
    assert "new" not in index


def test_upsert_encodes_only_what_has_changed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**DOCUMENTS[1], "answer": "부산에서 드세요."}
    prepared: list[int] = []
    prepare = munjang.search.prepare.Preparer.prepare  # type: ignore[attr-defined]

    def counted(self: Any, documents: Any, advance: Any = None) -> Any:
        prepared.append(len(documents))
        return prepare(self, documents, advance)

    monkeypatch.setattr("munjang.search.prepare.Preparer.prepare", counted)
    seen: list[int] = []
    assert index.upsert([*DOCUMENTS[:1], changed, *DOCUMENTS[2:]], advance=seen.append) == 1
    assert prepared == [1]
    assert sum(seen) == 4
    assert index.search("부산", mode="lexical")[0].id == 2
    assert index.upsert(DOCUMENTS[:1]) == 0


def test_delete(index: Index) -> None:
    assert index.delete(1) == 1
    assert index.delete(["a", "nobody"]) == 1
    assert [document.id for document in index] == [2, "b"]
    assert index.search("배송", mode="lexical") == []


def test_one_document_and_texts(path: Path, model: SentenceTransformer) -> None:
    with Index.open(path, model=model) as index:
        assert index.add("첫 문장") == 1
        assert index.add({"id": 1, "text": "둘째 문장"}) == 1
        assert index.add(f"{number}번 문장" for number in range(1500)) == 1500
        assert index.upsert(["첫 문장", "첫 문장"]) == 0
        assert len(index) == 1502


def test_vectors_are_those_of_the_model(index: Index, model: SentenceTransformer) -> None:
    entries = index.preparer().prepare([Document(id=0, fields={"answer": "서울에서 만나요."})])
    (passage,) = entries[0].passages
    wanted = model.encode(PROMPTS["document"] + "서울에서 만나요.", normalize_embeddings=True)
    assert passage.vector is not None
    np.testing.assert_allclose(passage.vector, wanted, atol=1e-6)
    assert passage.words == ["서울", "만나다"]


def test_only_embedded_fields_have_vectors(path: Path, model: SentenceTransformer) -> None:
    with Index.open(path, model=model, fields=FIELDS, embedded=["question"]) as index:
        index.add(DOCUMENTS)
        assert index.info()["vectors"] == 4
        assert index.info()["passages"] == 8
        assert index.search("시장", mode="lexical")[0].field == "answer"
        assert {hit.field for hit in index.search("시장", mode="semantic")} == {"question"}


def test_a_long_document_is_cut_and_hits_point_into_it(path: Path, model: SentenceTransformer) -> None:
    text = "".join(f"문장 {number}은 길지 않아요. " for number in range(40)) + "서울에 가요."
    with Index.open(path, model=model) as index:
        index.add([{"id": 1, "text": text}])
        (hit,) = index.search("서울", mode="lexical")
        assert hit.text == text[hit.start : hit.end]
        assert hit.text.endswith("서울에 가요.")
        assert len(hit.text) <= MAX_TOKENS
        assert [hit.snippet[a:b] for a, b in hit.marks] == ["서울"]


BAD: list[tuple[Any, type[Exception], str]] = [
    ({"question": "x"}, InputError, "needs an 'id'"),
    ({"id": 9, "question": "x", "title": "y"}, InputError, r"field 'title'.*question, answer.*metadata"),
    ({"id": 9, "question": 3}, InputTypeError, "must be a text, got 3"),
    ({"id": 9, "question": "a\ud800"}, InputError, r"U\+D800 at position 1"),
    ({"id": 9, "question": "a\0"}, InputError, "NUL character at position 1"),
    ({"id": True, "question": "x"}, InputTypeError, "got True"),
    ({"id": 1.5, "question": "x"}, InputTypeError, "got 1.5"),
    ({"id": "", "question": "x"}, InputError, "1 to 1000 characters"),
    ({"id": 2**64, "question": "x"}, InputError, "64 bits"),
    ({"id": 9, "question": "x", "metadata": {"n": float("nan")}}, InputTypeError, "nan.*JSON"),
    ({"id": 9, "question": "x", "metadata": {"n": b"x"}}, InputTypeError, "bytes.*JSON"),
    ({"id": 9, "question": "x", "metadata": {3: "x"}}, InputTypeError, "name 3"),
    ({"id": 9, "question": "x", "metadata": ["x"]}, InputTypeError, "must be a dictionary"),
    ({"id": 9, "question": "x", "metadata": {"a": {"b": ["\ud800"]}}}, InputError, "surrogate"),
    (17, InputTypeError, "got 17"),
]


@pytest.mark.parametrize(("document", "error", "message"), BAD)
def test_bad_documents_are_refused_before_anything_is_written(
    index: Index, document: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        index.add([{"id": "good", "question": "x"}, document])
    assert "good" not in index


def test_two_documents_of_one_id(index: Index) -> None:
    with pytest.raises(InputError, match="id 5 is given to two"):
        index.add([{"id": 5, "question": "x"}, {"id": 5, "question": "y"}])
    assert index.add([{"id": 5, "question": "x"}] * 2) == 1


def test_metadata_that_contains_itself(index: Index) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InputError, match="nested too deeply"):
        index.add({"id": 5, "question": "x", "metadata": endless})


# Searching


def ids(hits: list[Any]) -> list[Any]:
    return [hit.id for hit in hits]


def test_semantic_scores_are_similarities(index: Index, model: SentenceTransformer) -> None:
    hits = index.search("언제 와요?", mode="semantic")
    query = model.encode_query("언제 와요?", normalize_embeddings=True)
    for hit in hits:
        texts = list(hit.document.fields.values())
        best = float((model.encode_document(texts, normalize_embeddings=True) @ query).max())
        assert hit.score == pytest.approx(best, abs=1e-5)
        assert hit.scores == {"semantic": hit.score}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 4


def test_lexical_needs_no_model(path: Path, folder: Path, model: SentenceTransformer) -> None:
    with Index.open(path, model=model, fields=FIELDS) as index:
        index.add(DOCUMENTS)
    with Index.open(path) as index:
        hits = index.search("서울", mode="lexical")
        assert sorted(map(str, ids(hits))) == ["2", "b"]
        assert index._model is None


@pytest.mark.parametrize("query", ["맛있다", unicodedata.normalize("NFD", "맛있었어요"), "맛있겠네요"])
def test_korean_by_word(index: Index, query: str) -> None:
    (hit,) = index.search(query, mode="lexical")
    assert hit.id == 2
    assert [hit.snippet[a:b] for a, b in hit.marks] == ["맛있"]


def test_hybrid_joins_both(index: Index) -> None:
    semantic, lexical = (
        index.search("서울에서 언제", mode="semantic"),
        index.search("서울에서 언제", mode="lexical"),
    )
    hybrid = index.search("서울에서 언제", fusion="ranks")
    ranks = [{hit.id: hit.rank for hit in hits} for hits in (semantic, lexical)]
    for hit in hybrid:
        wanted = sum(1 / (60 + rank[hit.id]) for rank in ranks if hit.id in rank)
        assert hit.score == pytest.approx(wanted)
    scores = index.search("서울에서 언제")
    worst, best = semantic[-1].score, semantic[0].score
    for hit in scores:
        meaning = (hit.scores["semantic"] - worst) / (best - worst)
        assert hit.score == pytest.approx((meaning + hit.scores.get("lexical", 0) / lexical[0].score) / 2)
    assert ids(index.search("서울에서 언제", weights={"lexical": 0})) == ids(semantic)
    assert ids(index.search("서울에서 언제", weights={"semantic": 0.0})) == ids(lexical)


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_a_weight_of_0_keeps_the_scale_of_hybrid_scores(index: Index, weight: float) -> None:
    words = index.search("서울에서 언제", mode="lexical")
    for hits in (
        index.search("서울에서 언제", weights={"semantic": 0, "lexical": weight}),
        index.search("서울에서 언제", weights={"semantic": 0, "lexical": weight}, min_score=0.01),
    ):
        assert [hit.score for hit in hits] == pytest.approx([hit.score / words[0].score for hit in words])
    hits = index.search("서울에서 언제", weights={"semantic": weight, "lexical": 0})
    assert (hits[0].score, hits[-1].score) == pytest.approx((1, 0))
    ranks = index.search("서울에서 언제", weights={"semantic": 0, "lexical": weight}, fusion="ranks")
    assert [hit.score for hit in ranks] == pytest.approx([weight / (60 + hit.rank) for hit in ranks])


def test_pages_are_consistent(index: Index) -> None:
    whole = index.search("언제 서울에서")
    pages = [index.search("언제 서울에서", limit=1, offset=offset)[0] for offset in range(len(whole))]
    assert pages == whole
    assert index.search("언제", offset=50) == []


def test_filters_and_least_score(index: Index) -> None:
    assert set(ids(index.search("언제", filter={"lang": "ko"}))) == {1, 2, "b"}
    assert ids(index.search("언제", filter={"lang": "xx"})) == []
    scores = [hit.score for hit in index.search("언제", mode="semantic")]
    assert len(index.search("언제", mode="semantic", min_score=scores[1])) == 2


def test_rerank_orders_by_the_cross_encoder(index: Index, tmp_path: Path) -> None:
    encoder = CrossEncoder(tiny_cross_encoder(tmp_path / "pairs"))
    hits = index.search("서울에서 언제", rerank=encoder)
    wanted = encoder.predict([("서울에서 언제", hit.text) for hit in hits])
    np.testing.assert_allclose([hit.score for hit in hits], wanted, atol=1e-6)
    assert [hit.scores["rerank"] for hit in hits] == sorted(wanted.tolist(), reverse=True)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]


def test_a_batch_is_its_queries(index: Index) -> None:
    queries = ["서울", "", "언제?"]
    assert index.search_batch(queries) == [index.search(query) for query in queries]


@pytest.mark.parametrize(
    "query", ["", " \n", '"', "*", "NEAR(", "a OR b AND NOT c", "^x", "😀", "';--", "서울*"]
)
@pytest.mark.parametrize("mode", ["hybrid", "semantic", "lexical"])
def test_odd_queries_are_answered(index: Index, query: str, mode: Any) -> None:
    hits = index.search(query, mode=mode)
    assert len(hits) <= 4
    if mode == "lexical" and query != "서울*":
        assert hits == []


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("가" * 1_000_000, InputError, "1,000,000 characters"),
        ("a\ud800", InputError, "surrogate"),
        ("a\0b", InputError, "NUL"),
        (7, InputTypeError, "must be a text"),
    ],
)
def test_queries_that_are_refused(index: Index, query: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        index.search(query)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fuzzy"}, "mode must be one of 'hybrid', 'semantic', 'lexical'"),
        ({"mode": 1}, "mode must be"),
        ({"mode": np.array(["hybrid", "x"])}, "mode must be"),
        ({"fusion": "sum"}, "fusion must be"),
        ({"fusion": None}, "fusion must be"),
        ({"limit": 0}, "limit must be"),
        ({"limit": True}, "limit must be"),
        ({"limit": "5"}, "limit must be"),
        ({"limit": 10**5000}, "limit and offset must be"),
        ({"offset": -1}, "offset must be"),
        ({"offset": 1.0}, "offset must be"),
        ({"limit": 10_001}, "at most 10,000"),
        ({"min_score": float("nan")}, "min_score must be"),
        ({"min_score": "0.5"}, "min_score must be"),
        ({"min_score": 10**400}, "min_score must be"),
        ({"weights": "semantic"}, "weights must be"),
        ({"weights": {"semantic": -1}}, r"weights\['semantic'\] must be a number from 0"),
        ({"weights": {"semantic": "1"}}, r"weights\['semantic'\] must be a number"),
        ({"weights": {"semantic": 10**400}}, r"weights\['semantic'\] must be a number"),
        ({"weights": {"other": 1}}, "'other'"),
        ({"weights": {10**5000: 1}}, "weights must be"),
        ({"weights": {"semantic": 0, "lexical": 0}}, "must have a positive value"),
        ({"weights": {"semantic": 1}, "mode": "semantic"}, "weights need mode='hybrid'"),
        ({"filter": {"year": {"above": 3}}}, "above"),
        ({"filter": "year"}, "A filter is a mapping"),
        ({"filter": {10**5000: 1}}, "A filter is a mapping"),
        ({"rerank": "x"}, "rerank must be an opened CrossEncoder, got 'x'"),
        ({"rerank": True}, "rerank must be"),
        ({"rerank": CrossEncoder}, "rerank must be"),
        ({"exact": "yes"}, "exact must be True or False"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
def test_options_that_are_refused(index: Index, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, InputTypeError), match=message):
        index.search("x", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"analyzer": 1}, "analyzer must be"),
        ({"chunk_tokens": "x"}, "chunk_tokens must be"),
        ({"chunk_overlap": -1}, "chunk_overlap must be"),
        ({"prompts": "query: "}, "prompts must be"),
        ({"prompts": {1: "x"}}, "prompts may have the keys"),
        ({"prompts": {"query": 1}}, "prompt 'query' must be a text"),
        ({"fields": "question"}, "fields must be a list"),
        ({"embedded": [1]}, "A name in embedded must be a text"),
        ({"model": 1}, "model must be"),
        ({"busy_timeout": "x"}, "busy_timeout must be"),
        ({"busy_timeout": -1}, "busy_timeout must be"),
        ({"busy_timeout": float("inf")}, "busy_timeout must be"),
        ({"create": "yes"}, "create must be"),
        ({"readonly": 1}, "readonly must be"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_options_of_opening_that_are_refused(
    index: Index, path: Path, model: SentenceTransformer, options: dict[str, Any], message: str, new: bool
) -> None:
    place = path.with_name("new.munjang") if new else path
    with pytest.raises((InputError, InputTypeError), match=message):
        Index.open(place, **{"model": model, **options})
    assert not path.with_name("new.munjang").exists()


def test_a_cross_encoder_of_several_labels_is_refused(index: Index, tmp_path: Path) -> None:
    encoder = CrossEncoder(tiny_cross_encoder(tmp_path / "pairs", labels=3))
    with pytest.raises(InputError, match="this one has 3"):
        index.search("x", rerank=encoder)


# Opening


def test_a_model_that_moved_is_the_same(index: Index, path: Path, folder: Path, tmp_path: Path) -> None:
    index.close()
    moved = shutil.copytree(folder, tmp_path / "moved")
    with Index.open(path, model=moved) as again:
        assert again.search("언제", mode="semantic")


def test_a_deleted_model(tmp_path: Path, path: Path) -> None:
    gone = tiny_sentence_model(tmp_path / "gone")
    Index.open(path, model=gone).close()
    shutil.rmtree(gone)
    with Index.open(path) as index, pytest.raises(UnknownModelError) as caught:
        index.search("언제")
    assert "pass its new location as model=" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["question"]}, r"fields question, answer, now question.*migrate"),
        ({"embedded": ["question"]}, "embedded"),
        ({"analyzer": "hangul-bigrams"}, r"analyzer 'kiwi/.*', now 'hangul-bigrams/1'"),
        ({"chunk_tokens": 7}, "chunk_tokens .* now 7"),
        ({"chunk_overlap": 1}, "chunk_overlap .* now 1"),
    ],
)
def test_other_settings_are_refused(index: Index, path: Path, options: Any, message: str) -> None:
    with pytest.raises(IndexMismatchError, match=message):
        Index.open(path, **options)


def test_another_model_is_refused(index: Index, path: Path, other_folder: Path) -> None:
    with pytest.raises(IndexMismatchError, match=r"produces other vectors.*munjang index migrate"):
        Index.open(path, model=other_folder)


def test_prompts_of_a_model_are_kept(path: Path, folder: Path) -> None:
    model = SentenceTransformer(folder, prompts={"query": "q: ", "document": "d: "})
    Index.open(path, model=model).close()
    with Index.open(path) as index:
        index.add("서울")
        assert index.model.prompts["query"] == "q: "


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["id"]}, "names other than id"),
        ({"fields": []}, "fields must have names"),
        ({"fields": ["a", "a"]}, "different, non-empty names"),
        ({"fields": ["a"], "embedded": ["b"]}, "embedded has 'b'"),
        ({"chunk_tokens": 999}, "the model can read"),
        ({"chunk_tokens": 10, "chunk_overlap": 10}, "less than chunk_tokens"),
        ({"analyzer": "mecab"}, "no analyser 'mecab'"),
    ],
)
def test_invalid_settings_leave_no_file(
    path: Path, model: SentenceTransformer, options: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Index.open(path, model=model, **options)
    assert not path.exists()


def test_a_wrong_model_leaves_no_file(path: Path) -> None:
    with pytest.raises(UnknownModelError):
        Index.open(path, model="./nowhere")
    assert not path.exists()


def test_opening_a_missing_index(path: Path) -> None:
    with pytest.raises(StoreError, match="There is no index"):
        Index.open(path, create=False)
    with pytest.raises(StoreError, match="There is no index"):
        Index.open(path, readonly=True)
    with pytest.raises(InputTypeError, match="The location of an index is a file"):
        Index.open(7)  # type: ignore[arg-type]


def test_truncation_is_told(path: Path, folder: Path) -> None:
    model = SentenceTransformer(folder, on_truncation="error")
    with Index.open(path, model=model) as index, pytest.raises(TruncationError):
        index.search("긴 질문 " * 40)


@pytest.mark.parametrize("kind", ["open", "closed"])
def test_the_reprs_show_what_was_opened(index: Index, path: Path, folder: Path, kind: str) -> None:
    if kind == "closed":
        index.close()
    analyzer = index.settings.analyzer
    assert repr(index) == (
        f"Index('{path}', model='{folder}', dimension=32, fields=['question', 'answer'], "
        f"embedded=['question', 'answer'], analyzer='{analyzer}', chunk_tokens={index.settings.chunk_tokens})"
    )
    model = SentenceTransformer(folder, truncate_dim=16)
    assert repr(model) == (
        f"SentenceTransformer('{folder}', modules=[Transformer(bert), Pooling(mean)], dimension=16, "
        f"max_seq_length={MAX_TOKENS}, similarity_fn_name='cosine')"
    )
    config = model.model.config
    assert repr(model.model) == (
        f"Model('{folder}', architecture='bert', head=None, layers={config.num_hidden_layers}, "
        f"hidden_size=32, vocab_size={config.vocab_size}, backend='openvino', dtype='float32')"
    )


def test_the_repr_of_a_cross_encoder(tmp_path: Path) -> None:
    folder = tiny_cross_encoder(tmp_path / "pairs")
    encoder = CrossEncoder(folder)
    assert repr(encoder) == (
        f"CrossEncoder('{folder}', architecture='bert', num_labels=1, max_length={encoder.max_length})"
    )


# Moving


def test_migrate_encodes_all_documents_again(index: Index, path: Path, other_folder: Path) -> None:
    seen: list[int] = []
    assert index.migrate(other_folder, advance=seen.append) == sum(seen) == 4
    other = SentenceTransformer(other_folder)
    hit = index.search("언제", mode="semantic")[0]
    wanted = other.encode_query("언제", normalize_embeddings=True) @ other.encode_document(
        hit.text, normalize_embeddings=True
    )
    assert hit.score == pytest.approx(float(wanted), abs=1e-5)
    with Index.open(path) as again:
        assert again.settings.model == str(other_folder)
        assert len(again.search("서울", mode="lexical")) == 2


def test_a_stopped_migration_resumes(path: Path, model: SentenceTransformer, other_folder: Path) -> None:
    with Index.open(path, model=model) as index:
        index.add(f"{number}번 문장" for number in range(2100))
        before = index.search("77번", limit=3)

        done = [0]

        def stop(count: int) -> None:
            done[0] += count
            if done[0] > 1500:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.migrate(other_folder, advance=stop)
        assert index.search("77번", limit=3) == before
        index.upsert([{"id": "new", "text": "그동안 온 문장"}])
        assert index.migrate(other_folder) == 1101
        assert "new" in index
        assert len(index) == 2101
        assert index.check() == []


def test_migrate_keeps_the_prompts_of_the_index(tmp_path: Path, model: SentenceTransformer) -> None:
    prompts = {"query": "ask: ", "document": "tell: "}
    with Index.open(tmp_path / "prompts.munjang", model=model, prompts=prompts) as index:
        index.add("서울에서 만나요.")
        index.migrate(analyzer="hangul-bigrams")
        assert index.settings.prompts == prompts


CHANGES: list[dict[str, Any]] = [
    {},
    {"analyzer": "kiwi"},
    {"chunk_tokens": 20},
    {"chunk_overlap": 3},
    {"chunk_tokens": 25, "chunk_overlap": 2},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("overlap", [0, 7])
def test_migrate_keeps_every_omitted_setting(
    path: Path, folder: Path, change: dict[str, Any], overlap: int
) -> None:
    model = SentenceTransformer(folder, pooling="cls", similarity_fn_name="dot", truncate_dim=16)
    model.max_seq_length = 34
    settings: dict[str, Any] = {
        "fields": FIELDS,
        "embedded": ["answer"],
        "analyzer": "hangul-bigrams",
        "chunk_tokens": 21,
        "chunk_overlap": overlap,
        "prompts": {"query": "ask: ", "document": "tell: "},
    }
    with Index.open(path, model=model, **settings) as index:
        index.add(DOCUMENTS)
        before = asdict(index.settings)
    with Index.open(path) as index:
        index.migrate(**change)
        after = asdict(index.settings)
    if "analyzer" in change:
        change = {"analyzer": analyzer_named("kiwi").name}
    if change == {"chunk_tokens": 20}:  # shorter passages have shorter overlaps
        change = {"chunk_tokens": 20, "chunk_overlap": overlap * 20 // 21}
    assert after == {**before, **change}


def test_migrate_to_a_model_keeps_the_other_settings(path: Path, folder: Path, other_folder: Path) -> None:
    settings: dict[str, Any] = {"embedded": ["answer"], "analyzer": "hangul-bigrams", "chunk_tokens": 20}
    with Index.open(path, model=folder, fields=FIELDS, chunk_overlap=0, **settings) as index:
        index.add(DOCUMENTS)
        before = asdict(index.settings)
        index.migrate(other_folder)
        after = asdict(index.settings)
    assert {name for name, value in after.items() if value != before[name]} == {"model", "probe"}


LONG_PROMPT = "가" * 20  # 20 tokens, and two special tokens
LONGEST = MAX_TOKENS - 22 - 1  # tokens of a passage with this prompt


@pytest.mark.filterwarnings("error::munjang.runtime.notices.TruncationWarning")
def test_passages_leave_room_for_the_prompt_of_the_index(path: Path, folder: Path) -> None:
    texts = ["나" * 33 + "다", "나" * 33 + "라"]  # they differ at the end only
    with Index.open(path, model=folder, prompts={"document": LONG_PROMPT}) as index:
        index.add(texts)
        assert index.settings.chunk_tokens == LONGEST
        assert len({hit.score for hit in index.search("다", mode="semantic")}) == 2
    with Index.open(path) as index:
        index.add("나" * 34)
        index.migrate(chunk_overlap=1)
        assert index.settings.chunk_tokens == LONGEST
        with pytest.raises(InputError, match=f"the model can read {LONGEST} tokens"):
            index.migrate(chunk_tokens=LONGEST + 1)


def test_passages_may_be_longer_with_a_shorter_prompt(path: Path, folder: Path) -> None:
    with Index.open(path, model=folder, prompts={"document": ""}) as index:
        assert index.settings.chunk_tokens == MAX_TOKENS - 2 - 1


def test_a_prompt_that_leaves_no_tokens_is_refused(path: Path, folder: Path) -> None:
    model = SentenceTransformer(folder, on_truncation="ignore")
    with pytest.raises(InputError, match="the prompt for documents leaves none"):
        Index.open(path, model=model, prompts={"document": "가" * MAX_TOKENS})
    assert not path.exists()


@pytest.mark.parametrize("call", [Index.search, Index.search_batch])
def test_unknown_options_are_type_errors(index: Index, call: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'limt'"):
        call(index, "x" if call is Index.search else ["x"], limt=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        Index.open(index.location, modle="x")  # type: ignore[call-arg]


def test_migrate_to_another_analyser(index: Index) -> None:
    assert index.search("맛있다", mode="lexical")
    index.migrate(analyzer="hangul-bigrams")
    assert index.settings.analyzer == "hangul-bigrams/1"
    assert index.search("있는", mode="lexical")[0].id == 2


def test_other_processes_detect_a_migration(index: Index, path: Path, other_folder: Path) -> None:
    with Index.open(path) as other:
        other.search("언제")
        index.migrate(other_folder)
        for use in (lambda: other.search("언제"), lambda: other.add({"id": 77, "question": "x"})):
            with pytest.raises(IndexMismatchError, match="open it again"):
                use()


# The rest


def test_info_and_check(index: Index, path: Path, folder: Path) -> None:
    info = index.info()
    assert (info["documents"], info["passages"], info["vectors"]) == (4, 8, 8)
    assert info["settings"]["model"] == str(folder)
    assert "probe" not in info["settings"]
    assert index.check() == []
    index.rebuild()
    assert len(index.search("서울", mode="lexical")) == 2


@pytest.mark.parametrize("kind", STORES, ids=[kind.name for kind in STORES])
def test_all_stores_return_the_same_hits(kind: Any, tmp_path: Path, model: SentenceTransformer) -> None:
    store = kind.place(tmp_path).open()
    with Index.open(tmp_path / "x.munjang", model=model, fields=FIELDS) as index:
        index.add(DOCUMENTS)
        wanted = [index.search(query) for query in ("서울에서 언제", "parcel")]
        store.create(index.settings)
        store.write(Changes(put=index.preparer().prepare(list(index))))
        with Index("there", store, index.settings, model=model) as there:
            for query, hits in zip(("서울에서 언제", "parcel"), wanted, strict=True):
                found = there.search(query)
                assert ids(found) == ids(hits)
                assert [hit.snippet for hit in found] == [hit.snippet for hit in hits]


@pytest.mark.models
def test_meaning_and_words_with_a_real_model(path: Path) -> None:
    with Index.open(path, model="multilingual-e5-small", fields=FIELDS) as index:
        index.add(DOCUMENTS)
        assert index.search("택배가 어디쯤 왔는지 궁금해요", limit=1, mode="semantic")[0].id in (1, "a")
        assert index.search("refund please", limit=1, mode="semantic")[0].id == "b"
        assert index.search("맛있었던 식당", limit=1)[0].id == 2
        assert index.settings.chunk_tokens == 256


def test_closed_twice(index: Index) -> None:
    index.close()
    index.close()
    with pytest.raises(StoreError, match="closed"):
        len(index)


@pytest.mark.parametrize("analyzer", ["hangul-bigrams", "kiwi"])
def test_ten_thousand_combining_marks_are_fast(
    tmp_path: Path, model: SentenceTransformer, analyzer: str
) -> None:
    marks = "\u0301\u0323" * 15_000
    with Index.open(tmp_path / "marks.munjang", model=model, analyzer=analyzer) as index:
        index.add([{"id": 1, "text": f"카페{marks} cafe{marks} 커피"}, {"id": 2, "text": "다른 글"}])
        (hit,) = index.search("카페 커피", mode="lexical")
        assert hit.id == 1
        assert len(hit.text) <= 16 * index.settings.chunk_tokens
        assert len(hit.snippet) < 200
